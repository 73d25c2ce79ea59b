"""Where the next task may come from, by the project's queue policy: a draw, then candidates some at a time.

Each source carries the arm that chose it and the probability with which that arm was drawn, given the sources that were
found empty before it. Where a gold task was drawn and none is left, the queue stands in with the probability that it
would have had in any case.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import NamedTuple

from django.db.models import QuerySet

from feedback.db.compiled_queries import CompiledSelect
from feedback.models import Arm, Kind, Task
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.pairing import CHANCE_BITS, PRIORITIES
from feedback.rules.collection.queue_policy import ONLY_GOLD, drawn
from feedback.services.collection import assignment_queries as queries
from feedback.services.collection.assignment_eligibility import Eligibility
from feedback.services.collection.assignment_queries import LAST, LOOK_AHEAD

GOLD_AT_ONCE = 32  # gold tasks looked at in one try
GOLD_TRIES = 3
URGENT = (PRIORITIES - 1) << CHANCE_BITS  # queue keys below it have a priority
WEIGHT_OF_OTHER_KINDS = 0.001  # of kinds that the project neither names nor weighs

chance: Random = SystemRandom()  # which task is a gold task must not be guessed


class Candidate(NamedTuple):
    task: int
    queue_key: int


Window = list[Candidate]
Find = Callable[[int, int], Window]  # the first candidates in a stretch of the queue: after a key, up to another


@dataclass(frozen=True)
class CandidateSource:
    """Candidates, and why they are given. `kind` names the cursor that moves along; None: there is none."""

    arm: Arm
    propensity: float
    windows: Iterator[Window]
    kind: str | None = None


class CandidateSources:
    """The sources for one annotator, in the order in which they are tried."""

    def __init__(self, eligibility: Eligibility) -> None:
        self.eligibility = eligibility
        self.project, self.annotator, self.kind = eligibility.project, eligibility.annotator, eligibility.kind
        self.policy, self.qualified = eligibility.policy, eligibility.qualified

    def __iter__(self) -> Iterator[CandidateSource]:
        if self.eligibility.in_qualification:
            find = self._compiled(queries.find_in_qualification_round)
            yield CandidateSource(Arm.TRAINING, 1.0, _along(find, 0))
            return
        cursor = self.eligibility.cursors.get("")
        gold_share = self.policy.gold_chance(cursor is not None and cursor.check_last)
        rest = 1 - gold_share
        if chance.random() < gold_share:
            yield CandidateSource(Arm.GOLD, gold_share, self._gold_tasks())
            if self.policy.gold_share == ONLY_GOLD:
                return
            rest = 1.0
        if self.eligibility.contest is None or not self.eligibility.may_vote:
            yield from self._queue(rest)
            return
        share = self.eligibility.contest.share
        if chance.random() < share:
            yield CandidateSource(Arm.CONTEST, rest * share, self._of_contest(self.eligibility.contest.key))
            yield from self._queue(rest)
        else:
            yield from self._queue(rest * (1 - share))
            yield CandidateSource(Arm.CONTEST, rest, self._of_contest(self.eligibility.contest.key))

    def _queue(self, rest: float) -> Iterator[CandidateSource]:
        """The whole queue where no kind is preferred; else what is urgent, then one kind after another."""
        if self.kind is None and not self.policy.kind_weights and not self.qualified:
            find = self._compiled(queries.find_in_queue)
            yield CandidateSource(Arm.QUEUE, rest, _along(find, self._start("")), "")
            return
        if self.kind is None and self.policy.kind_weights:
            kinds = [kind for kind in Kind.values if self.eligibility.may_do(kind)]
            urgent = self._unseen(Task.objects.with_free_slots()).filter(queue_key__lt=URGENT, kind__in=kinds)
            yield CandidateSource(Arm.QUEUE, rest, _along(_among(urgent), self._start("")), "")
        for kind, share in drawn(self._weights(), chance):
            windows = _along(self._of_kind(kind), self._start(kind))
            yield CandidateSource(Arm.QUEUE, rest * share, windows, kind)

    def _of_contest(self, contest: int) -> Iterator[Window]:
        """Tasks of a contest: those whose units others wait for, then some that nobody was given yet.

        What they gave back comes last, as in the queue, where others are there to take it: a task that came back at
        once would be known as one of a contest.
        """
        found = queries.select_of_contest.all(project=self.project.pk, annotator=self.annotator.pk, contest=contest)
        windows: tuple[Window, Window, Window] = ([], [], [])
        for key, place, number, given_back in found:
            if given_back and self.eligibility.others_vote:
                windows[2].append(Candidate(key, place))
            elif number is not None:
                windows[0].append(Candidate(key, place))
            elif self.eligibility.may_begin_units:
                windows[1].append(Candidate(key, place))
        for window in windows:
            for start in range(0, len(window), LOOK_AHEAD):
                yield window[start : start + LOOK_AHEAD]

    def _weights(self) -> dict[str, float]:
        if self.kind is not None:
            return {self.kind: 1.0}
        weights = {}
        for kind in Kind.values:
            if self.eligibility.may_do(kind):
                default = 1 if kind in self.project.kinds else WEIGHT_OF_OTHER_KINDS
                weights[kind] = float(self.policy.kind_weights.get(kind, default))
        return weights

    def _of_kind(self, kind: str) -> Find:
        schemes = self.qualified.get("schemes")
        if schemes is None or not KINDS[kind].uses_scheme:
            return self._compiled(queries.find_of_kind, kind=kind)
        tasks = Task.objects.with_free_slots().filter(kind=kind, ask__scheme__in=schemes)
        return _among(self._unseen(tasks))

    def _gold_tasks(self) -> Iterator[Window]:
        """Gold tasks not yet seen, from a random place on, so that everybody meets them in another order.

        It gives up after some tries: somebody who has seen nearly all of them costs no more than others.
        """
        tasks = Task.objects.checks().filter(project=self.project).order_by("queue_key")
        if self.kind is not None or self.qualified or self.policy.kind_weights:
            tasks = tasks.filter(kind__in=self._weights())
        for _ in range(GOLD_TRIES):
            start = URGENT + chance.randrange(1 << CHANCE_BITS)
            found = list(tasks.filter(queue_key__gte=start).values_list("pk", flat=True)[:GOLD_AT_ONCE])
            if len(found) < GOLD_AT_ONCE:
                missing = GOLD_AT_ONCE - len(found)
                found += tasks.filter(queue_key__lt=start).values_list("pk", flat=True)[:missing]
            if not found:
                return
            unseen = set(self._unseen(Task.objects.filter(pk__in=found)).values_list("pk", flat=True))
            for key in found:
                if key in unseen:
                    yield [Candidate(key, 0)]

    def _unseen(self, tasks: QuerySet[Task]) -> QuerySet[Task]:
        return queries.unseen(tasks, self.project, self.annotator, self.eligibility.blind_to)

    def _compiled(self, find: CompiledSelect, **more: str) -> Find:
        who = {"project": self.project.pk, "annotator": self.annotator.pk, "blind": self.eligibility.blind_to}
        return lambda after, upto: find.all(after=after, upto=upto, **who, **more)

    def _start(self, kind: str) -> int:
        """Where the cursor of this kind stands, if the queue has not been shuffled since."""
        cursor = self.eligibility.cursors.get(kind)
        return cursor.queue_key if cursor is not None and cursor.epoch == self.project.queue_epoch else 0


def _along(find: Find, start: int) -> Iterator[Window]:
    """From the cursor on, and once round."""
    for after, upto in [(start, LAST), (-1, start)] if start else [(-1, LAST)]:
        while found := find(after, upto):
            yield found
            if len(found) < LOOK_AHEAD:
                break
            _, after = found[-1]


def _among(tasks: QuerySet[Task]) -> Find:
    def find(after: int, upto: int) -> Window:
        return [Candidate(*row) for row in queries.stretch(tasks, after, upto)]

    return find
