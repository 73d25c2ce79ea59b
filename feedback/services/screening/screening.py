"""Applies the results of content screening: a prompt or response passes or is blocked, and an admin may unblock it.

A worker computes the scores, since it has the models. The functions here move each row once, by compare-and-set on its
state. Rows that cannot be scored wait and are tried again, so that nothing is lost while a guard model is away.
"""

from collections.abc import Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from feedback.errors import Invalid, InvalidTransition, NoServingModel
from feedback.models import Job, Kind, ModelVersion, Person, Project, Prompt, Response, Task
from feedback.rules.screening import screening
from feedback.rules.screening.screening import (
    BLOCK,
    MASK,
    NEWEST,
    PASS,
    Guard,
    Screened,
    Span,
)
from feedback.rules.training import policies
from feedback.selectors.screening import guard_models
from feedback.services.collection import generation
from feedback.services.evaluation import battles
from feedback.services.platform import events
from feedback.services.screening import arrivals

TRY_AGAIN_AFTER = timedelta(seconds=60)  # after a job that could not reach its model
AWAY_AFTER = timedelta(minutes=10)  # without a job that scored, where something waits
MOST_PASSED = 1000  # in one round of housekeeping
Scores = dict[str, float]
Spans = Sequence[Span]


def set_screening(*, by: Person, project: Project, **changes: Any) -> Project:
    """Change the guard model, the tagger, or the handling of personal data; None removes a guard model or tagger.

    Rows that waited for a removed guard model pass with the next job.

    Raises:
        Invalid: a part has another shape, or names a model or a class that is not there.
    """
    setting = {**project.screening, **changes}
    try:
        screening.check(setting, project.label_scheme)
    except policies.InvalidPolicy as error:
        raise Invalid(error.sentence, field=error.field) from None
    for name, kind in (("guard", ModelVersion.Kind.CLASSIFIER), ("marker", ModelVersion.Kind.TAGGER)):
        if setting.get(name):
            _check_model(project, name, kind, setting[name])
    with transaction.atomic():
        Project.objects.filter(pk=project.pk).update(screening=setting)
        events.record("project.screening_changed", project, actor=by, project=project, parts=", ".join(sorted(changes)))
        project.refresh_from_db()
        if waits(project):
            arrivals.ask_worker(project)
    return project


def waits(project: Project) -> bool:
    """Whether rows of the project wait to be scored."""
    return bool(waiting_prompts(project)[:1] or waiting_responses(project)[:1] or tasks_to_mark(project)[:1])


def waiting_prompts(project: Project) -> QuerySet[Prompt]:
    return Prompt.objects.filter(project=project, state=Prompt.State.RECEIVED).order_by("pk")


def waiting_responses(project: Project) -> QuerySet[Response]:
    rows = Response.objects.filter(project=project, state=Response.State.SCREENING)
    return rows.select_related("prompt").order_by("pk")


def tasks_to_mark(project: Project) -> QuerySet[Task]:
    """Open tasks of the tagger's scheme that have no suggestion yet."""
    marker = guard_models.of(project).marker
    if marker is None:
        return Task.objects.none()
    standing = [Task.State.OPEN, Task.State.WAITING]
    # Gold tasks among them: one without a suggestion where all others have one would be known for what it is.
    rows = Task.objects.filter(project=project, kind=Kind.SPANS, state__in=standing, suggestion__isnull=True)
    return rows.filter(ask__scheme=marker.scheme).select_related("prompt").order_by("pk")


def settle_prompt(
    prompt: Prompt, *, guard: Guard | None, version: ModelVersion | None, scores: Scores, spans: Spans
) -> bool:
    """Let a prompt pass (masked, if the project says so) or block it. False if it was settled before.

    Args:
        spans: personal data that the tagger found in the last user message.
    """
    setting = guard_models.of(prompt.project)
    screened = prompt.screening | _screened(guard, version, scores)
    messages = prompt.messages
    if spans:
        found = set(map(itemgetter("label"), spans))
        found.update(screened.get("personal", []))
        screened["personal"] = sorted(found)
        if setting.personal == BLOCK:
            screened["blocked_by"] = screened.get("blocked_by") or arrivals.PERSONAL_DATA
        elif setting.personal == MASK:
            screened["masked"] = True
            messages = _masked(messages, spans)
    with transaction.atomic():
        waiting = Prompt.objects.filter(pk=prompt.pk, state=Prompt.State.RECEIVED)
        if screened.get("blocked_by"):
            if not waiting.update(state=Prompt.State.BLOCKED, screening=screened):
                return False
            _withdraw(Task.objects.filter(prompt=prompt))
            events.record("prompt.blocked", prompt, actor=None, by=screened["blocked_by"])
            return True
        if not waiting.update(state=Prompt.State.READY, screening=screened, messages=messages):
            return False
        _go_on(prompt)
    return True


