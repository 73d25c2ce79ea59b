"""Intervals for shares."""

import math
from collections.abc import Iterable, Sequence


def wilson(successes: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a share, in [0, 1]. (0, 1) when nothing was observed."""
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def clustered(groups: Iterable[Sequence[float]]) -> tuple[float, float]:
    """Interval of the share over all values, each in [0, 1], where values of one group are alike.

    Wilson's, with as many observations as the groups are worth: their number divided by how much larger the variance
    between whole groups is than that of independent values (Kish's design effect, at least 1).
    """
    sums = [(sum(group), len(group)) for group in groups if group]
    n = float(sum(size for _, size in sums))
    share = sum(total for total, _ in sums) / n if n else 0.0
    alone = share * (1 - share) * n
    if alone and len(sums) > 1:
        between = sum((total - share * size) ** 2 for total, size in sums)
        n /= max(1.0, between / alone)
    return wilson(share * n, n)
