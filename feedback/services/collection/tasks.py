"""Tasks: made from prompts and responses, changed, taken out of the queue and put back."""

import uuid
from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from feedback.errors import Conflict, ExternalIdConflict, Invalid, InvalidTransition
from feedback.models import Assignment, Contest, Person, Project, Prompt, Response, Task, TaskResponse
from feedback.rules.collection import label_schemes
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.messages import last_turn_fault
from feedback.rules.collection.pairing import PRIORITIES, queue_key
from feedback.rules.data.content_hash import body_hash
from feedback.rules.json_types import JsonObject
from feedback.selectors.screening import guard_models
from feedback.services.collection import task_slots
from feedback.services.evaluation import contest_votes
from feedback.services.platform import events
from feedback.services.platform.closed_projects import refuse_when_closed
from feedback.services.quality import concerns
from feedback.services.quality import gold as gold_service
from feedback.services.screening import arrivals

PROJECT_DEFAULT = object()


def create_task(
    *,
    project: Project,
    by: Person | None,
    kind: str,
    prompt: Prompt,
    responses: list[Response],
    annotations_wanted: Any = PROJECT_DEFAULT,
    priority: int = 0,
    gold: JsonObject | None = None,
    explanation: str = "",
    training_round: bool = False,
    ask: JsonObject | None = None,
    arm: str = "given",
    propensity: float = 1.0,
    external_id: str | None = None,
    contest: Contest | None = None,
    follows: bool = False,
) -> tuple[Task, bool]:
    """A task from given prompt and responses.

    Args:
        annotations_wanted: K; by default the project's. None (everybody may answer once) for gold tasks.
        ask: more about the question: {"scheme": name} for classification and spans.
        gold: the right answer, when the task is a check: an answer in letters, a for the first of `responses`, perhaps
            with a tolerance.
        explanation: why that is right.
        training_round: whether new annotators begin with it, and are reported.
        contest: whose unit it is.
        follows: from responses that were requested while the project was open. It may have been closed since: what was
            written is not lost, and the task is given out once the project is open again.

    Returns:
        The task, and whether it is new (False: the same external_id and body came before).

    Raises:
        Invalid: the responses do not fit the kind or the prompt.
        ExternalIdConflict: the external_id exists with another body.
    """
    if not follows:
        refuse_when_closed(project, "tasks")
    _check_prompt(prompt)
    _check_responses(kind, prompt, responses)
    _check_scheme(project, kind, ask or {})
    if not 0 <= priority < PRIORITIES:
        raise Invalid(f"The priority must lie between 0 and {PRIORITIES - 1}.", field="priority")
    wanted = project.annotations_per_task if annotations_wanted is PROJECT_DEFAULT else annotations_wanted
    if gold is not None:
        wanted = None
    elif training_round:
        raise Invalid("A task of the qualification round needs a gold answer.", field="gold")
    if wanted is not None and not 1 <= wanted <= 100:
        raise Invalid("Annotations wanted must be between 1 and 100.", field="annotations_wanted")
    names = [str(response.public_id) for response in responses]
    digest = body_hash([kind, str(prompt.public_id), names, wanted, priority, gold, ask or {}])
    if external_id is not None and (before := _same(project, external_id, digest)):
        return before, False
    public_id = uuid.uuid4()
    if gold is not None:
        gold = gold_service.checked(project, kind, prompt, responses, ask or {}, gold)
    try:
        with transaction.atomic():
            task = Task.objects.create(
                public_id=public_id,
                project=project,
                kind=kind,
                prompt=prompt,
                state=arrivals.current_task_state(prompt, responses),
                annotations_wanted=wanted,
                free_slots=wanted or 1,
                priority=priority,
                queue_key=queue_key(priority, public_id),
                arm=arm,
                propensity=propensity,
                gold=gold,
                explanation=explanation,
                training_round=training_round,
                contest=contest,
                ask=ask or {},
                external_id=external_id,
                body_hash=digest,
                created_by=by,
            )
            place_responses(task, responses)
            if priority:
                rewind_cursors(project)
            if KINDS[kind].marks_text and guard_models.of(project).marker:
                arrivals.ask_worker(project)
    except IntegrityError:
        if external_id is not None and (before := _same(project, external_id, digest)):
            return before, False
        raise
    return task, True


def place_responses(task: Task, responses: Iterable[Response]) -> None:
    """Write which responses a new task shows, in its own order."""
    placed: list[TaskResponse] = []
    for position, response in enumerate(responses):
        placed.append(TaskResponse(task=task, response=response, position=position))
    TaskResponse.objects.bulk_create(placed)


def rewind_cursors(project: Project) -> None:
    """Something came in that is to be given out before what cursors have passed."""
    Project.objects.filter(pk=project.pk).update(queue_epoch=F("queue_epoch") + 1)


def withdraw_task(*, by: Person, task: Task) -> Task:
    """Out of the queue. Answers stay; whoever holds it may still send."""
    with transaction.atomic():
        if not Task.objects.filter(pk=task.pk).exclude(state=Task.State.WITHDRAWN).update(state=Task.State.WITHDRAWN):
            raise InvalidTransition("The task is already withdrawn.")
        concerns.close(task=task, by=by)
        events.record("task.withdrawn", task, actor=by)
    task.refresh_from_db()
    return task


