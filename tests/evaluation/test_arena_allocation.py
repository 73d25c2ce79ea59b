"""Several candidates: who gets the next vote, with which probability, and what the contest's error becomes."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.rules.evaluation.arena_allocation import Record, chance_of_largest, choose, propensities
from feedback.rules.evaluation.contest_evidence import Design
from tests.evaluation import arena_simulation as arena

RECORDS = st.builds(Record, st.integers(0, 300), st.integers(0, 300).map(lambda halves: halves / 2), st.booleans())


def test_two_candidates_by_hand() -> None:
    """Beta(2, 1) against Beta(1, 1): the density 2t times the distribution t is 2/3."""
    assert chance_of_largest([Record(1, 0), Record(0, 0)]) == pytest.approx([2 / 3, 1 / 3], abs=1e-4)
    found = propensities([Record(1, 0), Record(0, 0)])
    assert found == pytest.approx((0.15 + 0.7 * 2 / 3, 0.15 + 0.7 / 3), abs=1e-4)


def test_equal_records_are_equally_likely() -> None:
    assert propensities([Record(3, 4)] * 5) == pytest.approx([0.2] * 5)
    assert propensities([Record(9, 4)]) == (1.0,)


def test_the_integral_agrees_with_draws() -> None:
    records = [Record(30, 20), Record(5, 5), Record(0, 0), Record(55.5, 44.5), Record(2, 11)]
    rng = np.random.default_rng(0)
    draws = np.stack([rng.beta(1 + one.wins, 1 + one.losses, 200_000) for one in records])
    seen = np.bincount(draws.argmax(axis=0), minlength=5) / 200_000
    assert chance_of_largest(records) == pytest.approx(seen.tolist(), abs=0.004)
    assert chance_of_largest(records) == pytest.approx(chance_of_largest(records, points=16_384), abs=1e-4)


def test_one_without_votes_beside_thousands_is_integrated_too() -> None:
    records = [Record(1200, 800), Record(0, 0)]
    assert chance_of_largest(records) == pytest.approx([0.6, 0.4], abs=1e-3), "Beta(1, 1) lies below .6 in .6 of draws"


@given(st.lists(RECORDS, min_size=1, max_size=8).filter(lambda records: not all(one.given_up for one in records)))
@settings(max_examples=60, deadline=None)
def test_propensities_sum_to_one_and_leave_out_whoever_was_given_up(records: list[Record]) -> None:
    found = propensities(records)
    live = sum(not one.given_up for one in records)
    assert math.isclose(sum(found), 1)
    for record, chance in zip(records, found, strict=True):
        assert chance == 0 if record.given_up else chance >= 0.3 / live - 1e-12


def test_choices_follow_their_propensities() -> None:
    records = [Record(12, 8), Record(10, 10), Record(3, 9, given_up=True), Record(0, 0)]
    chances, rng, many = propensities(records), random.Random(1), 800
    counts = [0] * 4
    for _ in range(many):
        made = choose(records, rng)
        assert made.propensity == chances[made.candidate]
        counts[made.candidate] += 1
    assert counts[2] == 0
    for count, chance in zip(counts, chances, strict=True):
        assert abs(count / many - chance) <= 3.5 * math.sqrt(chance * (1 - chance) / many)


def test_the_same_seed_makes_the_same_choice() -> None:
    records = [Record(2, 1), Record(1, 2), Record(0, 0)]
    assert [choose(records, random.Random(seed)) for seed in range(20)] == [
        choose(records, random.Random(seed)) for seed in range(20)
    ]


def test_a_contest_without_candidates_is_over() -> None:
    with pytest.raises(ValueError, match="given up"):
        choose([Record(1, 9, given_up=True)], random.Random(0))


def test_five_equal_candidates_are_hardly_ever_promoted_and_one_good_one_is() -> None:
    runs, design = 200, Design(candidates=5, cap=1200)
    equal = arena.follow(np.random.default_rng(0), [0.5] * 5, arena.thompson, runs, design)
    assert np.mean(equal.winner >= 0) <= 0.05
    one = arena.follow(np.random.default_rng(1), [0.65, 0.5, 0.5, 0.5, 0.5], arena.thompson, runs, design)
    assert np.mean(one.winner == 0) >= 0.9 and np.mean(one.winner > 0) <= 0.03
    turns = arena.follow(np.random.default_rng(1), [0.65, 0.5, 0.5, 0.5, 0.5], arena.round_robin, runs, design)
    assert one.votes.mean() < turns.votes.mean()
