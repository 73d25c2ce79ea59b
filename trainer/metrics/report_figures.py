"""What a report draws: how well chances are stated, how often a policy wins when lengths are equal, and the lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain

import numpy
import numpy.typing as npt

from trainer.json_types import Metrics
from trainer.metrics.intervals import FEWEST, UNKNOWN, Interval, jackknife_error, of_effective

RIDGE = 0.01  # keeps a policy that always wins at a finite estimate
STEPS = 25

Values = npt.NDArray[numpy.float64]


def reliability(p_chosen: Sequence[float], bins: int = 10) -> list[dict[str, float]]:
    """Stated against observed: each pair from its favored side, in bins of confidence from 1/2 to 1.

    Returns:
        predicted (mean confidence), observed (share in which people chose that side), pairs; of each bin that has any.
    """
    confidences: list[list[float]] = [[] for _ in range(bins)]
    right = [0] * bins
    for p in p_chosen:
        confidence = max(p, 1 - p)
        number = min(bins - 1, int((confidence - 0.5) * 2 * bins))
        confidences[number].append(confidence)
        right[number] += p > 0.5
    figures: list[dict[str, float]] = []
    for stated, count in zip(confidences, right, strict=True):
        if stated:
            pairs = len(stated)
            figures.append({"predicted": sum(stated) / pairs, "observed": count / pairs, "pairs": pairs})
    return figures


def lengths(tokens: Sequence[int], bins: int = 12) -> list[dict[str, int]]:
    """How many completions are how long: bins of equal width from 0, `to` not included."""
    width = max(1, math.ceil((max(tokens) + 1) / bins))
    counts = [0] * (max(tokens) // width + 1)
    for length in tokens:
        counts[length // width] += 1
    return [{"from": n * width, "to": (n + 1) * width, "completions": count} for n, count in enumerate(counts)]


def length_controlled(wins: Sequence[Sequence[float]], longer: Sequence[Sequence[float]]) -> Metrics:
    """The win rate that is left between completions of equal length.

    P(win) = sigmoid(a + b tanh(Δ / sd)), Δ the candidate's tokens minus the incumbent's, sd their deviation; what is
    reported is sigmoid(a), with a 95 % interval: Wilson's, of as many observations as the jackknife over whole prompts
    says
    they are worth. After Dubois et al. 2024, section 3, without its terms for models and instructions, of which there
    are two and one here.

    Args:
        wins: for each prompt the verdicts of its pairs, 1, ½ or 0. longer: Δ of the same pairs.

    Returns:
        value, low, high (None below `intervals.FEWEST` prompts); per_sd: b, the log-odds that length brings; prompts.
    """
    verdicts = numpy.array([*chain.from_iterable(wins)], dtype=float)
    all_longer = numpy.array([*chain.from_iterable(longer)], dtype=float)
    scale = float(all_longer.std()) or 1.0
    x = numpy.tanh(all_longer / scale)
    prompt = numpy.repeat(numpy.arange(len(wins)), list(map(len, wins)))
    at, by_length = _fit(verdicts, x, numpy.ones(len(verdicts)))
    value = float(_sigmoid(at))

    def without(number: int) -> float:
        return float(_fit(verdicts, x, (prompt != number).astype(float), begin=(at, by_length))[0])

    low, high = _interval(value, len(wins), verdicts, without)
    return {"value": value, "low": low, "high": high, "per_sd": float(by_length), "prompts": len(wins)}


def _interval(value: float, groups: int, verdicts: Values, without: Callable[[int], float]) -> Interval:
    if groups < FEWEST:
        return UNKNOWN
    if numpy.ptp(verdicts) == 0:  # always the same: each prompt stated so once
        return of_effective(float(verdicts[0]), float(groups), groups)
    variance = value * (1 - value)
    error = jackknife_error(groups, without) * variance  # of the share, from that of its log-odds
    worth = variance / error**2 if error**2 * len(verdicts) > variance else float(len(verdicts))
    return of_effective(value, worth, groups)


def _fit(verdicts: Values, x: Values, weights: Values, begin: tuple[float, float] = (0.0, 0.0)) -> Values:
    """Intercept and slope of a weighted logistic regression with a small ridge, by Newton's method from `begin`."""
    design = numpy.stack([numpy.ones_like(x), x], axis=1)
    found = numpy.array(begin, dtype=float)
    for _ in range(STEPS):
        chance = _sigmoid(design @ found)
        gradient = design.T @ (weights * (verdicts - chance)) - RIDGE * found
        curvature = (design * (weights * chance * (1 - chance))[:, None]).T @ design + RIDGE * numpy.eye(2)
        step = numpy.linalg.solve(curvature, gradient)
        found = found + step
        if float(numpy.abs(step).max()) < 1e-8:
            break
    return found


def _sigmoid(value: Values) -> Values:
    return 1 / (1 + numpy.exp(-numpy.clip(value, -30, 30)))
