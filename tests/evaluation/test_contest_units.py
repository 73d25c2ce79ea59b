"""Units of a contest: numbers in order of hand-out, a completed prefix, voids, refills and extras."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.rules.evaluation.contest_evidence import Design, UnitResult, recompute
from feedback.rules.evaluation.contest_units import (
    HALF,
    LOSS,
    PATIENCE,
    WIN,
    Unit,
    next_to_fold,
    reopens,
    to_void,
    voided,
    vote_value,
    with_votes,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def complete(number: int, x: Fraction = WIN, at: datetime = NOON) -> Unit:
    return Unit(number, "complete", UnitResult(x), at)


def test_a_vote_counts_for_the_candidate() -> None:
    assert vote_value("prefer", for_candidate=True) == 1
    assert vote_value("prefer", for_candidate=False) == 0
    assert vote_value("tie") == vote_value("both_bad") == Fraction(1, 2)
    with pytest.raises(ValueError, match="prefer, tie or both_bad"):
        vote_value("skip")


def test_a_unit_is_complete_with_k_votes_and_its_x_is_exact() -> None:
    waiting = with_votes(Unit(1, "open"), [WIN, HALF], 3, NOON)
    assert waiting == Unit(1, "open") and reopens(waiting)
    done = with_votes(waiting, [WIN, HALF, LOSS], 3, NOON)
    assert done == Unit(1, "complete", UnitResult(Fraction(1, 2)), NOON) and not reopens(done)
    assert with_votes(Unit(2, "open"), [WIN, WIN, LOSS], 3, NOON).result == UnitResult(Fraction(2, 3))


def test_extras_and_later_votes_do_not_touch_a_complete_unit() -> None:
    done = with_votes(Unit(1, "open"), [WIN, LOSS, LOSS], 1, NOON)
    assert done.result == UnitResult(WIN), "two more had been handed out before the first was in"
    assert with_votes(done, [LOSS], 1, NOON + HOUR) == done, "the vote was revised"
    assert voided(done, [], 1) == done


def test_only_the_completed_prefix_is_folded() -> None:
    units = [complete(4, LOSS), Unit(3, "open"), complete(1), complete(2, HALF)]
    prefix = next_to_fold(units, 0)
    assert prefix.results == (UnitResult(WIN), UnitResult(HALF)) and prefix.up_to == 2
    assert next_to_fold(units, 2) == next_to_fold([], 2), "unit 3 keeps unit 4 waiting"
    assert next_to_fold([complete(3, HALF), *units[:1]], 2).results == (UnitResult(HALF), UnitResult(LOSS))


def test_numbers_of_other_candidates_leave_gaps() -> None:
    prefix = next_to_fold([complete(2), complete(9), Unit(11, "open")], 0)
    assert (len(prefix.results), prefix.up_to) == (2, 9)


def test_a_unit_is_void_when_others_have_waited_for_a_day() -> None:
    later = [complete(4, at=NOON + HOUR), complete(5, at=NOON + 5 * HOUR)]
    units = [complete(1), Unit(2, "open"), Unit(3, "open"), *later]
    assert to_void(units, NOON + HOUR + PATIENCE - timedelta(seconds=1)) == []
    assert to_void(units, NOON + HOUR + PATIENCE) == units[1:3]


def test_nothing_is_void_while_nobody_waits() -> None:
    """The last units handed out may take a week; those before a weekend are given a day from Monday's first vote."""
    week = NOON + timedelta(days=7)
    assert to_void([complete(1), Unit(2, "open"), Unit(3, "open")], week) == []
    assert to_void([complete(1), Unit(2, "open"), complete(3, at=week)], week + HOUR) == []


def test_a_void_unit_is_folded_with_the_votes_it_has() -> None:
    void = voided(Unit(2, "open"), [WIN], 3)
    assert void == Unit(2, "void", UnitResult(Fraction(1, 3), Fraction(2, 3)))
    assert voided(Unit(2, "open"), [], 1).result == UnitResult(Fraction(0), Fraction(1))
    assert not reopens(void) and with_votes(void, [WIN] * 3, 3, NOON) == void, "late votes change nothing"
    assert next_to_fold([complete(1), void, complete(3)], 0).up_to == 3


def test_a_unit_with_half_a_result_is_refused() -> None:
    with pytest.raises(ValueError, match="Unit 1 is complete"):
        Unit(1, "complete")
    with pytest.raises(ValueError, match="Unit 2 is open"):
        Unit(2, "open", UnitResult(WIN))


@dataclass
class Room:
    """A contest in which people take, answer, leave and return units in any order."""

    votes_per_unit: int
    now: datetime = NOON
    units: list[Unit] = field(default_factory=list)
    votes: dict[int, list[Fraction]] = field(default_factory=dict)
    folded: list[UnitResult] = field(default_factory=list)
    up_to: int = 0

    def hand_out(self) -> None:
        self.units.append(Unit(len(self.units) + 1, "open"))
        self.votes[len(self.units)] = []

    def vote(self, place: int, value: Fraction) -> None:
        """On any unit, also one that is over: extras, late and revised votes are what people do."""
        if self.units:
            unit = self.units[place % len(self.units)]
            self.votes[unit.number].append(value)
            found = with_votes(unit, self.votes[unit.number], self.votes_per_unit, self.now)
            self.units[unit.number - 1] = found
            self.fold()

    def wait(self, hours: int) -> None:
        self.now += hours * HOUR
        for unit in to_void(self.units, self.now):
            self.units[unit.number - 1] = voided(unit, self.votes[unit.number], self.votes_per_unit)
        self.fold()

    def fold(self) -> None:
        prefix = next_to_fold(self.units, self.up_to)
        self.folded += prefix.results
        self.up_to = prefix.up_to


STEPS = st.lists(
    st.one_of(
        st.just(("hand out", 0)),
        st.tuples(st.just("vote"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
    ),
    max_size=120,
)


@given(STEPS, st.sampled_from([1, 3]), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_whatever_people_do_each_unit_is_folded_once_and_in_order(
    steps: list[tuple[str, int]], votes_per_unit: int, rng: random.Random
) -> None:
    room, over = Room(votes_per_unit), dict[int, Unit]()
    for what, number in steps:
        if what == "hand out":
            room.hand_out()
        elif what == "vote":
            room.vote(number, rng.choice([WIN, HALF, LOSS]))
        else:
            room.wait(number)
        over |= {unit.number: unit for unit in room.units if unit.number not in over and unit.state != "open"}
        assert all(room.units[number - 1] == unit for number, unit in over.items()), "what is over never changes"
    results = [unit.result for unit in room.units]
    assert room.folded == results[: room.up_to]
    assert None not in room.folded
    assert len(results) == room.up_to or results[room.up_to] is None, "the prefix ends at an open unit"
    rules = Design(votes_per_unit=votes_per_unit)
    assert recompute(room.folded, rules).units == room.up_to
