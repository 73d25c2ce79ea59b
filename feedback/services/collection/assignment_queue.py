"""Giving tasks out: who gets what next, by the project's queue policy.

Reading comes first. A transaction is opened only when there is something to claim, so that an annotator who waits for
work takes no lock. A slot is taken by one conditional UPDATE, which locks the task; then the annotator's own lock,
their cursor, says whether another tab was given something meanwhile. Nobody who holds a cursor waits for a task.

Every assignment keeps the arm that chose it and the chance with which that arm was drawn, given what was found empty
before it: where a check was drawn and none was left, the queue stands in with what it would have had in any case.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from random import Random, SystemRandom
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from feedback.db.compiled_queries import CompiledSelect, insert
from feedback.db.unit_of_work import Contended
from feedback.models import (
    Annotation,
    Arm,
    Assignment,
    Kind,
    Membership,
    Person,
    Project,
    QueueCursor,
    Task,
)
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.pairing import CHANCE_BITS, PRIORITIES, shown_order
from feedback.rules.collection.queue_policy import ONLY_GOLD, QueuePolicy, drawn
from feedback.services.collection import assignment_queries as ask_for
from feedback.services.collection.assignment_queries import LAST, LOOK_AHEAD
from feedback.services.collection.exhausted_candidates import CandidateScan
from feedback.services.collection.task_slots import lowest_free_slot

AT_MOST_HELD = 4  # the one shown and three ahead: what can be answered while the network is away
IN_TRAINING = 2  # of the training round less: each answer may be the one that ends it
CHECKS_AT_ONCE = 32  # looked at in one try
CHECK_TRIES = 3
URGENT = (PRIORITIES - 1) << CHANCE_BITS  # queue keys below it have a priority
SHOW_AGAIN_SECONDS = 60  # what is requested again is held longer, but at most so often written
RARE = 0.001  # the weight of kinds that the project neither names nor weighs

State = Assignment.State
chance: Random = SystemRandom()  # which task is a check must not be guessed


@dataclass(frozen=True)
class NoTask:
    """Why there is nothing to do, and when to ask again (seconds)."""

    reason: str
    sentence: str
    retry_after: int = 15

    @property
    def for_you(self) -> bool:
        """It is about who asks: others may have work."""
        about_them = ("daily_limit", "not_qualified", "training_failed", "training_empty", "not_a_member")
        return self.reason in about_them


NOT_A_MEMBER = NoTask(
    "not_a_member",
    "You were removed from this project. Your current work was saved; there are no more tasks for you here.",
    3600,
)


Window = list[tuple[int, int]]  # candidates, each its key and its place in the queue
Find = Callable[[int, int], Window]  # the first of them in a stretch of the queue: after a place, up to another


@dataclass(frozen=True)
class CandidateSource:
    """One way to the next task: candidates some at a time, and why they are given."""

    arm: Arm
    propensity: float
    windows: Iterator["Window"]
    kind: str | None = None  # whose cursor moves along; None: it has none


def next_assignment(
    *,
    project: Project,
    annotator: Person,
    kind: str | None = None,
    ahead: bool = False,
    have: Collection[str] = (),
    within: bool = False,
) -> Assignment | NoTask:
    """What this annotator is to do next.

    Returns what is already held, unless `ahead` is requested: then one more task is held for three minutes, to be ready
    when the present one is sent. Who names the assignments that they `have` (public ids) gets another than these, until
    as many are held as may be; from then on one that they have. `within` the caller's transaction nobody is waited for.

    Raises:
        Contended: within a transaction, which is to be rolled back.
    """
    if project.state != Project.State.OPEN:
        return NoTask("project_" + project.state, f"{project.name} is {project.state}; no tasks are assigned.", 60)
    while True:
        ask = AssignmentRequest(project, annotator, kind, timezone.now(), within)
        if found := ask.at_hand(ahead, have):
            return found
        if why := ask.refusal():
            return why
        walk = CandidateScan(project.pk, ask.decided_by())
        try:
            return walk.recalled() or ask.claim(ahead) or walk.ended(ask.why_nothing())
        except Contended:
            if within:
                raise


class AssignmentRequest:
    """One question for the next task, with what is known of whom it is for."""

    def __init__(self, project: Project, annotator: Person, kind: str | None, now: datetime, within: bool) -> None:
        self.project, self.annotator, self.kind, self.now, self.within = project, annotator, kind, now, within
        self.policy = QueuePolicy.of(project.queue_policy)
        self.who = {"project": project.pk, "annotator": annotator.pk}
        # Before what is held: whatever is given in between shows in the cursor when it is moved.
        self.member, self.cursors = ask_for.who(project, annotator)
        only_annotates = self.member is not None and self.member.role == Membership.Role.ANNOTATOR
        self.blind = annotator.pk if only_annotates and not annotator.is_site_admin else ask_for.NOBODY
        self.held: list[Assignment] = ask_for.HELD.all(now=now, **self.who)

    # --- what is at hand ---------------------------------------------------------------------------

    def at_hand(self, ahead: bool, have: Collection[str]) -> Assignment | None:
        held = [one for one in self.held if self.kind in (None, one.task.kind)]
        if ahead:
            waiting = [one for one in held if one.ahead and str(one.public_id) not in have]
            return waiting[0] if waiting else held[-1] if held and len(self.held) >= self.most else None
        return self._shown(held[0]) if held else None

    def _shown(self, assignment: Assignment) -> Assignment | None:
        """It is in front of them now. None: it lapsed under our hands."""
        until = self.now + timedelta(seconds=settings.LEASE_SECONDS)
        lately = (until - assignment.held_until).total_seconds() < min(SHOW_AGAIN_SECONDS, settings.LEASE_SECONDS / 10)
        if assignment.ahead or assignment.shown_at is None or not lately:
            assignment.ahead, assignment.held_until = False, until
            assignment.shown_at = assignment.shown_at or self.now
            if not ask_for.SHOW(assignment=assignment.pk, until=until, shown=assignment.shown_at):
                return None
        assignment.project = self.project
        return assignment

    # --- who asks ----------------------------------------------------------------------------------

    @cached_property
    def in_training(self) -> bool:
        member = self.member
        if member is None or not self.policy.training_tasks or member.role != Membership.Role.ANNOTATOR:
            return False
        return member.training in (Membership.Training.NEEDED, Membership.Training.FAILED)

    @property
    def most(self) -> int:
        """How many tasks they may hold."""
        return IN_TRAINING if len(self.held) >= IN_TRAINING and self.in_training else AT_MOST_HELD

    @cached_property
    def qualified(self) -> dict[str, list[str]]:
        return self.member.qualified if self.member else {}

    def may_do(self, kind: str) -> bool:
        return kind in self.qualified.get("kinds", [kind]) and self.policy.kind_weights.get(kind, 1) > 0

    def refusal(self) -> NoTask | None:
        """What stands against giving this person anything at all."""
        member = self.member
        if self.in_training and member and member.training == Membership.Training.FAILED:
            return NoTask(
                "training_failed",
                f"You completed the qualification round with fewer than {self.policy.training_pass} % "
                "correct. Read the guidelines again and ask a project admin to restart it.",
                300,
            )
        if self.kind is not None and self.kind not in self.qualified.get("kinds", [self.kind]):
            return self._unqualified(f"You are not qualified for {self.kind} tasks in this project.")
        limit = member.daily_limit if member and member.daily_limit is not None else self.policy.daily_limit
        if limit is None:
            return None
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        today = Annotation.objects.filter(
            annotator=self.annotator, project=self.project, revision=1, created_at__gte=midnight
        ).count()
        if today + len(self.held) < limit:
            return None
        left = int((midnight + timedelta(days=1) - self.now).total_seconds()) + 1
        return NoTask(
            "daily_limit",
            f"You reached your daily limit of {limit} annotations. The limit resets at 00:00 UTC, in "
            f"{left // 3600} h {left % 3600 // 60} min.",
            left,
        )

    def decided_by(self) -> list[Any]:
        """All that decides which tasks there are for this person, the tasks themselves apart."""
        held = [one.pk for one in self.held]
        epoch = self.project.queue_epoch
        return [self.annotator.pk, self.kind, self.project.queue_policy, epoch, self.in_training, self.qualified, held]

    def _unqualified(self, sentence: str) -> NoTask:
        return NoTask("not_qualified", f"{sentence} Ask an admin of the project.", 300)

    # --- ways to a task ----------------------------------------------------------------------------

    def ways(self) -> Iterator[CandidateSource]:
        """In the order in which they are tried."""
        if self.in_training:
            yield CandidateSource(Arm.TRAINING, 1.0, self._along(self._found_by(ask_for.FIND_TRAINING), 0))
            return
        cursor = self.cursors.get("")
        checks = self.policy.gold_chance(cursor is not None and cursor.check_last)
        rest = 1 - checks
        if chance.random() < checks:
            yield CandidateSource(Arm.GOLD, checks, self._checks())
            if self.policy.gold_share == ONLY_GOLD:
                return
            rest = 1.0
        if self.kind is None and not self.policy.kind_weights and not self.qualified:
            yield CandidateSource(Arm.QUEUE, rest, self._along(self._found_by(ask_for.FIND), self._start("")), "")
            return
        if self.kind is None and self.policy.kind_weights:
            kinds = [one for one in Kind.values if self.may_do(one)]
            urgent = self._unseen(Task.objects.with_free_slots()).filter(queue_key__lt=URGENT, kind__in=kinds)
            yield CandidateSource(Arm.QUEUE, rest, self._along(_among(urgent), self._start("")), "")
        for kind, share in drawn(self._weights(), chance):
            yield CandidateSource(Arm.QUEUE, rest * share, self._along(self._of_kind(kind), self._start(kind)), kind)

    def _weights(self) -> dict[str, float]:
        kinds = [kind for kind in Kind.values if self.may_do(kind)]
        if self.kind is not None:
            return {self.kind: 1.0}
        given = self.policy.kind_weights
        return {kind: float(given.get(kind, 1 if kind in self.project.kinds else RARE)) for kind in kinds}

    def _of_kind(self, kind: str) -> Find:
        schemes = self.qualified.get("schemes")
        if schemes is None or not KINDS[kind].uses_scheme:
            return self._found_by(ask_for.FIND_OF_KIND, kind=kind)
        tasks = Task.objects.with_free_slots().filter(kind=kind, ask__scheme__in=schemes)
        return _among(self._unseen(tasks))

    def _unseen(self, tasks: QuerySet[Task]) -> QuerySet[Task]:
        return ask_for.unseen(tasks, self.project, self.annotator, self.blind)

    def _found_by(self, find: CompiledSelect, **more: Any) -> Find:
        return lambda after, upto: find.all(after=after, upto=upto, blind=self.blind, **self.who, **more)

    def _start(self, kind: str) -> int:
        cursor = self.cursors.get(kind)
        return cursor.queue_key if cursor is not None and cursor.epoch == self.project.queue_epoch else 0

    def _along(self, find: Find, start: int) -> Iterator[Window]:
        """From the cursor on, and once round."""
        for after, upto in [(start, LAST), (-1, start)] if start else [(-1, LAST)]:
            while found := find(after, upto):
                yield found
                if len(found) < LOOK_AHEAD:
                    break
                after = found[-1][1]

    def _checks(self) -> Iterator[Window]:
        """Checks not yet seen, from a random place on: everybody meets them in another order. It gives up after some
        tries, so that somebody who has seen nearly all costs no more than others."""
        checks = Task.objects.checks().filter(project=self.project).order_by("queue_key")
        if self.kind is not None or self.qualified or self.policy.kind_weights:
            checks = checks.filter(kind__in=self._weights())
        for _ in range(CHECK_TRIES):
            start = URGENT + chance.randrange(1 << CHANCE_BITS)
            found = list(checks.filter(queue_key__gte=start).values_list("pk", flat=True)[:CHECKS_AT_ONCE])
            if len(found) < CHECKS_AT_ONCE:
                found += checks.filter(queue_key__lt=start).values_list("pk", flat=True)[: CHECKS_AT_ONCE - len(found)]
            if not found:
                return
            unseen = set(self._unseen(Task.objects.filter(pk__in=found)).values_list("pk", flat=True))
            yield from ([(key, 0)] for key in found if key in unseen)

    # --- claiming ----------------------------------------------------------------------------------

    def claim(self, ahead: bool) -> Assignment | None:
        """The first candidate that can be claimed.

        What others are claiming this moment is passed over at first; before saying that there is nothing, it is waited
        for.
        """
        for wait in (False, True):
            met = False
            for way in self.ways():
                for candidates in way.windows:
                    met = True
                    if found := self._claim(way, candidates, wait, ahead):
                        return found
            if not met:
                break
            if self.within:  # whoever is waited for may be waiting for what this transaction holds
                raise Contended
        return None

    def _claim(self, way: CandidateSource, candidates: Window, wait: bool, ahead: bool) -> Assignment | None:
        """A slot of the first candidate that has one, made an assignment."""
        cursor = self._cursor()
        keys = [key for key, _ in candidates]
        keys += keys[-1:] * (LOOK_AHEAD - len(keys))
        take = ask_for.TAKE_WAITING if wait else ask_for.TAKE
        with nullcontext() if self.within else transaction.atomic():
            taken = take.key(**{f"key{place}": key for place, key in enumerate(keys)})
            return None if taken is None else self._assign(taken, way, cursor, ahead)

    def _cursor(self) -> QueueCursor:
        """The annotator's own, made outside of the claim: it stays when that comes to nothing."""
        if "" not in self.cursors:
            made = QueueCursor(project=self.project, annotator=self.annotator)
            if not insert(made, unless_there=True):
                raise Contended
            self.cursors[""] = made
        return self.cursors[""]

    def _assign(self, taken: int, way: CandidateSource, cursor: QueueCursor, ahead: bool) -> Assignment:
        """The task whose slot was taken, and whose row is locked from there on."""
        task: Any = ask_for.TASK.first(task=taken, annotator=self.annotator.pk)
        self._move(way, cursor, task)
        seconds = settings.LEASE_AHEAD_SECONDS if ahead else settings.LEASE_SECONDS
        texts = dict(ask_for.TEXTS.all(task=taken))
        holding: dict[str, Any] = {
            "project_id": task.project_id,
            "state": State.HELD,
            "slot": lowest_free_slot(task),
            "order": shown_order(list(texts), task.public_id, self.annotator.public_id),
            "ahead": ahead,
            "held_until": self.now + timedelta(seconds=seconds),
            "shown_at": None if ahead else self.now,
            "arm": Arm.PRIORITY if way.arm == Arm.QUEUE and task.priority else way.arm,
            "propensity": way.propensity,
        }
        if task.mine is None:
            assignment = Assignment(task=task, annotator=self.annotator, **holding)
            insert(assignment)
            assignment._state.fields_cache["draft"] = None  # just made: nothing is written yet
        else:  # it had expired or was given back: a person has one assignment per task
            mine = Assignment.objects.filter(task=task, annotator=self.annotator)
            if not mine.filter(state__in=[State.EXPIRED, State.RELEASED]).update(**holding):
                raise Contended  # answered after all, while we looked
            assignment = mine.select_related("current").get()
        assignment.task, assignment.project, assignment.texts = task, self.project, texts
        return assignment

    def _move(self, way: CandidateSource, cursor: QueueCursor, task: Task) -> None:
        """The annotator's own lock: of two tabs that ask at once, one gets its answer after the other.

        Raises:
            Contended: the other one was first.
        """
        place, epoch = task.queue_key, self.project.queue_epoch
        moved = ask_for.MOVE(
            cursor=cursor.pk,
            before=cursor.given,
            given=cursor.given + 1,
            check=way.arm == Arm.GOLD,
            place=place if way.kind == "" else cursor.queue_key,
            epoch=epoch if way.kind == "" else cursor.epoch,
        )
        if not moved:
            raise Contended
        if way.kind:
            moved_to = {"queue_key": place, "epoch": epoch}
            QueueCursor.objects.update_or_create(
                project=self.project, annotator=self.annotator, kind=way.kind, defaults=moved_to
            )

    # --- nothing -----------------------------------------------------------------------------------

    def why_nothing(self) -> NoTask:
        if self.in_training:
            return NoTask(
                "training_empty",
                "This project starts with a qualification round, and no task of it is left for you. Contact an admin.",
                60,
            )
        waiting = Task.objects.with_free_slots().filter(project=self.project)
        if self.qualified:
            mine = waiting.filter(kind__in=[kind for kind in Kind.values if self.may_do(kind)])
            if waiting.exists() and not mine.exists():
                return self._unqualified("You are not qualified for the kinds of the open tasks.")
        if waiting.exists():
            return NoTask("all_seen", "You have seen all open tasks. New tasks may arrive later.", 30)
        wanted = Q(annotations_wanted__isnull=False)
        if Task.objects.filter(wanted, project=self.project, state=Task.State.OPEN).exists():
            return NoTask(
                "all_held", "All open tasks are assigned to other annotators. One may become available soon.", 15
            )
        return NoTask("no_tasks", "There are no open tasks. New tasks arrive as responses are generated.", 15)


def _among(tasks: QuerySet[Task]) -> Find:
    return lambda after, upto: list(ask_for.stretch(tasks, after, upto))
