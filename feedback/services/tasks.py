"""The queue of tasks: who gets what, for how long, exactly K times.

A slot is taken by one conditional UPDATE on the task (`free_slots > 0`), and the database refuses a second holder of a
slot and a second assignment of a task to one person. Every service that changes a task and its assignments locks the
task first, then the assignment, so that no two of them wait for each other.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from feedback.errors import Conflict, ExternalIdConflict, Invalid, InvalidTransition, NotHeld, ProjectClosed
from feedback.models import Assignment, Kind, Person, Project, Prompt, QueueCursor, Response, Task, TaskResponse
from feedback.rules.canonical import body_hash
from feedback.rules.pairing import PRIORITIES, queue_key, shown_order
from feedback.services import events

AT_MOST_HELD = 2  # the one shown and one ahead
LOOK_AHEAD = 8  # candidates fetched at once: the first may be taken under our hands
# How many responses a task of each kind shows. None at all: it is about the prompt.
RESPONSES_OF: dict[str, tuple[int, int]] = {
    Kind.COMPARISON: (2, 2),
    Kind.CONVERSATION: (2, 2),
    Kind.RANKING: (2, 9),
    Kind.RATING: (1, 1),
    Kind.DEMONSTRATION: (0, 1),
    Kind.CLASSIFICATION: (0, 1),
    Kind.SPANS: (0, 1),
}
SKIP_REASONS = ("unclear", "not_qualified", "offensive", "broken", "other")
PROJECT_DEFAULT = object()

State = Assignment.State


@dataclass(frozen=True)
class NoTask:
    """Why there is nothing to do, and when to ask again (seconds)."""

    reason: str
    sentence: str
    retry_after: int = 15


# --- making tasks ------------------------------------------------------------------------------


def create_task(
    *,
    project: Project,
    by: Person | None,
    kind: str,
    prompt: Prompt,
    responses: list[Response],
    annotations_wanted: Any = PROJECT_DEFAULT,
    priority: int = 0,
    gold: dict[str, Any] | None = None,
    ask: dict[str, Any] | None = None,
    arm: str = "given",
    propensity: float = 1.0,
    external_id: str | None = None,
) -> tuple[Task, bool]:
    """A task from given prompt and responses.

    Args:
        annotations_wanted: K; by default the project's. None (everybody may answer once) for gold tasks.
        ask: more about the question: {"scheme": name} for classification and spans.
        gold: the right answer, when the task is a check: {"chosen": response public id} or {"outcome": …}.

    Returns:
        The task, and whether it is new (False: the same external_id and body came before).

    Raises:
        Invalid: the responses do not fit the kind or the prompt.
        ExternalIdConflict: the external_id exists with another body.
    """
    if project.state == Project.State.CLOSED:
        raise ProjectClosed("The project is closed and takes no tasks.")
    _check_responses(kind, prompt, responses)
    _check_scheme(project, kind, ask or {})
    if not 0 <= priority < PRIORITIES:
        raise Invalid(f"The priority must lie between 0 and {PRIORITIES - 1}.", field="priority")
    wanted = project.annotations_per_task if annotations_wanted is PROJECT_DEFAULT else annotations_wanted
    if gold is not None:
        wanted = None
    if wanted is not None and not 1 <= wanted <= 100:
        raise Invalid("Annotations wanted must lie between 1 and 100.", field="annotations_wanted")
    names = [str(response.public_id) for response in responses]
    if gold is not None and gold.get("chosen") is not None and gold["chosen"] not in names:
        raise Invalid("The gold answer must name one of the responses.", field="gold")
    digest = body_hash([kind, str(prompt.public_id), names, wanted, priority, gold, ask or {}])
    if external_id is not None and (before := _same(project, external_id, digest)):
        return before, False
    public_id = uuid.uuid4()
    try:
        with transaction.atomic():
            task = Task.objects.create(
                public_id=public_id,
                project=project,
                kind=kind,
                prompt=prompt,
                annotations_wanted=wanted,
                free_slots=wanted or 1,
                priority=priority,
                queue_key=queue_key(priority, public_id),
                arm=arm,
                propensity=propensity,
                gold=gold,
                ask=ask or {},
                external_id=external_id,
                body_hash=digest,
                created_by=by,
            )
            TaskResponse.objects.bulk_create(
                TaskResponse(task=task, response=response, position=place) for place, response in enumerate(responses)
            )
            if priority:
                rewind_cursors(project)
    except IntegrityError:
        if external_id is not None and (before := _same(project, external_id, digest)):
            return before, False
        raise
    return task, True


def rewind_cursors(project: Project) -> None:
    """Something came in that is to be given out before what cursors have passed."""
    Project.objects.filter(pk=project.pk).update(queue_epoch=F("queue_epoch") + 1)


def withdraw_task(*, by: Person, task: Task) -> Task:
    """Out of the queue. Answers stay; whoever holds it may still send."""
    with transaction.atomic():
        if not Task.objects.filter(pk=task.pk, state__in=[Task.State.OPEN, Task.State.SETTLED]).update(
            state=Task.State.WITHDRAWN
        ):
            raise InvalidTransition("The task is withdrawn already.")
        events.record("task.withdrawn", task, actor=by)
    task.refresh_from_db()
    return task


def reopen_task(*, by: Person, task: Task) -> Task:
    """Back into the queue, or settled at once when it has all it wants."""
    with transaction.atomic():
        locked = Task.objects.select_for_update().get(pk=task.pk)
        if locked.state != Task.State.WITHDRAWN:
            raise InvalidTransition("Only a withdrawn task can be reopened.")
        locked.state = Task.State.OPEN
        locked.save(update_fields=["state"])
        settle(locked)
        events.record("task.reopened", locked, actor=by)
    task.refresh_from_db()
    return task


# --- giving tasks out ---------------------------------------------------------------------------


def next_assignment(
    *, project: Project, annotator: Person, kind: str | None = None, ahead: bool = False
) -> Assignment | NoTask:
    """What this annotator is to do next.

    Returns what is already held, unless `ahead` is asked for: then one more task is held for three minutes, to be ready
    when the present one is sent. At most two are held.
    """
    if project.state != Project.State.OPEN:
        return NoTask("project_" + project.state, f"{project.name} is {project.state}; no tasks are given out.", 60)
    with transaction.atomic():
        # The cursor's row is the annotator's own lock: two tabs asking at once get one answer after the other.
        cursor, _ = QueueCursor.objects.select_for_update().get_or_create(project=project, annotator=annotator)
        now = timezone.now()
        held = list(
            Assignment.objects.select_related("task")
            .filter(project=project, annotator=annotator, state=State.HELD, held_until__gt=now)
            .order_by("ahead", "pk")
        )
        if kind is not None:
            held = [assignment for assignment in held if assignment.task.kind == kind]
        if ahead:
            waiting = [assignment for assignment in held if assignment.ahead]
            if waiting or len(held) >= AT_MOST_HELD:
                return waiting[0] if waiting else held[-1]
        elif held:
            return _show(held[0], now)
        found = _claim_next(cursor, project, annotator, kind, ahead, now)
    return found or _why_nothing(project, annotator)


def _claim_next(
    cursor: QueueCursor, project: Project, annotator: Person, kind: str | None, ahead: bool, now: datetime
) -> Assignment | None:
    """The first task from the cursor on that can be claimed; once round the whole order before giving up.

    What others are claiming this moment is passed over at first; before saying that there is nothing, it is waited for.
    """
    epoch = project.queue_epoch
    start = cursor.queue_key if cursor.epoch == epoch else 0
    for after, wait in dict.fromkeys([(start, False), (0, False), (0, True)]):
        position = after
        while candidates := list(_queue(project, annotator, kind, position, wait)):
            for task in candidates:
                position = task.queue_key
                if assignment := _claim(task, annotator, ahead, now):
                    QueueCursor.objects.filter(pk=cursor.pk).update(queue_key=position, epoch=epoch)
                    return assignment
    if cursor.queue_key:
        QueueCursor.objects.filter(pk=cursor.pk).update(queue_key=0, epoch=epoch)
    return None


def _queue(project: Project, annotator: Person, kind: str | None, after: int, wait: bool) -> Any:
    mine = Assignment.objects.filter(
        task=OuterRef("pk"), annotator=annotator, state__in=[State.HELD, State.SUBMITTED, State.SKIPPED]
    )
    tasks = Task.objects.with_free_slots().filter(project=project, queue_key__gt=after).exclude(Exists(mine))
    # Whoever asked models to answer a prompt may read which one did, so they cannot judge the answers blindly.
    tasks = tasks.exclude(prompt__created_by=annotator, prompt__responses_wanted__gt=0)
    if kind is not None:
        tasks = tasks.filter(kind=kind)
    # SQLite has one writer and ignores locks on rows.
    return tasks.order_by("queue_key").select_for_update(skip_locked=not wait, of=("self",))[:LOOK_AHEAD]


def _claim(task: Task, annotator: Person, ahead: bool, now: datetime) -> Assignment | None:
    """Take a slot of `task`, or None when the last one has just gone."""
    if not take_slot(task):
        return None
    until = now + timedelta(seconds=settings.LEASE_AHEAD_SECONDS if ahead else settings.LEASE_SECONDS)
    keys = list(TaskResponse.objects.filter(task=task).values_list("response_id", flat=True))
    holding = {
        "project_id": task.project_id,
        "state": State.HELD,
        "slot": lowest_free_slot(task),
        "order": shown_order(keys, task.public_id, annotator.public_id),
        "ahead": ahead,
        "held_until": until,
        "shown_at": None if ahead else now,
    }
    # One that had expired or was given back is taken up again: a person has one assignment per task.
    assignment, _ = Assignment.objects.update_or_create(task=task, annotator=annotator, defaults=holding)
    return assignment


def take_slot(task: Task) -> bool:
    """One statement takes one slot, or nothing. Tasks without K have room for everybody."""
    if task.annotations_wanted is None:
        return task.state == Task.State.OPEN
    return bool(Task.objects.with_free_slots().filter(pk=task.pk).update(free_slots=F("free_slots") - 1))


def lowest_free_slot(task: Task) -> int | None:
    """The slot's number (1 to K) for a slot just taken. Call while holding the task's row lock."""
    if task.annotations_wanted is None:
        return None
    taken = set(Assignment.objects.filter(task=task, state__in=Assignment.LIVE).values_list("slot", flat=True))
    return next(slot for slot in range(1, task.annotations_wanted + 1) if slot not in taken)


def free_slot(task: Task) -> None:
    """Give a slot back. An extra answer that is already there fills it. Call while holding the task's row lock."""
    if task.annotations_wanted is None:
        return
    extra = Assignment.objects.filter(task=task, state=State.SUBMITTED, counted=False, slot=None).order_by("pk").first()
    if extra is not None:
        Assignment.objects.filter(pk=extra.pk).update(counted=True, slot=lowest_free_slot(task))
        settle(task)
        return
    Task.objects.filter(pk=task.pk).update(free_slots=F("free_slots") + 1)
    Task.objects.filter(pk=task.pk, state=Task.State.SETTLED).update(state=Task.State.OPEN)


