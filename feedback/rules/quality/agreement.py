"""Inter-annotator agreement: raw share, Cohen's kappa, Krippendorff's alpha, Kendall's tau, with intervals.

Units are what several people judged; a unit holds one value per annotator. Units with fewer than two values say nothing
and are left out. Values are nominal (such as "1", "2", "tie") or, for ratings, ordinal whole numbers.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter, mul
from typing import Any

from feedback.rules.collection.rank_groups import ranks_of

Value = Hashable
Distance = Callable[[Value, Value], float]
Metric = Callable[[Counter[Value]], Distance]
FEWEST_UNITS = 5  # before an interval is drawn
Z = 1.96


@dataclass(frozen=True)
class Agreement:
    """`raw`: share of agreeing pairs of annotators; `alpha`: Krippendorff's; None where undefined."""

    units: int
    raw: float | None
    alpha: float | None
    low: float | None = None
    high: float | None = None


def raw_agreement(units: Iterable[Sequence[Value]]) -> float | None:
    """Share of annotator pairs on the same unit with the same value. Every pair counts once."""
    same = total = 0
    for values in units:
        n = len(values)
        total += n * (n - 1) // 2
        same += sum(count * (count - 1) // 2 for count in Counter(values).values())
    if total:
        return same / total
    return None


def nominal(_totals: Counter[Value]) -> Distance:
    """Nominal distance: 0 for equal values, else 1."""
    return lambda one, other: float(one != other)


def ordinal(totals: Counter[Any]) -> Distance:
    """Ordinal distance: the number of values given between two values, squared. The values can be sorted."""
    below: dict[Value, float] = {}
    passed = 0.0
    for value in sorted(totals):
        below[value] = passed + totals[value] / 2
        passed += totals[value]
    return lambda one, other: (below[one] - below[other]) ** 2


def krippendorff_alpha(units: Iterable[Sequence[Value]], metric: Metric = nominal) -> float | None:
    """1 - observed / expected disagreement. None when there is nothing to compare or only one value ever occurs.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", with missing values.
    """
    return _alpha(_patterns(units), metric)


def agreement(units: Sequence[Sequence[Value]], metric: Metric = nominal) -> Agreement:
    """Raw agreement and alpha, with a 95 % interval by the jackknife over whole units.

    Units with the same values are counted once with their number, so it costs as much for a million as for a hundred.
    """
    patterns = _patterns(units)
    n = sum(patterns.values())
    raw, alpha = raw_agreement(_spread(patterns)), _alpha(patterns, metric)
    if alpha is None or n < FEWEST_UNITS:
        return Agreement(n, raw, alpha)
    values: list[float] = []  # alpha without one unit, and how many units give this value
    counts: list[int] = []
    for pattern, count in patterns.items():
        value = _alpha(patterns - Counter({pattern: 1}), metric)
        if value is not None:
            values.append(value)
            counts.append(count)
    middle = alpha
    if counts:
        middle = sum(map(mul, values, counts)) / sum(counts)
    squares = [count * (value - middle) ** 2 for value, count in zip(values, counts, strict=True)]
    error = math.sqrt((n - 1) / n * sum(squares))
    return Agreement(n, raw, alpha, max(-1.0, alpha - Z * error), min(1.0, alpha + Z * error))


def cohen_kappa(pairs: Sequence[tuple[Value, Value]]) -> float | None:
    """Cohen's kappa: agreement of two annotators beyond chance, given their own distributions. None where undefined."""
    if not pairs:
        return None
    n = len(pairs)
    observed = sum(one == other for one, other in pairs) / n
    ones, others = Counter(map(itemgetter(0), pairs)), Counter(map(itemgetter(1), pairs))
    expected = sum(count * others[value] for value, count in ones.items()) / (n * n)
    if expected == 1:
        return None
    return (observed - expected) / (1 - expected)


def kendall_tau(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> float | None:
    """Tau-b of two rankings of the same responses, each as groups from best to worst. None when one ties them all."""
    place, other_place = ranks_of(one), ranks_of(other)
    score = ones = others = 0
    for a, b in combinations(sorted(place.keys() & other_place.keys()), 2):
        x, y = place[a] - place[b], other_place[a] - other_place[b]
        ones += x != 0
        others += y != 0
        score += (x * y > 0) - (x * y < 0)
    if ones and others:
        return score / math.sqrt(ones * others)
    return None


def span_f1(one: Collection[Value], other: Collection[Value]) -> float:
    """F1 of two sets of spans; symmetric. 1 if both are empty.

    Spans have no fixed number of cases, so chance-corrected measures do not apply; F1 is what they tend to.
    Source: Hripcsak and Rothschild 2005, "Agreement, the F-measure, and reliability in information retrieval".
    """
    if not one and not other:
        return 1.0
    return 2 * len(set(one) & set(other)) / (len(one) + len(other))


def _patterns(units: Iterable[Sequence[Value]]) -> Counter[tuple[Value, ...]]:
    """How often each set of values occurs; the order within a unit does not matter."""
    return Counter(tuple(sorted(values, key=repr)) for values in units if len(values) >= 2)


def _spread(patterns: Counter[tuple[Value, ...]]) -> Iterable[Sequence[Value]]:
    return patterns.elements()


def _alpha(patterns: Counter[tuple[Value, ...]], metric: Metric) -> float | None:
    coincidences: dict[tuple[Value, Value], float] = {}
    totals: Counter[Value] = Counter()
    for values, times in patterns.items():
        counts, weight = Counter(values), times / (len(values) - 1)
        for value, count in counts.items():
            totals[value] += times * count
        for one, other in combinations(counts, 2):
            coincidences[one, other] = coincidences.get((one, other), 0.0) + 2 * weight * counts[one] * counts[other]
    n = totals.total()
    if n <= 1:
        return None
    distance = metric(totals)
    observed = sum(weight * distance(*pair) for pair, weight in coincidences.items()) / n
    expected = sum(2 * totals[a] * totals[b] * distance(a, b) for a, b in combinations(totals, 2)) / (n * (n - 1))
    if expected == 0:
        return None
    return 1 - observed / expected
