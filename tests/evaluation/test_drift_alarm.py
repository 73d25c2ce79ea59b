"""The drift alarm: figures by hand, silence while nothing drifts, an alarm soon after something does."""

import math
import random

import numpy as np
import pytest

from feedback.rules.evaluation.drift_alarm import (
    ANNOTATOR_BAR,
    BETS,
    VERSION_BAR,
    Alarm,
    Baseline,
    fold,
    fold_baseline,
    follow,
    surprise,
)
from tests.evaluation import drift_simulation as simulation


def baseline(accuracy: float = 0.75, p: float = 0.75) -> Baseline:
    """300 labels with exactly this accuracy."""
    found = Baseline()
    right = round(300 * accuracy)
    for number in range(300):
        found = fold_baseline(found, surprise(p, float(number < right)))
    return found


def test_the_baseline_by_hand() -> None:
    found = baseline(0.7)
    assert found.complete and found.mean == pytest.approx(0.05)
    assert found.error == pytest.approx(math.sqrt(0.21 * 300 / 299 / 300))
    assert found.allowance == pytest.approx(0.05 + 0.02 + 1.64 * found.error)
    assert fold_baseline(found, 1.0) == found, "the 301st label changes it no more"


def test_two_labels_by_hand() -> None:
    usual = baseline()
    drift = 0.75 - usual.allowance
    one = fold(Alarm(), 0.75, usual)
    assert one.bets == pytest.approx([1 + bet * drift for bet in BETS])
    two = fold(one, 0.75, usual)
    assert two.bets == pytest.approx([(1 + bet * drift) * (2 + bet * drift) for bet in BETS])
    assert two.level == pytest.approx(sum(two.bets) / 8) and two.labels == 2 and two.alarm_at is None


def test_it_is_silent_until_the_baseline_is_complete() -> None:
    with pytest.raises(ValueError, match="299 of 300"):
        fold(Alarm(), 0.5, Baseline(299, 0.0, 60.0))


def test_an_alarm_that_sounded_stays() -> None:
    sounded = follow([0.9] * 100, baseline())
    assert sounded.alarm_at is not None and sounded.labels == sounded.alarm_at
    assert fold(sounded, -0.5, baseline()) == sounded


def test_an_annotator_needs_more_than_a_version() -> None:
    rng = random.Random(0)
    inverted = [surprise(0.75, float(rng.random() > 0.75)) for _ in range(200)]
    version, person = follow(inverted, baseline()), follow(inverted, baseline(), ANNOTATOR_BAR)
    assert version.alarm_at is not None and person.alarm_at is not None
    assert version.alarm_at < person.alarm_at < 120


@pytest.mark.parametrize(("p", "correct"), [(0.4, 1), (1.1, 1), (0.7, 0.5)])
def test_a_pair_turned_the_wrong_way_is_refused(p: float, correct: float) -> None:
    with pytest.raises(ValueError, match="p_favored"):
        surprise(p, correct)


def test_no_bet_goes_below_zero() -> None:
    """A model that was sure and wrong, and now is right: r = -1.52, and 1 - .8 x 1.52 is below zero."""
    bets = follow([-0.5] * 50, baseline(accuracy=0.0, p=1.0)).bets
    assert bets[-1] == 0 and all(bet >= 0 for bet in bets)


@pytest.mark.parametrize("name", simulation.MODELS)
def test_a_calm_version_is_silent_and_a_drop_is_found(name: str) -> None:
    """Two hundred versions of 1,000 labels; loop: from .75 to .60 in a median of 170 labels."""
    rng, favored = np.random.default_rng(0), simulation.MODELS[name]
    assert np.mean(simulation.alarms(rng, favored, 200, 1000) > 0) <= 0.03
    dropped = simulation.alarms(rng, favored, 200, 1000, accuracy=0.6)
    assert np.mean(dropped > 0) >= 0.95
    assert np.median(dropped[dropped > 0]) <= 260


def test_inverters_and_spammers_are_named_and_careful_people_are_not() -> None:
    rng, favored = np.random.default_rng(1), simulation.spread_gaps
    inverter = simulation.alarms(rng, favored, 200, 300, accuracy=0.25, bar=ANNOTATOR_BAR)
    spammer = simulation.alarms(rng, favored, 200, 600, accuracy=0.5, bar=ANNOTATOR_BAR)
    careful = simulation.alarms(rng, favored, 300, 600, bar=ANNOTATOR_BAR)
    assert inverter.min() > 0 and np.median(inverter) <= 60
    assert np.median(spammer[spammer > 0]) <= 130
    assert np.mean(careful > 0) <= 0.01


def test_the_arrays_follow_the_pure_rule() -> None:
    """What is said of thousands of versions holds of the rule that the service uses."""
    for seed in range(10):
        found = simulation.alarms(np.random.default_rng(seed), simulation.one_gap, 1, 800, accuracy=0.6)
        rng = np.random.default_rng(seed)
        before = simulation.labels_of(rng, simulation.one_gap(rng, (1, 300)), 0.75)[0]
        after = simulation.labels_of(rng, simulation.one_gap(rng, (1, 800)), 0.6)[0]
        usual = Baseline()
        for one in before:
            usual = fold_baseline(usual, float(one))
        assert (follow([float(one) for one in after], usual, VERSION_BAR).alarm_at or 0) == found[0]