def settle_response(response: Response, *, guard: Guard | None, version: ModelVersion | None, scores: Scores) -> bool:
    """Make a response ready or block it. False if it was settled before."""
    screened = response.screening | _screened(guard, version, scores)
    state = Response.State.READY
    if screened.get("blocked_by"):
        state = Response.State.BLOCKED
    with transaction.atomic():
        waiting = Response.objects.filter(pk=response.pk, state=Response.State.SCREENING)
        if not waiting.update(state=state, screening=screened):
            return False
        if state == Response.State.BLOCKED:
            _withdraw(Task.objects.filter(responses=response))
            events.record("response.blocked", response, actor=None, by=screened["blocked_by"])
        _joined(response)
    return True


def suggest(task: Task, *, version: ModelVersion, spans: Spans) -> bool:
    """Store the tagger's spans as a suggestion for the desk. Spans whose label the scheme lacks are left out."""
    name = task.ask.get("scheme", "")
    scheme = task.project.label_scheme.get(name, {})
    spans = task.project.names.read({"spans": list(spans)}, name)["spans"]  # the tagger may have learned earlier names
    labels = set(map(itemgetter("name"), scheme.get("labels", [])))
    kept: list[Span] = []
    for span in spans:
        if span["label"] in labels:
            kept.append(Span(start=span["start"], end=span["end"], label=span["label"]))
    suggestion = {"spans": kept, "model": str(version.public_id), "name": str(version)}
    return bool(Task.objects.filter(pk=task.pk, suggestion__isnull=True).update(suggestion=suggestion))


def unblock_prompt(*, by: Person, prompt: Prompt, reason: str) -> Prompt:
    """Unblock a prompt.

    Raises:
        Invalid: no reason is given.
        InvalidTransition: it is not blocked.
    """
    with transaction.atomic():
        _unblock(by, prompt, reason, Prompt.State.READY)
        _go_on(prompt)
    prompt.refresh_from_db()
    return prompt


def unblock_response(*, by: Person, response: Response, reason: str) -> Response:
    """Unblock a response. Raises as `unblock_prompt`."""
    with transaction.atomic():
        _unblock(by, response, reason, Response.State.READY)
        _joined(response)
    response.refresh_from_db()
    return response


def pick_up() -> int:
    """Housekeeping: send a job for each project where rows wait and no job scores.

    After a failure a project is tried again later. While a model that it names is missing it is not tried: approving
    or naming a model sends a job.

    Returns:
        How many jobs were sent.
    """
    sent, since = 0, timezone.now() - TRY_AGAIN_AFTER
    for project in Project.objects.exclude(screening={}):
        pass_unscreened(project)
        scoring = Job.objects.filter(project=project, kind=Job.Kind.SCORE)
        last = scoring.order_by("-id").first()
        resting = last is not None and (
            last.status in Job.ACTIVE or (last.status == Job.Status.FAILED and (last.finished_at or since) >= since)
        )
        if not resting and not guard_models.missing(project) and waits(project):
            with transaction.atomic():
                sent += arrivals.ask_worker(project) is not None
    return sent


def pass_unscreened(project: Project) -> int:
    """Let waiting rows pass unscreened if the project allows it and its guard model has been away for `AWAY_AFTER`.

    Prompts that the tagger must search for personal data are held in any case: what it would mask must not be stored.

    Returns:
        How many prompts and responses passed; the `screening` of each records it.
    """
    setting = guard_models.of(project)
    if setting.guard is None or setting.guard.when_away != PASS or not _is_away(project):
        return 0
    passed = 0
    for response in waiting_responses(project)[:MOST_PASSED]:
        _mark_unscreened(response, project)
        passed += settle_response(response, guard=None, version=None, scores={})
    if not setting.marks_personal:
        for prompt in waiting_prompts(project)[:MOST_PASSED]:
            _mark_unscreened(prompt, project)
            passed += settle_prompt(prompt, guard=None, version=None, scores={}, spans=[])
    if passed:
        events.record("project.passed_unscreened", project, actor=None, project=project, count=passed)
    return passed


