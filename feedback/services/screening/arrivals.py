"""Intake: what happens to new prompts and responses before a model has scored them, and the job that scores them."""

from dataclasses import dataclass, field
from operator import attrgetter

from feedback import celery_app
from feedback.models import Job, Project, Prompt, Response, Task
from feedback.rules.screening import personal_data
from feedback.rules.screening.screening import BLOCK, MASK, OFF, Screened
from feedback.selectors.screening.guard_models import of
from feedback.services.platform import jobs

PERSONAL_DATA = "personal data"  # in place of a class, when that is what blocked


@dataclass
class Arrival:
    """Messages after intake, with their state and screening.

    Attributes:
        messages: as they came, or masked.
        state: blocked, received (a model looks at it first), or None: it passes at once.
        screening: for the prompt's `screening`.
    """

    messages: list[dict[str, str]]
    state: str | None = None
    screening: Screened = field(default_factory=lambda: Screened())


def arrive(project: Project, messages: list[dict[str, str]]) -> Arrival:
    """Screen new messages for personal data with a fixed form. Models score the rest later."""
    setting = of(project)
    arrival = Arrival(messages, screening={"guard": None})
    if setting.personal != OFF:
        found: set[str] = set()
        for message in messages:
            found.update(map(attrgetter("kind"), personal_data.find(message["content"])))
        if found:
            arrival.screening["personal"] = sorted(found)
        if found and setting.personal == BLOCK:
            arrival.state = Prompt.State.BLOCKED
            arrival.screening["blocked_by"] = PERSONAL_DATA
        elif found and setting.personal == MASK:
            arrival.screening["masked"] = True
            arrival.messages = list(map(_masked, messages))
    if arrival.state is None and setting.holds_prompts:
        arrival.state = Prompt.State.RECEIVED
    return arrival


def _masked(message: dict[str, str]) -> dict[str, str]:
    content, _ = personal_data.mask(message["content"])
    return message | {"content": content}


def written_state(project: Project) -> str:
    """The state of a new response: ready, or first to be scored by the guard model."""
    if of(project).guard:
        return Response.State.SCREENING
    return Response.State.READY


def task_state(prompt: Prompt, responses: list[Response]) -> str:
    """Open, or waiting until the guard model has scored all that the task shows.

    What was blocked makes a task that is withdrawn from the beginning, so that it reaches nobody.
    """
    states = {response.state for response in responses}
    if prompt.state == Prompt.State.BLOCKED or Response.State.BLOCKED in states:
        return Task.State.WITHDRAWN
    waits = prompt.state == Prompt.State.RECEIVED or Response.State.SCREENING in states
    if waits:
        return Task.State.WAITING
    return Task.State.OPEN


def current_task_state(prompt: Prompt, responses: list[Response]) -> str:
    """The state of a task that is created now.

    The guard may have settled the prompt or a response after the caller read it, and it opens or withdraws only tasks
    that exist by then: a task created from the old state would wait forever. So rows that were not settled are locked
    and read again. Call inside a transaction. Responses are locked before the prompt, as the guard does.
    """
    if task_state(prompt, responses) == Task.State.OPEN:
        return Task.State.OPEN  # what has passed stays so
    keys = [response.pk for response in responses]
    current = list(Response.objects.select_for_update().filter(pk__in=keys).order_by("pk"))
    return task_state(Prompt.objects.select_for_update().get(pk=prompt.pk), current)


def ask_worker(project: Project) -> Job | None:
    """Request a job that scores the waiting rows of a project, unless one is queued. Call inside a transaction."""
    queued = Job.objects.filter(project=project, kind=Job.Kind.SCORE, status=Job.Status.QUEUED)
    if queued.exists():
        return None
    return jobs.create(kind=Job.Kind.SCORE, queue_name=celery_app.GENERATE, project=project, by=None)
