"""The e-process of a contest: figures by hand, a state that equals its recomputation, an interval that covers."""

import json
import math
import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.rules.evaluation.contest_evidence import (
    BETS,
    GRID,
    Design,
    Evidence,
    UnitResult,
    anytime_p,
    decide,
    fold,
    log_e,
    log_mirror,
    recompute,
    replay,
    restore,
    standing,
    start,
)

WIN, TIE, LOSS = UnitResult(Fraction(1)), UnitResult(Fraction(1, 2)), UnitResult(Fraction(0))
UNANSWERED = UnitResult(Fraction(0), missing=Fraction(1))
RULES = Design()
EQUAL = Evidence((0, 0, 0), (0, 0, 0))


def units(k: int, largest: int = 60) -> st.SearchStrategy[list[UnitResult]]:
    """Units of K votes, a few of them void."""
    complete = st.integers(0, 2 * k).map(lambda halves: UnitResult(Fraction(halves, 2 * k)))
    void = st.integers(0, 2 * k - 2).map(
        lambda halves: UnitResult(Fraction(halves, 2 * k), Fraction(k - (halves + 1) // 2, k))
    )
    return st.lists(st.one_of(complete, complete, complete, void), max_size=largest)


def test_the_bets_are_sixteen_from_small_to_large() -> None:
    assert len(BETS) == 16
    assert (BETS[0], BETS[-1]) == pytest.approx((0.04, 1.6))
    assert {round(later / earlier, 9) for earlier, later in pairwise(BETS)} == {round(40 ** (1 / 15), 9)}


def test_two_units_by_hand() -> None:
    """A win and a loss: each bet becomes (1 + b/2)(1 - b/2) = 1 - b^2/4."""
    evidence = recompute([WIN, LOSS], RULES)
    assert math.exp(log_e(evidence, 0.5)) == pytest.approx(sum(1 - bet**2 / 4 for bet in BETS) / 16)
    assert math.exp(evidence.peak) == pytest.approx(sum(1 + bet / 2 for bet in BETS) / 16), "after the win"
    assert evidence.mean == Fraction(1, 2)


def test_large_bets_are_bounded_where_m_is_large() -> None:
    """At m = .9 no bet exceeds 1: a loss leaves .1 of what was staked most."""
    evidence = recompute([LOSS], RULES)
    assert math.exp(log_e(evidence, 0.9)) == pytest.approx(sum(1 - min(bet, 1) * 0.9 for bet in BETS) / 16)
    assert math.exp(log_e(evidence, 1.0)) == pytest.approx(sum(1 - min(bet, 0.9) for bet in BETS) / 16)
    assert log_e(evidence, 0.0) == 0, "no win rate is below 0"


def test_the_mirror_is_the_evidence_of_the_other_side() -> None:
    some = recompute([WIN, WIN, TIE, LOSS, WIN], RULES)
    turned = recompute([LOSS, LOSS, TIE, WIN, LOSS], RULES)
    for mean in (0.1, 0.475, 0.5, 0.525, 0.9):
        assert log_mirror(some, mean) == pytest.approx(log_e(turned, 1 - mean))


def test_ties_are_no_evidence() -> None:
    evidence = recompute([TIE] * 500, RULES)
    assert log_e(evidence, 0.5) == 0 == evidence.peak
    assert anytime_p(evidence, RULES) == 1
    assert decide([evidence], RULES).outcome == "give_up", "they are evidence of a win rate below .525"


def test_wins_promote_and_losses_give_up_at_the_first_unit_that_suffices() -> None:
    won = replay(((0, WIN) for _ in range(100)), RULES)
    assert (won.decision.outcome, won.decision.candidate) == ("promote", 0)
    (after,) = won.evidences
    before = recompute([WIN] * (won.units - 1), RULES)
    assert math.exp(before.peak) < 20 <= math.exp(after.peak)
    assert anytime_p(after, RULES) <= 0.05 < anytime_p(before, RULES)
    lost = replay(((0, LOSS) for _ in range(100)), RULES)
    assert lost.decision.outcome == "give_up"
    (after,) = lost.evidences
    before = recompute([LOSS] * (lost.units - 1), RULES)
    assert math.exp(log_mirror(before, 0.525)) < 10 <= math.exp(log_mirror(after, 0.525))
    assert (won.units, lost.units) == (9, 7)


def test_a_contest_that_is_neither_ends_at_its_cap() -> None:
    rules = Design(cap=10, votes_per_unit=3)
    third = UnitResult(Fraction(1, 3))
    two_thirds = UnitResult(Fraction(2, 3))
    ended = replay(((0, [third, two_thirds][number % 2]) for number in range(50)), rules)
    assert (ended.decision.outcome, ended.units) == ("cap", 3), "a fourth unit would need votes 10 to 12"


def test_what_comes_after_the_decision_changes_nothing() -> None:
    won = [WIN] * 9
    assert replay(((0, unit) for unit in [*won, LOSS, LOSS]), RULES) == replay(((0, unit) for unit in won), RULES)


def test_evidence_that_was_once_enough_stays_enough() -> None:
    evidence = recompute([WIN] * 9 + [LOSS] * 40, RULES)
    assert log_e(evidence, 0.5) < 0
    assert standing(evidence, RULES) == "won"


def test_several_candidates_need_more_each() -> None:
    """Five candidates: 100 instead of 20, and the p-value says so."""
    five = Design(candidates=5)
    nine = recompute([WIN] * 9, five)
    assert standing(nine, five) == "open" and standing(nine, RULES) == "won"
    assert anytime_p(nine, five) == pytest.approx(5 * anytime_p(nine, RULES))
    more = recompute([WIN] * 12, five)
    assert decide([EQUAL, more, nine, EQUAL, EQUAL], five).candidate == 1
    gone = recompute([LOSS] * 20, five)
    assert decide([gone, gone, gone, gone, nine], five).outcome == "open"
    assert decide([gone] * 5, five).outcome == "give_up"


def test_the_cap_counts_the_votes_of_all_candidates() -> None:
    two = Design(candidates=2, cap=10)
    assert decide([recompute([TIE] * 5, two), recompute([TIE] * 4, two)], two).outcome == "open"
    assert decide([recompute([TIE] * 5, two), recompute([TIE] * 5, two)], two).outcome == "cap"


@pytest.mark.parametrize("x", [Fraction(1, 3), Fraction(1, 4), Fraction(3, 2), Fraction(-1)])
def test_what_is_no_mean_of_k_votes_is_refused(x: Fraction) -> None:
    with pytest.raises(ValueError, match="mean of 1 votes"):
        fold(start(RULES), UnitResult(x), RULES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"candidates": 0},
        {"votes_per_unit": 0},
        {"cap": 2, "votes_per_unit": 3},
        {"null": 0.0},
    ],
)
def test_a_design_that_decides_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(RULES, **wrong)