def settle(task: Task) -> None:
    """Settled when it has all the counted answers it wants. Call while holding the task's row lock."""
    if task.annotations_wanted is None:
        return
    if Assignment.objects.filter(task=task, counted=True).count() >= task.annotations_wanted:
        Task.objects.filter(pk=task.pk, state=Task.State.OPEN).update(state=Task.State.SETTLED)


# --- what is held --------------------------------------------------------------------------------


def mark_shown(*, assignment: Assignment) -> Assignment:
    """The annotator sees it now: time runs from here, and it is held for the full ten minutes."""
    return renew(assignment=assignment, shown=True)


def renew(*, assignment: Assignment, shown: bool = False) -> Assignment:
    """More time. One that had expired is held again if its task still has room.

    Raises:
        NotHeld: it was answered, skipped or its place is taken.
    """
    with transaction.atomic():
        task, assignment = lock(assignment)
        now = timezone.now()
        if assignment.state in (State.EXPIRED, State.RELEASED) and take_slot(task):
            assignment.state, assignment.slot = State.HELD, lowest_free_slot(task)
        if assignment.state != State.HELD:
            raise NotHeld(state=assignment.state)
        if shown:
            return _show(assignment, now)
        ahead = assignment.ahead
        seconds = settings.LEASE_AHEAD_SECONDS if ahead else settings.LEASE_SECONDS
        assignment.held_until = now + timedelta(seconds=seconds)
        assignment.save(update_fields=["state", "slot", "held_until"])
    return assignment


