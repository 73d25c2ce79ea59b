"""Live labels of a reward model with numpy, and the drift alarm of `drift_alarm` over many versions at once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from feedback.rules.evaluation.drift_alarm import ANNOTATOR_BAR, BASELINE_LABELS, BETS, ERRORS, MARGIN, VERSION_BAR
from tests.evaluation.contest_simulation import Floats

__all__ = ["ANNOTATOR_BAR", "MODELS", "alarms", "describe"]

ACCURACY = 0.75
Favored = Callable[[np.random.Generator, tuple[int, int]], Floats]


def one_gap(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return np.full(shape, ACCURACY)


def spread_gaps(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Reward differences are normal with a standard deviation of 1.55, for which the mean p is .75."""
    return 1 / (1 + np.exp(-np.abs(rng.normal(0, 1.55, shape))))


MODELS: dict[str, Favored] = {"every pair at .75": one_gap, "normal gaps": spread_gaps}


def labels_of(rng: np.random.Generator, p: Floats, accuracy: float) -> Floats:
    """p - correct: labels as the calibrated model says, of which a share is turned so that this accuracy is left."""
    turned = (ACCURACY - accuracy) / (2 * ACCURACY - 1)
    right = rng.random(p.shape) < p
    return p - (right ^ (rng.random(p.shape) < turned))


def alarms(
    rng: np.random.Generator,
    favored: Favored,
    versions: int,
    horizon: int,
    *,
    labels: int = BASELINE_LABELS,
    accuracy: float = ACCURACY,
    bar: float = VERSION_BAR,
) -> NDArray[np.int64]:
    """(versions,) the label after the baseline at which each alarm sounded; 0 where none did.

    Args:
        labels: behind the baseline, at accuracy .75.
        accuracy: of all labels after it.
    """
    before = labels_of(rng, favored(rng, (versions, labels)), ACCURACY)
    allowance = before.mean(axis=1) + MARGIN + ERRORS * before.std(axis=1, ddof=1) / np.sqrt(labels)
    drift = labels_of(rng, favored(rng, (versions, horizon)), accuracy) - allowance[:, None]
    bets, sizes = np.zeros((versions, len(BETS))), np.asarray(BETS)
    found = np.zeros(versions, dtype=np.int64)
    for label in range(horizon):
        bets = np.maximum(0, 1 + sizes * drift[:, label, None]) * (bets + 1)
        found[(found == 0) & (bets.mean(axis=1) >= bar)] = label + 1
    return found


def describe(found: NDArray[np.int64]) -> str:
    sounded = found[found > 0]
    if not len(sounded):
        return "never"
    return f"{np.median(sounded):.0f}, {np.percentile(sounded, 90):.0f}, {np.mean(found == 0):.3f}"