@given(st.sampled_from([1, 2, 3]).flatmap(lambda k: st.tuples(st.just(k), units(k))))
@settings(max_examples=60, deadline=None)
def test_the_stored_state_equals_the_one_recomputed_from_units(drawn: tuple[int, list[UnitResult]]) -> None:
    """Through JSON after every unit, as a row of the database keeps it."""
    k, folded = drawn
    rules = Design(votes_per_unit=k)
    evidence = start(rules)
    for unit in folded:
        evidence = fold(restore(json.loads(json.dumps(evidence.stored()))), unit, rules)
    assert evidence == recompute(folded, rules)
    assert evidence.units == len(folded) == sum(evidence.generous)


@given(units(2), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_matters_to_the_largest_evidence_only(folded: list[UnitResult], rng: random.Random) -> None:
    rules = Design(votes_per_unit=2)
    shuffled = rng.sample(folded, len(folded))
    one, other = recompute(folded, rules), recompute(shuffled, rules)
    assert (one.counts, one.generous) == (other.counts, other.generous)
    assert log_e(one, 0.5) == log_e(other, 0.5) <= min(one.peak, other.peak)


@given(units(1, 40))
@settings(max_examples=40, deadline=None)
def test_the_interval_is_all_that_no_unit_rejected(folded: list[UnitResult]) -> None:
    """Against the definition, on every fiftieth point of the grid and beside both ends."""
    bar = math.log(RULES.interval_bar)
    evidence = recompute(folded, RULES)
    states = [recompute(folded[:count], RULES) for count in range(1, len(folded) + 1)]
    for point in {*range(0, GRID + 1, 50), evidence.low, evidence.low + 1, evidence.high - 1, evidence.high}:
        mean = point / GRID
        below = any(log_e(state, mean) >= bar for state in states)
        above = any(log_mirror(state, mean) >= bar for state in states)
        assert below == (point <= evidence.low and evidence.low > 0)
        assert above == (point >= evidence.high and evidence.high < GRID)


@given(units(3, 30), units(3, 10))
@settings(max_examples=40, deadline=None)
def test_the_interval_only_narrows(first: list[UnitResult], later: list[UnitResult]) -> None:
    rules = Design(votes_per_unit=3)
    before, after = recompute(first, rules), recompute(first + later, rules)
    assert before.low <= after.low and before.high >= after.high


def test_votes_that_contradict_each_other_over_time_leave_no_win_rate() -> None:
    evidence = recompute([WIN] * 60 + [LOSS] * 60, RULES)
    assert evidence.interval is None and evidence.mean == Fraction(1, 2)
    mixed = recompute([WIN, LOSS] * 60, RULES)
    assert mixed.interval is not None and mixed.interval[0] < 0.5 < mixed.interval[1]
    assert start(RULES).interval == (0, 1)


@pytest.mark.parametrize("rate", [0.5, 0.65, 0.95])
def test_the_interval_covers_at_every_unit_at_once(rate: float) -> None:
    rng, runs, missed = random.Random(7), 80, 0
    for _ in range(runs):
        evidence = recompute([WIN if rng.random() < rate else LOSS for _ in range(120)], RULES)
        assert evidence.interval is not None
        low, high = evidence.interval
        missed += not low <= rate <= high
    assert missed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_a_unit_that_nobody_answered_helps_neither_side() -> None:
    """It is a loss to promotion, a win to giving up, and the interval holds both."""
    evidence = recompute([WIN] * 7 + [UNANSWERED], RULES)
    assert log_e(evidence, 0.5) == log_e(recompute([WIN] * 7 + [LOSS], RULES), 0.5)
    assert log_mirror(evidence, 0.525) == log_mirror(recompute([WIN] * 8, RULES), 0.525)
    assert evidence.mean == Fraction(15, 16)
    ignored = recompute([UNANSWERED] * 200, RULES)
    assert ignored.interval is not None and standing(ignored, RULES) == "open"
    assert ignored.interval == (0, 1) and ignored.units == 200