def _mark_unscreened(row: Prompt | Response, project: Project) -> None:
    row.project = project
    row.screening = row.screening | {"unscreened": True}


def _is_away(project: Project) -> bool:
    """Whether no job has scored for `AWAY_AFTER`, although one was requested that long ago."""
    jobs = Job.objects.filter(project=project, kind=Job.Kind.SCORE).order_by("id")
    scored = jobs.filter(status=Job.Status.SUCCEEDED).last()
    if scored is not None:
        jobs = jobs.filter(pk__gt=scored.pk)
    first = jobs.first()
    return first is not None and first.created_at <= timezone.now() - AWAY_AFTER


def _check_model(project: Project, name: str, kind: str, part: dict[str, Any]) -> None:
    model, missing = part["model"], f"No {kind} is approved yet"
    try:
        if model != NEWEST:
            model, missing = str(UUID(model)), f"The project has no such {kind}"
        version = guard_models.model_of(project, kind, model)
    except ValueError:
        version, missing = None, f"The project has no such {kind}"
    if version is None:
        raise Invalid(f"{missing}. Train one, check its metrics, and approve it.", field=f"screening.{name}.model")
    if name == "guard" and (unknown := sorted(set(part["blocks"]) - set(guard_models.classes_of(version)))):
        known = ", ".join(guard_models.classes_of(version))
        raise Invalid(
            f"{version} has no class {unknown[0]!r}; its classes are {known}.", field="screening.guard.blocks"
        )


def _screened(guard: Guard | None, version: ModelVersion | None, scores: Scores) -> Screened:
    if guard is None or version is None:
        return {"guard": None}
    screened: Screened = {
        "guard": str(version),
        "model": str(version.public_id),
        "scores": {name: round(score, 4) for name, score in scores.items()},
        "at": timezone.now().isoformat(),
    }
    if blocked_by := guard.blocked_by(scores):
        screened["blocked_by"] = blocked_by
    return screened


def _masked(messages: list[dict[str, str]], spans: Spans) -> list[dict[str, str]]:
    """The last user message with its personal spans masked."""
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    places = list(map(itemgetter("start", "end", "label"), spans))
    content = screening.masked(messages[last]["content"], places)
    return [*messages[:last], messages[last] | {"content": content}, *messages[last + 1 :]]


def _unblock(by: Person, row: Prompt | Response, reason: str, state: str) -> None:
    if not reason.strip():
        raise Invalid("Enter a reason for unblocking.", field="reason")
    let = {"by": str(by), "reason": reason.strip()[:500], "at": timezone.now().isoformat()}
    blocked = type(row).objects.filter(pk=row.pk, state="blocked")
    if not blocked.update(state=state, screening=row.screening | {"unblocked": let}):
        raise InvalidTransition("It is not blocked.")
    events.record(f"{type(row).__name__.lower()}.unblocked", row, actor=by)


def _go_on(prompt: Prompt) -> None:
    """Request the responses of a prompt that passed, and open its tasks. Call inside a transaction."""
    prompt.refresh_from_db()
    missing = prompt.responses_wanted - prompt.responses.count()
    if missing > 0:
        conversation = prompt.conversation
        by = None if conversation is None else conversation.person
        try:
            generation.request_responses(prompt=prompt, count=missing, by=by, live=conversation is not None)
            Prompt.objects.filter(pk=prompt.pk).update(state=Prompt.State.SCREENED)
        except NoServingModel:
            pass  # what serves was rolled back to nothing since; more can be requested on the prompt's page
    battles.go_on(prompt)
    _open(Task.objects.filter(prompt=prompt))


def _joined(response: Response) -> None:
    """Open the tasks of a settled response, and pair generated responses."""
    _open(Task.objects.filter(responses=response))
    if response.seed is not None:
        generation.join(response.prompt, make_tasks=bool(response.sampling.get("make_tasks", True)))


def _open(tasks: QuerySet[Task]) -> None:
    """Open the waiting tasks of which everything has passed."""
    for task in tasks.filter(state=Task.State.WAITING).select_related("prompt"):
        state = arrivals.task_state(task.prompt, list(task.responses.all()))
        if state != Task.State.WAITING:
            Task.objects.filter(pk=task.pk, state=Task.State.WAITING).update(state=state)


def _withdraw(tasks: QuerySet[Task]) -> None:
    tasks.filter(state__in=[Task.State.WAITING, Task.State.OPEN]).update(state=Task.State.WITHDRAWN)