def release(*, assignment: Assignment) -> Assignment:
    """Give it back, unanswered; it may come again. Releasing twice is harmless."""
    return _let_go(assignment, State.RELEASED)


def skip(*, assignment: Assignment, reason: str, note: str = "") -> Assignment:
    """Not for this annotator: the slot is free for somebody else, and this person does not get the task again."""
    if reason not in SKIP_REASONS:
        raise Invalid(f"Choose a reason from {', '.join(SKIP_REASONS)}.", field="reason")
    assignment = _let_go(assignment, State.SKIPPED, skip_reason=reason, skip_note=note[:500])
    if assignment.state != State.SKIPPED:
        raise NotHeld(state=assignment.state)
    return assignment


def release_expired(limit: int = 200) -> int:
    """Free what was held too long. Each one in its own short transaction. Returns how many."""
    late = Assignment.objects.filter(state=State.HELD, held_until__lte=timezone.now()).order_by("held_until")
    return sum(_expire(assignment) for assignment in late[:limit])


def lock(assignment: Assignment) -> tuple[Task, Assignment]:
    """The task's row, then the assignment's, both locked: the one order everywhere."""
    task = Task.objects.select_for_update().get(pk=assignment.task_id)
    rows = Assignment.objects.select_for_update(of=("self",)).select_related("project", "current")
    return task, rows.get(pk=assignment.pk)


