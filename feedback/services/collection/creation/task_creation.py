"""Tasks of any kind from a selection of prompts, by one plan: the same for the page and for the API.

Each task has an external id that follows from its plan and its texts, so that the same plan applied twice, or by two
people at once, creates each task once.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from django.db import transaction

from feedback.errors import DomainError, ExternalIdConflict, Invalid
from feedback.models import Assignment, Person, Project, Prompt, Response, Task
from feedback.rules.collection import label_schemes
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.pairing import PRIORITIES
from feedback.services.collection import tasks
from feedback.services.platform import events
from feedback.services.platform.closed_projects import refuse_when_closed

MOST = 1000  # prompts at once: about as many as one request can create tasks for
PRESENT = "it has such a task already"
TOO_FEW = "it has too few responses"
OF_PROMPT, OF_RESPONSES = "prompt", "responses"


@dataclass(frozen=True)
class Plan:
    """What is asked of each prompt.

    Attributes:
        kind: of the tasks.
        scheme: the label scheme, for kinds with one.
        about: for kinds that can be about a prompt or about one response: which; each response becomes a task.
        wanted: annotations of each task; None: as the project says.
        priority: 0 (last) upwards.
    """

    kind: str
    scheme: str = ""
    about: str = OF_PROMPT
    wanted: int | None = None
    priority: int = 0

    @property
    def ask(self) -> dict[str, str]:
        return {"scheme": self.scheme} if self.scheme else {}


@dataclass
class Created:
    """The new tasks, and how many prompts became none, by why."""

    tasks: list[Task] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def check(project: Project, plan: Plan) -> None:
    """
    Raises:
        Invalid: the plan does not fit the project; `field` says which part.
    """
    if plan.kind not in KINDS:
        raise Invalid(f"The kind must be one of {', '.join(KINDS)}.", field="kind")
    kind = KINDS[plan.kind]
    if kind.uses_scheme:
        fitting = label_schemes.names_of_kind(project.label_scheme, plan.kind)
        if plan.scheme not in fitting:
            choices = ", ".join(fitting) or "none yet; add one under Project, Labels"
            raise Invalid(f"Choose a label scheme for {kind.label.lower()}: {choices}.", field="scheme")
    elif plan.scheme:
        raise Invalid(f"{kind.label} has no label scheme.", field="scheme")
    if plan.about not in (OF_PROMPT, OF_RESPONSES):
        raise Invalid("Tasks are about the prompt or about its responses.", field="about")
    if plan.about == OF_PROMPT and kind.fewest_responses > 0 and kind.most_responses == 1:
        raise Invalid(f"{kind.label} is about a response. Choose “each response”.", field="about")
    if plan.wanted is not None and not 1 <= plan.wanted <= 100:
        raise Invalid("Annotations wanted must be between 1 and 100.", field="wanted")
    if not 0 <= plan.priority < PRIORITIES:
        raise Invalid(f"The priority must lie between 0 and {PRIORITIES - 1}.", field="priority")


def create_tasks(*, project: Project, by: Person, prompts: Sequence[Prompt], plan: Plan) -> Created:
    """Create the tasks of a plan. A prompt that cannot become one is counted with the reason, and ends nothing.

    Raises:
        Invalid: the plan does not fit the project, or there are too many prompts.
        ProjectClosed: the project takes nothing any more.
    """
    refuse_when_closed(project, "tasks")
    check(project, plan)
    if len(prompts) > MOST:
        raise Invalid(f"At most {MOST:,} prompts at once.", field="prompts")
    made = Created()
    ready = _responses(prompts)
    for prompt in prompts:
        sets = list(task_responses(plan, ready.get(prompt.pk, [])))
        if not sets:
            made.left_out[TOO_FEW] += 1
        for responses in sets:
            _create(project, by, prompt, responses, plan, made)
    if made.tasks:
        with transaction.atomic():
            events.record("tasks.created", project, actor=by, project=project, tasks=len(made.tasks))
    return made


def _create(project: Project, by: Person, prompt: Prompt, responses: list[Response], plan: Plan, made: Created) -> None:
    wanted = tasks.PROJECT_DEFAULT if plan.wanted is None else plan.wanted
    try:
        task, new = tasks.create_task(
            project=project,
            by=by,
            kind=plan.kind,
            prompt=prompt,
            responses=responses,
            annotations_wanted=wanted,
            priority=plan.priority,
            ask=plan.ask,
            external_id=_key(plan, prompt, responses),
        )
    except ExternalIdConflict:
        made.left_out[PRESENT] += 1
    except DomainError as error:
        made.left_out[error.sentence] += 1
    else:
        if new:
            made.tasks.append(task)
        else:
            made.left_out[PRESENT] += 1


def _key(plan: Plan, prompt: Prompt, responses: Sequence[Response]) -> str:
    texts = [plan.kind, plan.scheme, str(prompt.public_id), *(str(response.public_id) for response in responses)]
    return f"created:{sha256(' '.join(texts).encode()).hexdigest()}"


def task_responses(plan: Plan, ready: Sequence[Response]) -> Iterator[list[Response]]:
    """The responses of each task that a prompt becomes.

    Kinds about one text: none, or one response a task. Others: as many as there are, up to the most they show.
    """
    kind = KINDS[plan.kind]
    if kind.most_responses <= 1:
        if plan.about == OF_PROMPT:
            yield []
        else:
            for response in ready:
                yield [response]
        return
    if len(ready) >= kind.fewest_responses:
        yield list(ready[: kind.most_responses])


def _responses(prompts: Sequence[Prompt]) -> dict[int, list[Response]]:
    found: dict[int, list[Response]] = {}
    rows = Response.objects.filter(prompt__in=prompts, state=Response.State.READY).order_by("pk")
    for response in rows:
        found.setdefault(response.prompt_id, []).append(response)
    return found


def first_texts(plan: Plan, prompts: Sequence[Prompt]) -> tuple[Prompt, list[str]] | None:
    """The first prompt that becomes a task, with the texts of its responses, for a preview."""
    ready = _responses(prompts)
    for prompt in prompts:
        for responses in task_responses(plan, ready.get(prompt.pk, [])):
            return prompt, [response.text for response in responses]
    return None


def undo(*, project: Project, by: Person, created: Sequence[str]) -> int:
    """Withdraw tasks that were just created, but those that somebody holds or has annotated. Returns how many.

    Args:
        created: public ids of the tasks.
    """
    found = Task.objects.filter(project=project, public_id__in=created[: 10 * MOST]).exclude(state=Task.State.WITHDRAWN)
    begun = set(Assignment.objects.filter(task__in=found).values_list("task_id", flat=True))
    count = 0
    for task in found:
        if task.pk not in begun:
            tasks.withdraw_task(by=by, task=task)
            count += 1
    return count
