"""How far annotators agree: raw share, Krippendorff's alpha, with intervals.

Units are tasks; a unit holds one value per annotator, such as the response chosen, "tie" or "both_bad". Values are
nominal. Units with fewer than two values say nothing and are left out.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Agreement:
    """`raw`: share of agreeing pairs of annotators; `alpha`: Krippendorff's, nominal; None where undefined."""

    units: int
    raw: float | None
    alpha: float | None
    low: float | None = None
    high: float | None = None


def raw_agreement(units: Iterable[Sequence[str]]) -> float | None:
    """Share of pairs of annotators on one unit that gave the same value, every pair counted once."""
    same = total = 0
    for values in units:
        for one, other in combinations(values, 2):
            same += one == other
            total += 1
    return same / total if total else None


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """1 - observed / expected disagreement. None when there is nothing to compare or only one value ever occurs.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", nominal metric with missing values.
    """
    coincidences: Counter[tuple[str, str]] = Counter()
    for values in units:
        if len(values) < 2:
            continue
        weight = 1 / (len(values) - 1)
        for i, one in enumerate(values):
            for j, other in enumerate(values):
                if i != j:
                    coincidences[one, other] += weight  # type: ignore[assignment]
    totals: Counter[str] = Counter()
    for (one, _), weight in coincidences.items():
        totals[one] += weight
    n = sum(totals.values())
    if n <= 1:
        return None
    observed = sum(weight for (one, other), weight in coincidences.items() if one != other) / n
    expected = (n * n - sum(count * count for count in totals.values())) / (n * (n - 1))
    return None if expected == 0 else 1 - observed / expected


def agreement(units: Sequence[Sequence[str]], *, resamples: int = 200, seed: int = 0) -> Agreement:
    """Raw agreement and alpha with a 95 % interval from resampling whole units."""
    told = [values for values in units if len(values) >= 2]
    raw, alpha = raw_agreement(told), krippendorff_alpha(told)
    if alpha is None or len(told) < 5:
        return Agreement(len(told), raw, alpha)
    rng = random.Random(seed)
    drawn = sorted(
        value for _ in range(resamples) if (value := krippendorff_alpha(rng.choices(told, k=len(told)))) is not None
    )
    if not drawn:
        return Agreement(len(told), raw, alpha)
    return Agreement(len(told), raw, alpha, drawn[int(0.025 * len(drawn))], drawn[int(0.975 * (len(drawn) - 1))])