def reopen_task(*, by: Person, task: Task) -> Task:
    """Back into the queue, or settled at once when it has all it wants: one that was withdrawn, or put on hold."""
    with transaction.atomic():
        locked = Task.objects.select_for_update().get(pk=task.pk)
        if locked.state not in (Task.State.WITHDRAWN, Task.State.ASIDE):
            raise InvalidTransition("Only a withdrawn or suspended task can be reopened.")
        lacks_votes = locked.contest_id is not None and bool(locked.free_slots)
        if lacks_votes and locked.state == Task.State.WITHDRAWN and not contest_votes.wants_votes(locked):
            raise InvalidTransition("The contest of this task has closed it, so no annotation is wanted any more.")
        locked.state = arrivals.current_task_state(locked.prompt, list(locked.responses.all()))
        if locked.state == Task.State.WITHDRAWN:
            raise InvalidTransition("The guard model blocked a text of this task. Unblock it first on the prompt page.")
        locked.save(update_fields=["state"])
        concerns.close(task=locked, by=by)
        task_slots.settle(locked)
        events.record("task.reopened", locked, actor=by)
    task.refresh_from_db()
    return task


def change_task(*, by: Person, task: Task, annotations_wanted: int | None = None, priority: int | None = None) -> Task:
    """How many answers it wants, and how soon. What was requested stays as it is: answers were given to it.

    Raises:
        Invalid: out of range, fewer than are held or answered already, or it is a check, which everybody may answer.
    """
    with transaction.atomic():
        locked = Task.objects.select_for_update().get(pk=task.pk)
        if priority is not None and not 0 <= priority < PRIORITIES:
            raise Invalid(f"The priority must lie between 0 and {PRIORITIES - 1}.", field="priority")
        if priority is not None and priority != locked.priority:
            locked.priority, locked.queue_key = priority, queue_key(priority, locked.public_id)
            rewind_cursors(locked.project)
        if annotations_wanted is not None and annotations_wanted != locked.annotations_wanted:
            _refuse_in_contest(locked)
            _change_wanted(locked, annotations_wanted)
        locked.save(update_fields=["priority", "queue_key", "annotations_wanted", "free_slots", "state"])
        task_slots.settle(locked)
        events.record("task.changed", locked, actor=by)
    task.refresh_from_db()
    return task


def _refuse_in_contest(task: Task) -> None:
    if task.contest_id is not None:
        raise Conflict("The task is part of a comparison of models, whose plan says how many people judge it.")


def _change_wanted(task: Task, wanted: int) -> None:
    if task.annotations_wanted is None:
        raise Invalid(
            "A gold task is assigned once per annotator; it has no number of annotations.", field="annotations_wanted"
        )
    live = task.assignments.filter(state__in=Assignment.LIVE)
    taken = [slot for slot in live.values_list("slot", flat=True) if slot is not None]
    highest = max(taken, default=0)
    if not max(1, highest) <= wanted <= 100:
        raise Invalid(f"From {max(1, highest)} (already assigned or annotated) to 100.", field="annotations_wanted")
    task.annotations_wanted, task.free_slots = wanted, wanted - len(taken)
    if task.state == Task.State.SETTLED and task.free_slots:
        task.state = Task.State.OPEN


def _check_prompt(prompt: Prompt) -> None:
    """Prompts from before this was requested at every way in may end otherwise; nothing is judged or trained on
    those."""
    if wrong := last_turn_fault(prompt.messages):
        raise Invalid(wrong, field="prompt")


def _check_responses(kind: str, prompt: Prompt, responses: list[Response]) -> None:
    if kind not in KINDS:
        raise Invalid(f"The kind must be one of {', '.join(KINDS)}.", field="kind")
    rules = KINDS[kind]
    if not rules.fewest_responses <= len(responses) <= rules.most_responses:
        sentence = f"A {kind} task has {rules.responses_wanted} responses; {len(responses)} were given."
        raise Invalid(sentence, field="responses")
    if len(set(responses)) != len(responses):
        raise Invalid("A response occurs twice.", field="responses")
    if alike := rules.find_indistinct([response.text for response in responses]):
        raise Invalid(alike, field="responses")
    for response in responses:
        if response.prompt_id != prompt.pk:
            raise Invalid(f"Response {response.public_id} belongs to another prompt.", field="responses")
        if response.state not in (Response.State.READY, Response.State.SCREENING):
            raise Conflict(f"Response {response.public_id} is {response.state}, not ready.", field="responses")


def _check_scheme(project: Project, kind: str, ask: JsonObject) -> None:
    unknown = sorted(set(ask) - {"scheme"})
    if unknown:
        raise Invalid(f"Unknown key {unknown[0]!r}; only “scheme” is allowed.", field="ask")
    if not KINDS[kind].uses_scheme:
        if ask:
            raise Invalid(f"A {kind} task has no label scheme.", field="ask")
        return
    fitting = sorted(label_schemes.names_of_kind(project.label_scheme, kind))
    if ask.get("scheme") not in fitting:
        choices = ", ".join(fitting) or "none yet; add one to the project"
        raise Invalid(f"Name a label scheme of the project for {kind}: {choices}.", field="ask.scheme")


def _same(project: Project, external_id: str, digest: str) -> Task | None:
    before = Task.objects.filter(project=project, external_id=external_id).first()
    if before is not None and before.body_hash != digest:
        raise ExternalIdConflict(field="external_id")
    return before
