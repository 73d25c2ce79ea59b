"""An equal candidate is promoted in 5 % of contests at most, however often one looks, and the test could tell.

The wrong ways to count must fail the same test: votes as units, completion order, the candidate shown left.
"""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from feedback.rules.evaluation.contest_evidence import Design, UnitResult, replay
from feedback.rules.evaluation.contest_units import Unit, next_to_fold
from tests.evaluation import contest_simulation as simulation
from tests.evaluation.contest_simulation import Halves, follow, in_order_of, results, units_of

RUNS, CAP = 2000, 2000
ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)
WRONG = 0.07
BEGUN = datetime(2026, 3, 2, tzinfo=UTC)


def design(votes_per_unit: int) -> Design:
    return Design(votes_per_unit=votes_per_unit, cap=CAP)


def null_votes(votes_per_unit: int, seed: int = 0) -> Halves:
    rng = np.random.default_rng([seed, votes_per_unit])
    return simulation.votes(rng, RUNS, CAP // votes_per_unit, votes_per_unit, 0.5)


@pytest.fixture(scope="module")
def judged_thrice() -> Halves:
    return null_votes(3)


@pytest.mark.parametrize("votes_per_unit", [1, 3])
def test_an_equal_candidate_is_promoted_in_five_percent_at_most(votes_per_unit: int) -> None:
    runs = follow(units_of(null_votes(votes_per_unit)), design(votes_per_unit))
    assert 0.005 < runs.share("promote") <= ALLOWED


def test_votes_as_units_promote_too_often(judged_thrice: Halves) -> None:
    """Three votes on one prompt are alike, so they are not three observations."""
    one_by_one = 2 * judged_thrice.reshape(RUNS, -1)
    assert follow(one_by_one, design(1)).share("promote") > WRONG


def test_completion_order_promotes_too_often_and_hand_out_order_does_not(judged_thrice: Halves) -> None:
    halves = units_of(judged_thrice)
    moments = simulation.completed_at(np.random.default_rng(1), halves, 3)
    assert follow(in_order_of(moments, halves), design(3)).share("promote") > WRONG
    assert follow(halves, design(3)).share("promote") <= ALLOWED


def test_a_candidate_shown_left_is_promoted_by_its_place() -> None:
    rng, runs = np.random.default_rng(2), 500
    shares = {
        left: follow(simulation.shown_left(rng, runs, CAP, left), design(1)).share("promote") for left in (0.5, 0.6, 1)
    }
    assert shares[0.5] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert shares[0.6] > WRONG
    assert shares[1] > 0.98


@pytest.mark.parametrize("votes_per_unit", [1, 3])
def test_the_pure_function_decides_each_run_alike(votes_per_unit: int) -> None:
    """What the arrays say of 2,000 runs holds of the function that the service uses."""
    rng = np.random.default_rng(3)
    halves = np.concatenate(
        [units_of(simulation.votes(rng, 6, 300 // votes_per_unit, votes_per_unit, rate)) for rate in (0.35, 0.5, 0.65)]
    )
    rules = Design(votes_per_unit=votes_per_unit, cap=300)
    runs = follow(halves, rules)
    for row, outcome, units in zip(halves, runs.outcome, runs.units, strict=True):
        one = replay(((0, unit) for unit in results(row, votes_per_unit)), rules)
        assert (one.decision.outcome, one.units) == (outcome, units)
    assert set(runs.outcome) == {"promote", "give_up", "cap"}


def test_units_that_are_never_answered_do_not_promote() -> None:
    """Nobody answers 3 % of units, only such as the candidate loses. Leaving them out would promote it."""
    rng = np.random.default_rng(5)
    halves = units_of(null_votes(1))
    void = simulation.slow_losses(rng, halves, 1, 0.03)
    assert follow(simulation.left_out(rng, halves, void), design(1)).share("promote") > WRONG
    assert follow(halves, design(1), void).share("promote") <= ALLOWED


def test_units_that_complete_out_of_order_are_folded_in_order_of_their_numbers() -> None:
    """At each completion the prefix is folded, so every look sees what a look in order would have seen."""
    rng = np.random.default_rng(4)
    halves = units_of(simulation.votes(rng, 5, 400, 1, 0.6))
    moments = simulation.completed_at(rng, halves, 1)
    for row, ends in zip(halves, moments, strict=True):
        units = results(row, 1)
        assert fold_as_they_complete(units, ends.tolist()) == units
        assert [units[one] for one in ends.argsort()] != units


def fold_as_they_complete(results: list[UnitResult], ends: list[float]) -> list[UnitResult]:
    units = [Unit(number, "open") for number in range(1, len(results) + 1)]
    folded: list[UnitResult] = []
    up_to = 0
    for place in sorted(range(len(results)), key=ends.__getitem__):
        at = BEGUN + timedelta(minutes=ends[place])
        units[place] = Unit(place + 1, "complete", results[place], at)
        prefix = next_to_fold(units[up_to:], up_to)
        folded += prefix.results
        up_to = prefix.up_to
    return folded


@pytest.mark.long
@pytest.mark.parametrize("votes_per_unit", [1, 3])
def test_the_pure_function_over_all_null_runs(votes_per_unit: int) -> None:
    """The same 2,000 runs through the function that the service uses, a peek at every unit."""
    halves = units_of(null_votes(votes_per_unit))
    promoted = 0
    for row in halves:
        units = ((0, unit) for unit in results(row, votes_per_unit))
        promoted += replay(units, design(votes_per_unit)).decision.outcome == "promote"
    assert promoted / RUNS == follow(halves, design(votes_per_unit)).share("promote") <= ALLOWED
