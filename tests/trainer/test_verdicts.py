"""A win rate at equal lengths, stated against observed chances, and lengths, on numbers that can be checked by hand."""

from __future__ import annotations

import numpy
import pytest

from trainer.metrics.report_figures import length_controlled, lengths, reliability


def test_a_policy_that_wins_by_length_alone_wins_half_at_equal_length() -> None:
    """Longer by one deviation wins nine times in ten; the candidate is the longer one in four pairs of five."""
    found, raw = [], []
    for world in range(12):
        generator = numpy.random.default_rng(world)
        longer = numpy.where(generator.random((300, 4)) < 0.8, 1.0, -1.0) * generator.integers(20, 60, (300, 4))
        chance = 1 / (1 + numpy.exp(-2.9 * numpy.tanh(longer / longer.std())))
        wins = (generator.random((300, 4)) < chance).astype(float)
        found.append(length_controlled(wins.tolist(), longer.tolist()))
        raw.append(wins.mean())
    assert min(raw) > 0.7
    assert numpy.mean([one["value"] for one in found]) == pytest.approx(0.5, abs=0.02)
    assert sum(one["low"] <= 0.5 <= one["high"] for one in found) >= 10
    assert all(one["per_sd"] > 2 and one["prompts"] == 300 for one in found)


def test_a_better_policy_of_equal_length_keeps_its_win_rate() -> None:
    wins = [[1.0, 1.0, 1.0, 0.0]] * 50
    longer = [[5.0, -5.0, 5.0, -5.0], [-5.0, 5.0, -5.0, 5.0]] * 25
    found = length_controlled(wins, longer)
    assert found["value"] == pytest.approx(0.75, abs=0.01)
    same = length_controlled(wins, [[0.0] * 4] * 50)
    assert same["value"] == pytest.approx(0.75, abs=0.001)


def test_the_slope_equals_an_independent_fit() -> None:
    """Against scikit-learn's logistic regression with the same penalty on the slope, which the data drown."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = numpy.random.default_rng(2)
    longer = generator.normal(0, 30, (200, 5))
    wins = (generator.random((200, 5)) < 1 / (1 + numpy.exp(-(0.4 + 1.5 * numpy.tanh(longer / 30))))).astype(float)
    found = length_controlled(wins.tolist(), longer.tolist())
    x = numpy.tanh(longer.ravel() / longer.std())[:, None]
    fitted = linear_model.LogisticRegression(C=100.0).fit(x, wins.ravel())
    assert found["per_sd"] == pytest.approx(float(fitted.coef_[0, 0]), rel=0.01)
    assert found["value"] == pytest.approx(1 / (1 + numpy.exp(-float(fitted.intercept_[0]))), abs=0.002)


@pytest.mark.parametrize("prompts", [8, 10, 20])
def test_the_interval_at_equal_lengths_covers(prompts: int) -> None:
    """Prompts differ in how hard they are (sd 1 in log-odds); the truths are the fits to 60,000 of them."""
    generator = numpy.random.default_rng(prompts)
    covered = []
    for better, truth in ((0.0, 0.4993), (2.0, 0.8461)):
        for _ in range(100):
            longer = generator.normal(0.3, 1, (prompts, 8))
            odds = better + generator.normal(0, 1, (prompts, 1)) + 0.8 * numpy.tanh(longer)
            wins = generator.random(odds.shape) < 1 / (1 + numpy.exp(-odds))
            found = length_controlled(wins.astype(float).tolist(), longer.tolist())
            covered.append(found["low"] <= truth <= found["high"])
    assert numpy.mean(covered) >= 0.93


def test_equal_lengths_say_nothing_of_too_few_prompts_nor_too_much_of_a_clean_sweep() -> None:
    few = length_controlled([[1.0, 0.0]] * 7, [[1.0, -1.0]] * 7)
    assert (few["low"], few["high"], few["prompts"]) == (None, None, 7)
    swept = length_controlled([[1.0] * 4] * 8, [[1.0, -1.0, 2.0, -2.0]] * 8)
    assert swept["low"] == pytest.approx(0.589, abs=0.001) and swept["high"] == 1


def test_reliability_reads_each_pair_from_its_favoured_side() -> None:
    told = reliability([0.96, 0.98, 0.04, 0.55, 0.45])
    assert told == [
        {"predicted": pytest.approx(0.55), "observed": 0.5, "pairs": 2},
        {"predicted": pytest.approx(0.9666667), "observed": pytest.approx(2 / 3), "pairs": 3},
    ]


def test_every_completion_has_its_length_counted_once() -> None:
    found = lengths([0, 1, 11, 12, 23])
    assert sum(one["completions"] for one in found) == 5
    assert (found[0]["from"], found[-1]["to"]) == (0, 24) and found[-1]["completions"] == 1
    assert lengths([0]) == [{"from": 0, "to": 1, "completions": 1}]
