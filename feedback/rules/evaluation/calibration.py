"""Whether a reward model's probabilities are right as often as they say: bins of the reliability diagram, their error.

`trainer` has its own on tensors for held-out pairs. This one is for live labels, with intervals by prompt.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from feedback.rules.evaluation.intervals import clustered

BINS = 10  # of equal width over [1/2, 1]


class Scored(NamedTuple):
    """A live label. `p`: of the response that the model favors, in [1/2, 1]; `correct`: 1 if it was chosen, else 0."""

    prompt: Hashable
    p: float
    correct: float


@dataclass(frozen=True)
class Bin:
    """Labels whose p lies in [`start`, `end`), the last bin with its end.

    Attributes:
        predicted, observed: mean p, and share correct.
        low, high: 95 % interval of `observed` by prompt; None for too few prompts.
    """

    start: float
    end: float
    labels: int
    predicted: float
    observed: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Reliability:
    """Bins that hold labels, in order. `error`: mean |predicted - observed| over labels, in [0, 1]; None for none."""

    bins: tuple[Bin, ...]
    error: float | None


def reliability(labels: Iterable[Scored]) -> Reliability:
    """Source of the error: Naeini et al. 2015, expected calibration error, here in ten bins over [1/2, 1]."""
    members: dict[int, list[Scored]] = defaultdict(list)
    for one in labels:
        place = min(BINS - 1, int((one.p - 0.5) * 2 * BINS))
        members[place].append(one)
    bins = tuple(_bin(place, rows) for place, rows in sorted(members.items()))
    total = sum(one.labels for one in bins)
    if not total:
        return Reliability((), None)
    return Reliability(bins, sum(one.labels * abs(one.predicted - one.observed) for one in bins) / total)


def accuracy(labels: Iterable[Scored]) -> tuple[float | None, float | None, float | None]:
    """(share correct, low, high) with a 95 % interval by prompt; None where there are too few."""
    groups = _by_prompt(labels)
    values = [value for group in groups.values() for value in group]
    if not values:
        return None, None, None
    low, high = clustered(groups.values())
    return sum(values) / len(values), low, high


def ceiling(agreement: float) -> tuple[float, float]:
    """Bounds of the best accuracy that any model can have on single labels, from repeated labels of the same pairs.

    Where a share q of people prefers one response, two of them agree with q^2 + (1 - q)^2 and the best guess is right
    with max(q, 1 - q). Over pairs the mean of the latter is at least the mean of the former, and by Jensen's inequality
    at most 1/2 + sqrt(2 a - 1) / 2.

    Args:
        agreement: a, the share of pairs of people who agree, in [0, 1]; below 1/2 is chance.

    Returns:
        (least, most), both in [1/2, 1].
    """
    above = max(0.0, 2 * agreement - 1)
    return max(0.5, agreement), 0.5 + above**0.5 / 2


def _bin(place: int, rows: list[Scored]) -> Bin:
    width = 0.5 / BINS
    low, high = clustered(_by_prompt(rows).values())
    return Bin(
        start=0.5 + place * width,
        end=0.5 + (place + 1) * width,
        labels=len(rows),
        predicted=sum(one.p for one in rows) / len(rows),
        observed=sum(one.correct for one in rows) / len(rows),
        low=low,
        high=high,
    )


def _by_prompt(labels: Iterable[Scored]) -> dict[Hashable, list[float]]:
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for one in labels:
        groups[one.prompt].append(one.correct)
    return groups
