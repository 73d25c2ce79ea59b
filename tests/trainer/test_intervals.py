"""Intervals over prompts cover as often as they say at 8, 10 and 20 prompts, and there is none below eight."""

from __future__ import annotations

import random

import numpy
import pytest

from feedback.rules.evaluation import intervals as rules
from trainer.metrics import intervals


@pytest.mark.parametrize("prompts", [8, 10, 20])
def test_the_interval_of_a_mean_covers(prompts: int) -> None:
    """Prompts differ (sd 1) and completions within them (sd 1)."""
    generator = numpy.random.default_rng(prompts)
    covered = []
    for _ in range(800):
        groups = (generator.normal(size=(prompts, 1)) + generator.normal(size=(prompts, 4))).tolist()
        low, high = intervals.of_mean(groups)
        assert low is not None and high is not None
        covered.append(low <= 0 <= high)
    assert numpy.mean(covered) >= 0.93


@pytest.mark.parametrize("prompts", [8, 10, 20])
def test_the_interval_of_a_win_rate_covers(prompts: int) -> None:
    """Every completion against every one of four: 16 verdicts of a prompt hang together."""
    generator = numpy.random.default_rng(prompts)
    covered = []
    for better in (0.0, 1.0, 2.0):
        truth = _win_rate(generator, 20_000, better)
        for _ in range(300):
            low, high = intervals.of_share(_wins(generator, prompts, better).tolist())
            assert low is not None and high is not None
            covered.append(low <= truth <= high)
    assert numpy.mean(covered) >= 0.93


def _wins(generator: numpy.random.Generator, prompts: int, better: float) -> numpy.ndarray:
    prompt = generator.normal(better, 1, (prompts, 1, 1))
    ours, theirs = prompt + generator.normal(size=(prompts, 4, 1)), generator.normal(size=(prompts, 1, 4))
    return (ours > theirs).astype(float).reshape(prompts, 16)


def _win_rate(generator: numpy.random.Generator, prompts: int, better: float) -> float:
    return float(_wins(generator, prompts, better).mean())


def test_completions_of_a_prompt_are_alike() -> None:
    """Twenty prompts, each all won or all lost: 50 completions each must not narrow the interval."""
    won = [[float(n % 2)] for n in range(20)]
    fifty = [group * 50 for group in won]
    assert intervals.of_share(fifty) == pytest.approx(intervals.of_share(won))
    assert intervals.of_mean(fifty) == pytest.approx(intervals.of_mean(won))


def test_fewer_than_eight_prompts_tell_nothing() -> None:
    for measure in (intervals.of_share, intervals.of_mean):
        assert measure([[1.0, 0.0]] * 7) == (None, None)
        assert measure([[1.0, 0.0]] * 8) != (None, None)


def test_the_service_reckons_the_same() -> None:
    """It never imports the trainer, nor the trainer it: two copies of one formula, held equal here."""
    generator = numpy.random.default_rng(1)
    assert intervals.FEWEST == rules.FEWEST
    for _ in range(50):
        groups = [
            (generator.random(generator.integers(1, 6)) < generator.random()).astype(float).tolist() for _ in range(9)
        ]
        assert intervals.of_share(groups) == pytest.approx(rules.clustered(groups))


@pytest.mark.parametrize("prompts", [8, 20])
def test_the_interval_of_votes_with_errors_covers(prompts: int) -> None:
    """A third of the votes by someone who is wrong 9 times of 10, and the truth is known."""
    rng = random.Random(prompts)
    covered = 0
    for _ in range(400):
        groups, informed, weight = [], 0.0, 0.0
        for _ in range(prompts):
            truth = min(0.95, max(0.5, rng.gauss(0.75, 0.08)))
            group = []
            for vote in range(30):
                error = 0.9 if vote % 3 == 0 else 0.0
                agrees = (rng.random() < truth) != (rng.random() < error)
                group.append((float(agrees), error))
                informed += (1 - 2 * error) * (float(agrees) - error)
                weight += (1 - 2 * error) ** 2
            groups.append(group)
        low, high = intervals.of_doubted_share(groups, informed / weight)
        assert low is not None and high is not None and low < informed / weight < high
        covered += low <= 0.75 <= high
    assert covered >= 0.92 * 400


def test_without_errors_it_is_the_interval_of_a_share_and_of_nothing_but_coins_it_is_everything() -> None:
    rng = random.Random(1)
    values = [[float(rng.random() < 0.7) for _ in range(5 + n)] for n in range(10)]
    share = sum(map(sum, values)) / sum(map(len, values))
    doubted = [[(value, 0.0) for value in group] for group in values]
    assert intervals.of_doubted_share(doubted, share) == pytest.approx(intervals.of_share(values))
    coins = [[(value, 0.5) for value in group] for group in values]
    assert intervals.of_doubted_share(coins, 0.5) == (0.0, 1.0)
    assert intervals.of_doubted_share(doubted[:7], share) == (None, None)
