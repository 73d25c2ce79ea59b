"""Reliability of annotators, estimated only from their answers to the same comparisons.

Dawid and Skene's model with one figure per annotator: a comparison has a better response, and annotator i finds it with
probability r_i. Which of two responses stands first in a task is arbitrary, so errors are as likely either way and a
full confusion matrix would only add noise. Expectation and maximization take turns: what is better follows from the
votes weighted by log(r / (1 - r)), what an annotator is worth from how often they are on the better side. Ties are left
out. A library for this (crowd-kit) brings pandas and scikit-learn into every web process for the thirty lines below.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import NormalDist
from typing import NamedTuple

from feedback.rules.evaluation.intervals import wilson

PRIOR_SHARE, PRIOR_VOTES = 0.75, 4.0  # what is believed of somebody unknown, and how many votes that weighs
CLIP = 0.98
FAMILY = 0.02  # the chance that a crowd without any fault gets even one flag


class Vote(NamedTuple):
    """A decided annotation: whether it prefers the first response in the task's own order."""

    task: int
    annotator: int
    first: bool


@dataclass(frozen=True)
class Reliability:
    """`share`: the model's estimate that the better response is found. `met`: votes on tasks that others judged too."""

    share: float
    met: int
    with_others: float | None  # how often on the side of the others' weighted consensus
    with_others_of: int


@dataclass(frozen=True)
class Consensus:
    """Reliability by annotator, and what the others say on each vote's task.

    `others[i]`: log-odds for the first response by everybody's votes but vote i's; 0 where nobody else voted.
    """

    annotators: dict[int, Reliability]
    others: list[float]


def threshold(tests: int) -> float:
    """How many standard errors a finding needs among so many tests (Bonferroni, two-sided)."""
    return NormalDist().inv_cdf(1 - FAMILY / (2 * max(1, tests)))


def consensus_of(votes: Sequence[Vote], rounds: int = 30) -> Consensus:
    """Estimate the reliability of all annotators, starting from a majority in which nobody is worse than chance."""
    voters = Counter(map(attrgetter("task"), votes))
    shared = [vote for vote in votes if voters[vote.task] > 1]
    share: dict[int, float] = dict.fromkeys(map(attrgetter("annotator"), votes), PRIOR_SHARE)
    met = Counter(map(attrgetter("annotator"), shared))
    for _ in range(rounds):
        odds = _log_odds(shared, share)
        right: dict[int, float] = defaultdict(float)
        first = {task: 1 / (1 + math.exp(-value)) for task, value in odds.items()}
        for task, annotator, is_first in shared:
            if is_first:
                right[annotator] += first[task]
            else:
                right[annotator] += 1 - first[task]
        moved = 0.0
        for annotator, n in met.items():
            new = (right[annotator] + PRIOR_SHARE * PRIOR_VOTES) / (n + PRIOR_VOTES)
            new = min(CLIP, max(1 - CLIP, new))
            moved = max(moved, abs(new - share[annotator]))
            share[annotator] = new
        if moved < 1e-4:
            break
    odds, weight = _log_odds(shared, share), _weights(share)
    others = []
    for vote in votes:
        without = 0.0
        if voters[vote.task] > 1:
            without = odds[vote.task] - _signed(weight[vote.annotator], vote.first)
        others.append(without)
    same: Counter[int] = Counter()
    decided: Counter[int] = Counter()
    for vote, value in zip(votes, others, strict=True):
        if abs(value) > 1e-9:
            decided[vote.annotator] += 1
            same[vote.annotator] += (value > 0) == vote.first
    annotators: dict[int, Reliability] = {}
    for annotator, estimate in share.items():
        n = decided[annotator]
        with_others: float | None = None
        if n:
            with_others = same[annotator] / n
        annotators[annotator] = Reliability(estimate, met[annotator], with_others, n)
    return Consensus(annotators, others)


def interval(share: float | None, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share of n; (0, 1) where nothing was observed."""
    if share is not None:
        return wilson(share * n, n, z)
    return (0.0, 1.0)


def _weights(share: dict[int, float]) -> dict[int, float]:
    return {annotator: math.log(value / (1 - value)) for annotator, value in share.items()}


def _log_odds(votes: Sequence[Vote], share: dict[int, float]) -> dict[int, float]:
    weight = _weights(share)
    odds: dict[int, float] = defaultdict(float)
    for task, annotator, is_first in votes:
        odds[task] += _signed(weight[annotator], is_first)
    return {task: max(-30.0, min(30.0, value)) for task, value in odds.items()}


def _signed(weight: float, is_first: bool) -> float:
    """What a vote adds to the log-odds that the first response is better."""
    if is_first:
        return weight
    return -weight
