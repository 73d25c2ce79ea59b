"""What a turn of the loop was worth, measured from outside with the gold utility that nothing inside may read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from random import Random
from statistics import fmean, stdev
from typing import TypedDict

from workers.demo.annotators import Annotator, Pair, agreement_with_gold, follows_gold
from workers.demo.simulation import LETTERS, Acknowledged
from workers.demo.utility import utility
from workers.demo.world import stable_seed

RESAMPLES = 4000
OCCASIONS = 8  # how often each rater is requested anew, to measure what their labels are worth


@dataclass(frozen=True)
class Sampled:
    """A response of a model and whether it ended by itself."""

    prompt: str
    text: str
    ended: bool

    @property
    def gold(self) -> float:
        return utility(self.prompt, self.text, self.ended).total


class Gold(TypedDict):
    """Mean gold utility of some responses, its standard errors, and the share that ended by themselves."""

    gold: float
    se: float
    se_by_prompt: float
    ended: float
    responses: int
    prompts: int


class WinRate(TypedDict):
    """A win rate with the bounds of its 95 % interval."""

    rate: float
    low: float
    high: float
    prompts: int


class LabelQuality(TypedDict):
    """How often labels follow the gold order; see `label_quality`."""

    measured: float | None
    ceiling: float | None
    labels: int


def gold(samples: Sequence[Sampled]) -> Gold:
    """Mean gold utility with two standard errors: of the samples as they are, and with prompts as the unit."""
    values = list(map(attrgetter("gold"), samples))
    means = list(map(fmean, by_prompt(samples).values()))
    return {
        "gold": round(fmean(values), 3),
        "se": round(standard_error(values), 3),
        "se_by_prompt": round(standard_error(means), 3),
        "ended": round(fmean(map(attrgetter("ended"), samples)), 3),
        "responses": len(values),
        "prompts": len(means),
    }


def win_rate(candidate: Sequence[Sampled], incumbent: Sequence[Sampled], seed: int = 0) -> WinRate:
    """How often the candidate's response is worth more than the incumbent's to the same prompt.

    All pairs of a prompt are compared, ties count a half. The interval is 95 %, by bootstrap of whole prompts, since
    responses to one prompt are alike.
    """
    ours, theirs = by_prompt(candidate), by_prompt(incumbent)
    if set(ours) != set(theirs):
        raise ValueError("the two answered different prompts")
    rates = [_share_won(ours[prompt], theirs[prompt]) for prompt in sorted(ours)]
    rng = Random(stable_seed("win rate", seed))
    means = sorted(fmean(rng.choices(rates, k=len(rates))) for _ in range(RESAMPLES))
    return {
        "rate": round(fmean(rates), 3),
        "low": round(means[int(0.025 * RESAMPLES)], 3),
        "high": round(means[int(0.975 * RESAMPLES) - 1], 3),
        "prompts": len(rates),
    }


def _share_won(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The share of pairs in which the first is larger; ties count a half."""
    won = tied = 0
    for a, b in product(ours, theirs):
        won += a > b
        tied += a == b
    return (won + tied / 2) / (len(ours) * len(theirs))


def label_quality(answers: Iterable[Acknowledged], crowd: Sequence[Annotator]) -> LabelQuality:
    """The ceiling of any reward model's accuracy on these labels: how often they follow the gold order.

    Returns:
        measured: the share of these very labels that follow it; equal utilities count a half.
        ceiling: the same, expected, from asking the raters about these pairs `OCCASIONS` times over.
        labels: how many of the answers were decided.
    """
    raters = {annotator.name: annotator for annotator in crowd}
    pairs: dict[str, list[Pair]] = defaultdict(list)
    right: list[float] = []
    for one in answers:
        if one.outcome not in LETTERS:
            continue
        a, b = one.texts["a"], one.texts["b"]
        gap = utility(one.prompt, a).total - utility(one.prompt, b).total
        pairs[one.annotator].append(Pair(one.prompt, a, b, gap))
        right.append(follows_gold(one.outcome == "a", gap))
    if not right:
        return {"measured": None, "ceiling": None, "labels": 0}
    expected = 0.0
    for name, theirs in pairs.items():
        expected += agreement_with_gold(raters[name], theirs, OCCASIONS) * len(theirs)
    return {
        "measured": round(fmean(right), 4),
        "ceiling": round(expected / len(right), 4),
        "labels": len(right),
    }


def by_prompt(samples: Iterable[Sampled]) -> Mapping[str, list[float]]:
    """Gold utilities of each prompt's responses."""
    groups: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        groups[sample.prompt].append(sample.gold)
    return groups


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean; 0 for a single value."""
    if len(values) > 1:
        return float(stdev(values) / len(values) ** 0.5)
    return 0.0
