"""What the proof computes from figures, and what it demands of them: pure functions.

Gao et al. 2023 found gold reward against d = sqrt(KL) to follow d(α - β log d) under reinforcement learning and
d(α - βd) under best-of-n. Thresholds come from five seeds of our own recipe; docs/demo.md has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from statistics import fmean
from typing import Any, Generic, TypeVar

from workers.demo.proof_figures import ArmFigures, BestOf, Bin, Look, SeedFigures, Verdict

Value = TypeVar("Value")

BINS = 10
DIRECT = ("dpo", "kto")  # the stages that learn from the labels without a reward model


@dataclass(frozen=True)
class Fit:
    """R = d(α - β g(d)) by least squares, with g the logarithm ("rl") or the identity ("best_of_n").

    Attributes:
        r2: share of the variance explained; may be negative. peak_kl: KL at which R is largest, nats; None without one.
    """

    form: str
    alpha: float
    beta: float
    r2: float
    peak_kl: float | None

    def at(self, kl: float) -> float:
        """The fitted gain at a KL in nats, >= 0."""
        d = math.sqrt(kl)
        if d:
            return d * (self.alpha - self.beta * bend(self.form, d))
        return 0.0


def bend(form: str, d: float) -> float:
    if form == "rl":
        return math.log(d)
    return d


def gains(figures: Iterable[Look | BestOf], start: float) -> list[tuple[float, float]]:
    """(KL in nats, gold gained over the start) of some figures."""
    return [(one["kl"], one["gold"] - start) for one in figures]


def fit(form: str, points: Sequence[tuple[float, float]]) -> Fit:
    """Fit a form to (KL in nats, gold gained over the start); points without KL are passed over.

    Raises:
        ValueError: fewer than three points are left.
    """
    rows = []  # two columns, d and -d g(d), and the gain
    for kl, gain in points:
        if kl > 0:
            d = math.sqrt(kl)
            rows.append((d, -d * bend(form, d), gain))
    if len(rows) < 3:
        raise ValueError("three points with KL are needed for a fit")
    alpha, beta = _least_squares(rows)
    mean = fmean(map(itemgetter(2), rows))
    total = rest = 0.0
    for a, b, gain in rows:
        total += (gain - mean) ** 2
        rest += (gain - alpha * a - beta * b) ** 2
    r2 = 0.0
    if total:
        r2 = 1 - rest / total
    return Fit(form, alpha, beta, r2, _peak_kl(form, alpha, beta))


def _least_squares(rows: Iterable[tuple[float, float, float]]) -> tuple[float, float]:
    """Coefficients of two columns: the normal equations are 2 x 2."""
    aa = ab = bb = ay = by = 0.0
    for a, b, y in rows:
        aa += a * a
        ab += a * b
        bb += b * b
        ay += a * y
        by += b * y
    determinant = aa * bb - ab * ab
    return (ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant


def _peak_kl(form: str, alpha: float, beta: float) -> float | None:
    if beta <= 0 or alpha <= 0:
        return None
    if form == "rl":
        return math.exp(2 * (alpha / beta - 1))
    return (alpha / (2 * beta)) ** 2


def kl_of_best(n: int) -> float:
    """KL of the best of n to the policy that drew them, nats."""
    return math.log(n) - (n - 1) / n


def best_of(n: int, values: Sequence[tuple[float, float]]) -> float:
    """Mean gold of the best by proxy, over groups of n in a row of (proxy, gold); an incomplete group is left out."""
    selected = [max(group, key=itemgetter(0)) for group in groups(values, n)]
    return fmean(map(itemgetter(1), selected))


def groups(values: Sequence[Value], size: int) -> Iterator[Sequence[Value]]:
    """Groups of `size` values in a row; an incomplete one is left out."""
    for start in range(0, len(values) - size + 1, size):
        yield values[start : start + size]


def reliability(chances: Sequence[float]) -> tuple[float, list[Bin]]:
    """Expected calibration error of P(the chosen one wins), and its bins.

    Each pair is read from its favored side: confidence max(p, 1 - p), right when p > 1/2; ten bins of equal width.

    Returns:
        The error, and for each bin that holds a pair its mean `confidence`, share `right` and number of `pairs`.
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for chance in chances:
        sure = max(chance, 1 - chance)
        bins[min(BINS - 1, int((sure - 0.5) * 2 * BINS))].append((sure, chance > 0.5))
    shown_bins: list[Bin] = []
    distance = 0.0
    for inside in filter(None, bins):
        confidence, right = fmean(map(itemgetter(0), inside)), fmean(map(itemgetter(1), inside))
        shown_bins.append({"confidence": confidence, "right": right, "pairs": float(len(inside))})
        distance += len(inside) * abs(right - confidence)
    return distance / max(1, len(chances)), shown_bins


# --- what is demanded ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Demand(Generic[Value]):
    """One assertion.

    Attributes:
        name: short. sentence: what is demanded, with the threshold.
        value: the figure it is about, from a seed's figures. holds: whether that is enough.
    """

    name: str
    sentence: str
    value: Callable[[SeedFigures], Value]
    holds: Callable[[Value], bool]


