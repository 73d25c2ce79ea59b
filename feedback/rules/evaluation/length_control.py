"""The win rate that a candidate would have if its responses were as long as the incumbent's.

P(win) = sigmoid(a + b tanh(d / sd)), d by how much the candidate's response is longer, sd their deviation; what is
reported is sigmoid(a). After Dubois et al. 2024, section 3, without its terms for models and instructions, of which
there are two and one here. The trainer's evaluation reports the same of a reward model's preferences.
"""

import math
from collections.abc import Sequence
from statistics import pstdev

STEPS = 50  # of Newton's method; it takes fewer than ten
RIDGE = 0.01  # keeps the estimate finite where all units have the same value


def win_rate_at_equal_length(xs: Sequence[float], longer: Sequence[float]) -> float | None:
    """
    Args:
        xs: (n,) values of units, 0 to 1.
        longer: (n,) by how many tokens the candidate's response is longer.

    Returns:
        In (0, 1); None where the lengths always differ by the same, so that they explain nothing.
    """
    spread = pstdev(longer) if len(longer) > 1 else 0.0
    if spread == 0.0:
        return None
    ds = [math.tanh(one / spread) for one in longer]
    a = b = 0.0
    for _ in range(STEPS):
        rates = [_sigmoid(a + b * d) for d in ds]
        weights = [rate * (1 - rate) for rate in rates]
        slope_a = sum(x - rate for x, rate in zip(xs, rates, strict=True)) - RIDGE * a
        slope_b = sum((x - rate) * d for x, rate, d in zip(xs, rates, ds, strict=True)) - RIDGE * b
        aa = sum(weights) + RIDGE
        ab = sum(weight * d for weight, d in zip(weights, ds, strict=True))
        bb = sum(weight * d * d for weight, d in zip(weights, ds, strict=True)) + RIDGE
        determinant = aa * bb - ab * ab
        step_a = (bb * slope_a - ab * slope_b) / determinant
        step_b = (aa * slope_b - ab * slope_a) / determinant
        a, b = a + step_a, b + step_b
        if abs(step_a) + abs(step_b) < 1e-9:
            break
    return _sigmoid(a)


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, log_odds))))
