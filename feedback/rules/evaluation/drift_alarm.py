"""Drift of a reward model: an alarm when people's labels stop agreeing with it as they did when it was new.

Every live label is scored before any training on it: p is the probability that the model gave to the response it
favors, in [1/2, 1], and the label says whether that response was chosen. p - correct is how overconfident the model
was. A version's first 300 live labels of the random slice give the baseline b, the mean of that, with its standard
error; the labels that chose its checkpoint flatter it and do not count. Until then the alarm is silent. From then on

    r = p - correct - b - 0.02 - 1.64 se,   M_j <- (1 + lambda_j r)(M_j + 1),   8 lambda_j log-spaced 0.05 to 0.8

and the alarm sounds when the mean of the M_j reaches 5,000 for a version, 40,000 for one annotator. Without drift M_j -
n is a supermartingale, so a false alarm comes after 5,000 labels or more on average; and since a new bet begins with
every label, a change that comes late is found as fast as one at the start.

A version's alarm and an annotator's are the same state with another bar. Each begins anew with each version.

Source: Shin, Ramdas and Rinaldo 2023, "E-detectors: a nonparametric framework for sequential change detection".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

BASELINE_LABELS = 300
MARGIN = 0.02  # drift that does not matter, in accuracy
ERRORS = 1.64  # standard errors of the baseline that are granted to it
BETS = tuple(0.05 * 16 ** (step / 7) for step in range(8))  # 0.05 to 0.8, log-spaced
VERSION_BAR = 5_000.0
ANNOTATOR_BAR = 40_000.0


@dataclass(frozen=True)
class Baseline:
    """The sums of a version's first live labels.

    Attributes:
        labels: counted so far, up to `BASELINE_LABELS`.
        total, squares: sums of p - correct and of its square.
    """

    labels: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def complete(self) -> bool:
        return self.labels >= BASELINE_LABELS

    @property
    def mean(self) -> float:
        """b: the mean of p - correct, in [-1/2, 1]."""
        return self.total / self.labels

    @property
    def error(self) -> float:
        """The standard error of `mean`; at least two labels."""
        variance = max(0.0, self.squares - self.labels * self.mean**2) / (self.labels - 1)
        return math.sqrt(variance / self.labels)

    @property
    def allowance(self) -> float:
        """What is taken off p - correct before it counts as drift."""
        return self.mean + MARGIN + ERRORS * self.error


@dataclass(frozen=True)
class Alarm:
    """The state of one alarm, of a version or of one annotator under it.

    Attributes:
        labels: folded so far, after the baseline was complete.
        bets: (8,) the M_j, >= 0.
        alarm_at: the label, from 1, at which it first sounded; None while it has not.
    """

    labels: int = 0
    bets: tuple[float, ...] = (0.0,) * len(BETS)
    alarm_at: int | None = None

    @property
    def level(self) -> float:
        """The mean of the M_j, compared with the bar."""
        return sum(self.bets) / len(self.bets)


def surprise(p_favored: float, correct: float) -> float:
    """p - correct of one label.

    Args:
        p_favored: probability of the response that the model favors, in [1/2, 1].
        correct: 1 if the person chose it, 0 if the other; ties are no labels here.

    Raises:
        ValueError: either is out of range, which says that the pair was turned the wrong way.
    """
    if not 0.5 <= p_favored <= 1 or correct not in (0, 1):
        raise ValueError(f"p_favored must lie in [1/2, 1] and correct be 0 or 1; got {p_favored} and {correct}.")
    return p_favored - correct


def fold_baseline(baseline: Baseline, surprised: float) -> Baseline:
    """One more label of the random slice; a complete baseline stays as it is."""
    if baseline.complete:
        return baseline
    return Baseline(baseline.labels + 1, baseline.total + surprised, baseline.squares + surprised**2)


def fold(alarm: Alarm, surprised: float, baseline: Baseline, bar: float = VERSION_BAR) -> Alarm:
    """One more label after the baseline. An alarm that has sounded stays, and its state no longer changes.

    Raises:
        ValueError: the baseline is not complete.
    """
    if not baseline.complete:
        raise ValueError(f"The baseline has {baseline.labels} of {BASELINE_LABELS} labels.")
    if alarm.alarm_at is not None:
        return alarm
    drift = surprised - baseline.allowance
    bets = tuple(max(0.0, 1 + size * drift) * (bet + 1) for size, bet in zip(BETS, alarm.bets, strict=True))
    seen = replace(alarm, labels=alarm.labels + 1, bets=bets)
    if seen.level >= bar:
        return replace(seen, alarm_at=seen.labels)
    return seen


def follow(surprises: Sequence[float], baseline: Baseline, bar: float = VERSION_BAR) -> Alarm:
    """The alarm after all labels, in the order in which they were made."""
    alarm = Alarm()
    for surprised in surprises:
        alarm = fold(alarm, surprised, baseline, bar)
    return alarm
