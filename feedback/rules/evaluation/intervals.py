"""95 % confidence intervals for shares and means, also for clustered values."""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

Interval = tuple[float, float]
UNKNOWN = (None, None)
FEWEST = 8  # groups (prompts, mostly) below which nothing is stated: the spread between them is not known
Z = NormalDist().inv_cdf(0.975)


def not_enough(groups: int) -> str:
    """The sentence shown in place of an interval."""
    return f"too few prompts ({groups} of {FEWEST})"


def wilson(successes: float, n: float, z: float = 1.96) -> Interval:
    """Wilson score interval of a share, in [0, 1]. (0, 1) when nothing was observed."""
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    center = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t with `freedom` degrees of freedom, >= 7; exact to 1e-3.

    Source: the expansion in 1 / freedom about the normal point, Abramowitz and Stegun 26.7.5.
    """
    z, f = Z, float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / f**power for power, term in enumerate(terms, 1))


def clustered(groups: Iterable[Sequence[float]]) -> Interval | tuple[None, None]:
    """Interval of the mean of values in [0, 1] that are correlated within groups.

    Wilson's, with Student's t for the normal point and as many observations as the groups are worth: their number
    divided by how much larger the variance between whole groups is than that of independent values (Kish's design
    effect, at least 1). Where all values are the same, a group is worth one observation. In simulation with 8, 10 and
    20 groups it covers in 93 % and more (`tests/evaluation/test_intervals.py`).

    Returns:
        (low, high), or (None, None) for fewer than `FEWEST` groups.
    """
    sums = [(sum(group), len(group)) for group in groups if group]
    if len(sums) < FEWEST:
        return UNKNOWN
    n = float(sum(size for _, size in sums))
    share = sum(total for total, _ in sums) / n
    alone = share * (1 - share) * n
    if alone > 1e-12:
        between = sum((total - share * size) ** 2 for total, size in sums) * len(sums) / (len(sums) - 1)
        n /= max(1.0, between / alone)
    else:
        n = float(len(sums))
    return wilson(share * n, n, student(len(sums) - 1))
