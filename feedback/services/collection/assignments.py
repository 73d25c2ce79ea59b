"""What an annotator holds: more time, giving it back, skipping it. Nothing here costs anybody an answer."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from feedback.errors import Conflict, Invalid, NotHeld
from feedback.models import Assignment, Concern, Draft, Project, Task
from feedback.rules.collection.payloads import unresolve
from feedback.rules.collection.queue_policy import SKIP_REASONS, TAKEN_BACK, QueuePolicy
from feedback.services.collection.task_slots import free_slot, lock, lowest_free_slot, take_slot
from feedback.services.quality import concerns

State = Assignment.State


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


def take_again(*, assignment: Assignment) -> Assignment:
    """What was sent back, held again by the same person, with their answer as a draft to change.

    Raises:
        NotHeld: somebody else took the place meanwhile.
    """
    with transaction.atomic():
        held = renew(assignment=assignment, shown=True)
        last = held.annotations.order_by("-revision").first()
        if last is not None and last.payload:
            answer = unresolve(last.kind, last.payload, last.shown)
            Draft.objects.update_or_create(assignment=held, defaults={"payload": answer})
    return held


def release(*, assignment: Assignment) -> Assignment:
    """Give it back, unanswered; it may come again. Releasing twice is harmless."""
    return _let_go(assignment, State.RELEASED)


def skip(*, assignment: Assignment, reason: str, note: str = "") -> Assignment:
    """Not for this annotator: the slot is free for somebody else, and this person does not get the task again."""
    if reason not in SKIP_REASONS:
        raise Invalid(f"Choose a reason from {', '.join(SKIP_REASONS)}.", field="reason")
    if assignment.task.training_round:
        raise Conflict(
            "Tasks of the qualification round cannot be skipped. Choose an answer; the correct one is shown afterwards."
        )
    assignment = _let_go(assignment, State.SKIPPED, skip_reason=reason, skip_note=note[:500])
    if assignment.state != State.SKIPPED:
        raise NotHeld(state=assignment.state)
    return assignment


def release_expired(limit: int = 200) -> int:
    """Free what was held too long. Each one in its own short transaction. Returns how many."""
    late = Assignment.objects.filter(state=State.HELD, held_until__lte=timezone.now()).order_by("held_until")
    return sum(map(_expire, late[:limit]))


def _show(assignment: Assignment, now: datetime) -> Assignment:
    assignment.ahead = False
    assignment.shown_at = assignment.shown_at or now
    assignment.held_until = now + timedelta(seconds=settings.LEASE_SECONDS)
    assignment.save(update_fields=["state", "slot", "ahead", "shown_at", "held_until"])
    return assignment


def _let_go(assignment: Assignment, to: str, **changes: object) -> Assignment:
    with transaction.atomic():
        task, assignment = lock(assignment)
        if assignment.state == State.HELD:
            _set(assignment, state=to, slot=None, **changes)
            free_slot(task)
        elif assignment.state in (State.EXPIRED, State.RELEASED) and to == State.SKIPPED:
            _set(assignment, state=to, **changes)
        else:
            return assignment
        if to == State.SKIPPED:
            _set_aside(task, assignment.project)
    return assignment


def _set_aside(task: Task, project: Project) -> None:
    """Skipped by so many people that a reviewer looks before anybody else is requested. Reopened: as many again."""
    most = QueuePolicy.of(project.queue_policy).skips_to_review
    skips = task.assignments.filter(state=State.SKIPPED).exclude(skip_reason=TAKEN_BACK).count() if most else 0
    if skips and skips % most == 0:
        Task.objects.filter(pk=task.pk, state=Task.State.OPEN).update(state=Task.State.ASIDE)
        concerns.raise_concern(Concern.Reason.SKIPPED, task)


def _expire(assignment: Assignment) -> bool:
    with transaction.atomic():
        task, assignment = lock(assignment)
        if assignment.state != State.HELD or assignment.held_until > timezone.now():
            return False  # answered or renewed in the meantime
        _set(assignment, state=State.EXPIRED, slot=None)
        free_slot(task)
    return True


def _set(assignment: Assignment, **changes: object) -> None:
    for name, value in changes.items():
        setattr(assignment, name, value)
    assignment.save(update_fields=list(changes))
