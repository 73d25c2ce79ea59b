"""How many votes a contest will take: near what simulation shows, and never more than the cap."""

from fractions import Fraction

import numpy as np
import pytest

from feedback.rules.evaluation.contest_evidence import Design, UnitResult, recompute
from feedback.rules.evaluation.contest_forecast import NOISE, expected_votes, expected_votes_left
from tests.evaluation import contest_simulation as simulation

WIN, LOSS = UnitResult(Fraction(1)), UnitResult(Fraction(0))


@pytest.mark.parametrize("votes_per_unit", [1, 3])
@pytest.mark.parametrize("rate", [0.6, 0.65, 0.7])
def test_expected_votes_are_near_those_of_simulation(votes_per_unit: int, rate: float) -> None:
    design = Design(votes_per_unit=votes_per_unit)
    drawn = simulation.votes(np.random.default_rng(0), 400, 600, votes_per_unit, rate)
    seen = simulation.follow(simulation.units_of(drawn), design).votes(votes_per_unit)
    assert expected_votes(rate, design, noise=0) == pytest.approx(seen, rel=0.15)


@pytest.mark.parametrize("votes_per_unit", [1, 2, 3])
@pytest.mark.parametrize("preferred", [0.6, 0.65])
def test_votes_of_a_crowd_that_slips_are_expected_to_be_more(votes_per_unit: int, preferred: float) -> None:
    design, rng = Design(votes_per_unit=votes_per_unit), np.random.default_rng(1)
    drawn = simulation.votes(rng, 400, 700, votes_per_unit, preferred)
    coins = rng.integers(0, 2, drawn.shape)
    drawn = np.where(rng.random(drawn.shape) < NOISE, coins, drawn)
    seen = simulation.follow(simulation.units_of(drawn), design).votes(votes_per_unit)
    assert expected_votes(preferred, design) == pytest.approx(seen, rel=0.15)
    assert expected_votes(preferred, design) > 1.3 * expected_votes(preferred, design, noise=0)


def test_expected_votes_are_those_measured_with_the_simulated_crowd() -> None:
    assert expected_votes(0.65, Design()) == pytest.approx(142, rel=0.1)
    assert expected_votes(0.60, Design()) == pytest.approx(321, rel=0.1)
    assert expected_votes(0.55, Design()) == pytest.approx(1094, rel=0.2), "some are given up, or end at the cap"


def test_more_candidates_and_a_smaller_difference_take_more() -> None:
    assert expected_votes(0.6, Design(candidates=5)) > expected_votes(0.6, Design())
    assert expected_votes(0.55, Design()) > 3 * expected_votes(0.6, Design())


def test_equal_models_take_the_whole_cap() -> None:
    assert expected_votes(0.5, Design(cap=300)) == expected_votes(0.4, Design(cap=300)) == 300
    assert expected_votes(0.51, Design(cap=300)) == 300


def test_votes_left_follow_the_units_so_far() -> None:
    design = Design()
    young, leading = [WIN, WIN, LOSS] * 3, [WIN, WIN, LOSS] * 10
    assert expected_votes_left(recompute(young, design), design) is None, "nine units say nothing"
    assert expected_votes_left(recompute([WIN, LOSS] * 10, design), design) is None, "nor do as many losses"
    left = expected_votes_left(recompute(leading, design), design)
    later = expected_votes_left(recompute(leading * 2, design), design)
    assert left is not None and later is not None and 0 < later < left < expected_votes(2 / 3, design)
    assert left - later == 30
    assert expected_votes_left(recompute(leading, design), Design(cap=40)) == 10
