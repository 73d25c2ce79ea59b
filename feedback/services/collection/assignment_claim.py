"""Claiming a slot of a candidate task, so that exactly K people hold it whatever everybody does at once.

A slot is taken by one conditional UPDATE, which locks the task. Then the annotator's own lock, their cursor, tells
whether another tab was given something meanwhile. Nobody who holds a cursor waits for a task.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings

from feedback.db.compiled_queries import insert
from feedback.db.unit_of_work import WouldWait, in_unit_of_work, unit_of_work
from feedback.models import Arm, Assignment, QueueCursor, Task
from feedback.rules.collection.pairing import shown_order
from feedback.services.collection import assignment_queries as queries
from feedback.services.collection.assignment_eligibility import Eligibility
from feedback.services.collection.assignment_queries import LOOK_AHEAD
from feedback.services.collection.candidate_sources import CandidateSource, CandidateSources, Window
from feedback.services.collection.task_slots import lowest_free_slot
from feedback.services.evaluation import contest_votes

State = Assignment.State


class Overtaken(Exception):
    """Something else was first: another request of the same annotator, or the end of a contest. What was taken is given
    back; look anew."""


def claim(eligibility: Eligibility, ahead: bool) -> Assignment | None:
    """The first candidate that can be claimed, as an assignment; None if there is no candidate.

    Tasks that others are claiming this moment are skipped at first. Before saying that there is nothing, they are
    waited for.

    Raises:
        Overtaken: another tab was given something meanwhile.
        WouldWait: only waiting would tell, and the caller's unit of work must not wait.
    """
    for wait in (False, True):
        met = False
        for source in CandidateSources(eligibility):
            candidates = next(source.windows, None)
            if candidates is None:
                continue
            met = True
            found = _claim_one_of(candidates, source, eligibility, wait=wait, ahead=ahead)
            found = found or _claim_from_rest(source, eligibility, wait=wait, ahead=ahead)
            if found:
                return found
        if not met:
            return None
        if in_unit_of_work():
            raise WouldWait
    return None


def _claim_from_rest(
    source: CandidateSource, eligibility: Eligibility, *, wait: bool, ahead: bool
) -> Assignment | None:
    """Claim one of the candidates after the first window, all of which others have taken.

    Each window is read in the transaction that claims from it. SQLite's writers take turns, so what was read before the
    turn would have been taken again when the turn comes: with 32 busy annotators a newcomer would wait for all of them
    to pause.
    """
    while True:
        with unit_of_work():
            candidates = next(source.windows, None)
            if candidates is None:
                return None
            if found := _claim_one_of(candidates, source, eligibility, wait=wait, ahead=ahead):
                return found


def _claim_one_of(
    candidates: Window, source: CandidateSource, eligibility: Eligibility, *, wait: bool, ahead: bool
) -> Assignment | None:
    cursor = _own_cursor(eligibility)
    keys = [key for key, _ in candidates]
    keys += keys[-1:] * (LOOK_AHEAD - len(keys))
    take = queries.take_slot_waiting if wait else queries.take_slot
    with unit_of_work():
        taken = take.key(**{f"key{place}": key for place, key in enumerate(keys)})
        if taken is None:
            return None
        try:
            return _assign(taken, source, cursor, eligibility, ahead)
        except Overtaken:
            queries.give_slot_back(task=taken)  # a joined unit goes on, and must not keep it
            raise


def _own_cursor(eligibility: Eligibility) -> QueueCursor:
    """The annotator's cursor, made outside of the claim: it stays when the claim comes to nothing."""
    cursor = eligibility.cursors.get("")
    if cursor is None:
        cursor = QueueCursor(project=eligibility.project, annotator=eligibility.annotator)
        if not insert(cursor, unless_there=True):
            raise Overtaken
        eligibility.cursors[""] = cursor
    return cursor


def _assign(
    taken: int, source: CandidateSource, cursor: QueueCursor, eligibility: Eligibility, ahead: bool
) -> Assignment:
    """An assignment of the task whose slot was taken; the task's row is locked until the transaction ends."""
    project, annotator, now = eligibility.project, eligibility.annotator, eligibility.now
    task: Any = queries.select_task.first(task=taken, annotator=annotator.pk)
    # Before the cursor: whoever counts a vote holds the contest, and may then wait for their cursor.
    if task.contest_id is not None and not contest_votes.give_number(task):
        raise Overtaken  # it has ended or was paused
    _move(cursor, source, task, eligibility)
    seconds = settings.LEASE_AHEAD_SECONDS if ahead else settings.LEASE_SECONDS
    texts = dict(queries.select_texts.all(task=taken))
    arm = source.arm
    if arm == Arm.QUEUE and task.priority:
        arm = Arm.PRIORITY
    holding: dict[str, Any] = {
        "project_id": task.project_id,
        "state": State.HELD,
        "slot": lowest_free_slot(task),
        "order": shown_order(list(texts), task.public_id, annotator.public_id),
        "ahead": ahead,
        "held_until": now + timedelta(seconds=seconds),
        "shown_at": None if ahead else now,
        "arm": arm,
        "propensity": source.propensity,
    }
    if task.mine is None:
        assignment = Assignment(task=task, annotator=annotator, **holding)
        insert(assignment)
        assignment._state.fields_cache["draft"] = None  # just made: nothing is written yet
    else:  # it had expired or was given back: a person has one assignment per task
        mine = Assignment.objects.filter(task=task, annotator=annotator)
        if not mine.filter(state__in=[State.EXPIRED, State.RELEASED]).update(**holding):
            raise Overtaken  # they submitted it meanwhile
        assignment = mine.select_related("current").get()
    assignment.task, assignment.project, assignment.texts = task, project, texts
    return assignment


def _move(cursor: QueueCursor, source: CandidateSource, task: Task, eligibility: Eligibility) -> None:
    """Move the cursor, the annotator's own lock: of two tabs that ask at once, the second waits for the first here.

    Raises:
        Overtaken: the other one was first.
    """
    place, epoch = task.queue_key, eligibility.project.queue_epoch
    along_the_queue = source.kind == ""
    moved = queries.move_cursor(
        cursor=cursor.pk,
        before=cursor.given,
        given=cursor.given + 1,
        check=source.arm == Arm.GOLD,
        place=place if along_the_queue else cursor.queue_key,
        epoch=epoch if along_the_queue else cursor.epoch,
    )
    if not moved:
        raise Overtaken
    if source.kind:
        QueueCursor.objects.update_or_create(
            project=eligibility.project,
            annotator=eligibility.annotator,
            kind=source.kind,
            defaults={"queue_key": place, "epoch": epoch},
        )
