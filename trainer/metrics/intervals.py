"""Intervals of 95 % over prompts: completions of one prompt are alike, so a prompt is what counts.

Percentile bootstraps cover too seldom where prompts are few (82 % at five of them, and one prompt gives a point); these
cover in 93 % and more at 8, 10 and 20 (`tests/trainer/test_intervals.py`). Below `FEWEST` prompts there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, stdev

FEWEST = 8  # prompts
Interval = tuple[float, float] | tuple[None, None]
UNKNOWN: Interval = (None, None)


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t with `freedom` degrees of freedom, >= 7; exact to 1e-3.

    Source: the expansion in 1 / freedom about the normal point, Abramowitz and Stegun 26.7.5.
    """
    z, f = NormalDist().inv_cdf(0.975), float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / f**power for power, term in enumerate(terms, 1))


def of_share(groups: Sequence[Sequence[float]]) -> Interval:
    """Of the share over all values, each in [0, 1]: `of_effective` with as many observations as the groups are worth.

    That is their number, divided by how much larger the variance between whole groups is than that of independent
    values (Kish's design effect, at least 1).

    Args:
        groups: values of each prompt, at least one each.
    """
    n = float(sum(map(len, groups)))
    if len(groups) < FEWEST:
        return UNKNOWN
    share = sum(map(sum, groups)) / n
    alone = share * (1 - share) * n
    if alone > 1e-12:
        between = sum((sum(group) - share * len(group)) ** 2 for group in groups) * len(groups) / (len(groups) - 1)
        n /= max(1.0, between / alone)
    else:
        n = float(len(groups))  # all are the same: each prompt stated so once
    return of_effective(share, n, len(groups))


def of_doubted_share(groups: Sequence[Sequence[tuple[float, float]]], share: float) -> Interval:
    """Of how often votes without errors would agree, from votes with errors e; where none has one, as `of_share`.

    A vote agrees with probability p = e + (1 - 2 e) share. Weighted by 1 - 2 e, as the estimate weighs them, votes that
    are independent have the variance sum (1 - 2 e)^2 p (1 - p); prompts whose votes are alike have more, which counts.

    Args:
        groups: (value, error) of each vote of each prompt, at least one each; a value lies in [0, 1].
        share: the estimate, `accuracy_without_errors`.
    """
    if len(groups) < FEWEST:
        return UNKNOWN
    informed = alone = between = 0.0
    for group in groups:
        residual = 0.0
        for value, error in group:
            slope = 1 - 2 * error
            p = error + slope * share
            informed += slope**2
            alone += slope**2 * p * (1 - p)
            residual += slope * (value - p)
        between += residual**2
    between *= len(groups) / (len(groups) - 1)
    if informed < 1e-12:
        return 0.0, 1.0  # no vote says anything
    variance = max(alone, between) / informed**2
    n = share * (1 - share) / variance if share * (1 - share) > 1e-12 and variance > 1e-12 else float(len(groups))
    return of_effective(share, n, len(groups))


def of_effective(share: float, n: float, groups: int) -> Interval:
    """Wilson's score interval of a share of `n` observations, with Student's t of `groups` for the normal point."""
    t = student(groups - 1)
    center, spread = share + t * t / (2 * n), t * math.sqrt(share * (1 - share) / n + t * t / (4 * n * n))
    scale = 1 + t * t / n
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def of_mean(groups: Sequence[Sequence[float]]) -> Interval:
    """Of the mean, by Student's t on the means of the prompts.

    Args:
        groups: values of each prompt, as many of each.
    """
    if len(groups) < FEWEST:
        return UNKNOWN
    means = list(map(fmean, groups))
    width = student(len(means) - 1) * stdev(means) / math.sqrt(len(means))
    return fmean(means) - width, fmean(means) + width


def jackknife_error(count: int, without: Callable[[int], float]) -> float:
    """Standard error of a figure of `count` prompts, from what it is `without` each one of them.

    Source: Efron and Stein 1981.
    """
    values = [without(number) for number in range(count)]
    middle = sum(values) / count
    return math.sqrt((count - 1) / count * sum((value - middle) ** 2 for value in values))