def _show(assignment: Assignment, now: datetime) -> Assignment:
    assignment.ahead = False
    assignment.shown_at = assignment.shown_at or now
    assignment.held_until = now + timedelta(seconds=settings.LEASE_SECONDS)
    assignment.save(update_fields=["state", "slot", "ahead", "shown_at", "held_until"])
    return assignment


def _let_go(assignment: Assignment, to: str, **changes: Any) -> Assignment:
    with transaction.atomic():
        task, assignment = lock(assignment)
        if assignment.state == State.HELD:
            _set(assignment, state=to, slot=None, **changes)
            free_slot(task)
        elif assignment.state in (State.EXPIRED, State.RELEASED) and to == State.SKIPPED:
            _set(assignment, state=to, **changes)
    return assignment


def _expire(assignment: Assignment) -> bool:
    with transaction.atomic():
        task, assignment = lock(assignment)
        if assignment.state != State.HELD or assignment.held_until > timezone.now():
            return False  # answered or renewed in the meantime
        _set(assignment, state=State.EXPIRED, slot=None)
        free_slot(task)
    return True


def _set(assignment: Assignment, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(assignment, name, value)
    assignment.save(update_fields=list(changes))


def _why_nothing(project: Project, annotator: Person) -> NoTask:
    if Task.objects.with_free_slots().filter(project=project).exists():
        return NoTask(
            "all_seen", "You have seen every task that is open. Others' answers or new tasks may bring more.", 30
        )
    if Task.objects.filter(project=project, state=Task.State.OPEN).exists():
        return NoTask("all_held", "Every open task is held by somebody. One may come free in a moment.", 15)
    return NoTask("no_tasks", "There are no open tasks. New ones come as responses are written.", 15)


def _check_responses(kind: str, prompt: Prompt, responses: list[Response]) -> None:
    if kind not in Kind.values:
        raise Invalid(f"The kind must be one of {', '.join(Kind.values)}.", field="kind")
    fewest, most = RESPONSES_OF[kind]
    if not fewest <= len(responses) <= most:
        wanted = str(most) if fewest == most else f"{fewest} to {most}"
        raise Invalid(f"A {kind} task has {wanted} responses; {len(responses)} were given.", field="responses")
    if len({response.pk for response in responses}) != len(responses):
        raise Invalid("A response stands twice in it.", field="responses")
    for response in responses:
        if response.prompt_id != prompt.pk:
            raise Invalid(f"Response {response.public_id} answers another prompt.", field="responses")
        if response.state != Response.State.READY:
            raise Conflict(f"Response {response.public_id} is {response.state}, not ready.", field="responses")


def _check_scheme(project: Project, kind: str, ask: dict[str, Any]) -> None:
    unknown = sorted(set(ask) - {"scheme"})
    if unknown:
        raise Invalid(f"Unknown key {unknown[0]!r}; a task may ask for a scheme.", field="ask")
    if kind not in (Kind.CLASSIFICATION, Kind.SPANS):
        if ask:
            raise Invalid(f"A {kind} task has no label scheme.", field="ask")
        return
    fitting = sorted(name for name, scheme in project.label_scheme.items() if scheme.get("kind") == kind)
    if ask.get("scheme") not in fitting:
        choices = ", ".join(fitting) or "none yet: add one to the project"
        raise Invalid(f"Name a label scheme of the project for {kind}: {choices}.", field="ask.scheme")


def _same(project: Project, external_id: str, digest: str) -> Task | None:
    before = Task.objects.filter(project=project, external_id=external_id).first()
    if before is not None and before.body_hash != digest:
        raise ExternalIdConflict(field="external_id")
    return before