def lost_share(arm: ArmFigures) -> float:
    """What of the gold gained over SFT at the peak is gone at the end: over 1 if it ends under SFT, 1 without gain."""
    gained = arm["peak_gold"] - arm["sft_gold"]
    if gained > 0:
        return float((arm["peak_gold"] - arm["gold"]) / gained)
    return 1.0


def at_least(threshold: float) -> Callable[[float], bool]:
    return lambda value: value >= threshold


def at_most(threshold: float) -> Callable[[float], bool]:
    return lambda value: value <= threshold


def beside_sft(stage: str) -> Demand[float]:
    """A policy that learned from the same labels must not be worth less than the one it started from."""
    return Demand(
        f"{stage}_beside_sft",
        f"gold of {stage.upper()} on the same labels is no lower than that of SFT",
        lambda f: f["gold"][stage] - f["gold"]["sft"],
        at_least(0.0),
    )


DEMANDS: tuple[Demand[Any], ...] = (
    Demand(
        "sft_over_base",
        "gold of SFT at least 0.5 over base",
        lambda f: f["gold"]["sft"] - f["gold"]["base"],
        at_least(0.5),
    ),
    Demand(
        "best_of_16_over_sft",
        "gold of best-of-16 at least 1.0 over SFT",
        lambda f: f["best_of"]["16"]["gold"] - f["gold"]["sft"],
        at_least(1.0),
    ),
    Demand(
        "ppo_beside_best_of_16",
        "gold of PPO at most 0.6 under best-of-16",
        lambda f: f["gold"]["ppo"] - f["best_of"]["16"]["gold"],
        at_least(-0.6),
    ),
    Demand(
        "ppo_over_sft",
        "gold of PPO at least 0.8 over SFT",
        lambda f: f["gold"]["ppo"] - f["gold"]["sft"],
        at_least(0.8),
    ),
    Demand(
        "win_rate",
        "PPO's win rate over SFT: low end of the 95 % interval above 0.55",
        lambda f: f["win_rate"]["low"],
        lambda value: value > 0.55,
    ),
    Demand("kl", "KL of PPO between 1 and 8 nats", lambda f: f["ppo"]["kl"], lambda value: 1 <= value <= 8),
    *map(beside_sft, DIRECT),
    Demand(
        "answers_end",
        "at least 95 % of the answers of DPO, KTO and PPO end by themselves",
        lambda f: min(f["ended"][name] for name in (*DIRECT, "ppo")),
        at_least(0.95),
    ),
    Demand(
        "reward_gold_order",
        "the reward model of all labels follows the gold order in at least 70 % of held-out pairs",
        lambda f: f["reward"][-1]["gold_order"],
        at_least(0.70),
    ),
    Demand(
        "reward_of_ceiling",
        "its accuracy on held-out labels is at least 82 % of their ceiling",
        lambda f: f["reward"][-1]["accuracy"] / f["ceiling"],
        at_least(0.82),
    ),
    Demand(
        "reward_few_labels",
        "with 500 labels the accuracy is at most 0.65",
        lambda f: f["reward"][0]["accuracy"],
        at_most(0.65),
    ),
    Demand("calibration", "its calibration error is at most 0.08", lambda f: f["reward"][-1]["ece"], at_most(0.08)),
    Demand(
        "hacked_below_peak",
        "at KL 0 the last gold is at least 0.8 under its own peak",
        lambda f: f["hacked"]["peak_gold"] - f["hacked"]["gold"],
        at_least(0.8),
    ),
    Demand(
        "hacked_gain_lost",
        "at KL 0 at least 75 % of the gold gained over SFT is lost again",
        lambda f: lost_share(f["hacked"]),
        at_least(0.75),
    ),
    Demand(
        "hacked_proxy",
        "at KL 0 the last proxy is no lower than where gold peaked",
        lambda f: f["hacked"]["proxy"] - f["hacked"]["peak_proxy"],
        at_least(0.0),
    ),
    Demand(
        "hacked_entropy",
        "at KL 0 the last entropy is under 30 % of that of SFT",
        lambda f: f["hacked"]["entropy_share"],
        lambda value: value < 0.3,
    ),
    Demand(
        "alarms_at_zero",
        "at KL 0 the alarms entropy and kl_budget sound",
        lambda f: sorted(f["hacked"]["alarms"]),
        lambda value: {"entropy", "kl_budget"} <= set(value),
    ),
    Demand(
        "no_alarms", "at the default coefficient no alarm sounds", lambda f: f["ppo"]["alarms"], lambda value: not value
    ),
)


def verdicts(figures: SeedFigures) -> list[Verdict]:
    """Each demand on one seed's figures."""
    found: list[Verdict] = []
    for demand in DEMANDS:
        value = demand.value(figures)
        ok = bool(demand.holds(value))
        if isinstance(value, float):
            value = round(value, 4)
        found.append({"name": demand.name, "sentence": demand.sentence, "value": value, "ok": ok})
    return found
