"""Arenas in which versions are better on some prompts and worse on others, for the intervals of a leaderboard."""

import math
import random
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from feedback.rules.evaluation.bradley_terry import Cell, Leaderboard, fit

STRENGTHS = (-0.5, -0.2, 0.0, 0.2, 0.5)
BY_PROMPT = 0.8  # standard deviation of a version's strength over prompts, log-odds
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Coverage:
    """Shares of 95 % intervals of a strength that cover: by prompt, and by the model's own errors."""

    clustered: float
    alone: float


def arena(rng: random.Random, prompts: int, votes_each: int) -> list[Cell]:
    """`votes_each` votes on each prompt between versions drawn by chance."""
    pairs = list(combinations(range(len(STRENGTHS)), 2))
    cells = []
    for prompt in range(prompts):
        there = [one + rng.gauss(0, BY_PROMPT) for one in STRENGTHS]
        found: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for _ in range(votes_each):
            first, second = pair = rng.choice(pairs)
            found[pair][0] += rng.random() < 1 / (1 + math.exp(there[second] - there[first]))
            found[pair][1] += 1
        cells += [Cell(prompt, *pair, wins, votes) for pair, (wins, votes) in found.items()]
    return cells


def truth(seed: int = 1) -> list[float]:
    """The strengths that an endless arena would show; prompts draw win rates toward one half."""
    return [one.value for one in fit(arena(random.Random(seed), 20_000, 10), len(STRENGTHS)).strengths]


def model_errors(board: Leaderboard) -> list[float]:
    """Standard errors of strengths if every vote were independent."""
    information = np.zeros((len(board.strengths), len(board.strengths)))
    for (first, second), duel in board.duels.items():
        chance = board.win_rate(first, second)
        apart = np.zeros(len(board.strengths))
        apart[first], apart[second] = 1, -1
        information += duel.votes * chance * (1 - chance) * np.outer(apart, apart)
    return [float(one) for one in np.sqrt(np.diag(np.linalg.pinv(information)))]


def coverage(seed: int, arenas: int, prompts: int, votes_each: int) -> Coverage:
    rng, right = random.Random(seed), truth()
    clustered = alone = 0
    for _ in range(arenas):
        board = fit(arena(rng, prompts, votes_each), len(STRENGTHS))
        own = model_errors(board)
        for strength, error, value in zip(board.strengths, own, right, strict=True):
            assert strength.low is not None and strength.high is not None
            clustered += strength.low <= value <= strength.high
            alone += abs(strength.value - value) <= Z * error
    return Coverage(clustered / (arenas * len(right)), alone / (arenas * len(right)))


def many_votes(rng: random.Random, prompts: int, votes: int, versions: int) -> list[Cell]:
    """Votes spread over prompts and pairs by chance, counted by prompt and pair."""
    found: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for number in range(votes):
        first, second = rng.sample(range(versions), 2)
        cell = found[number % prompts, min(first, second), max(first, second)]
        cell[0] += rng.random() < 1 / (1 + math.exp(abs(first - second) / 9))
        cell[1] += 1
    return [Cell(*key, wins, count) for key, (wins, count) in found.items()]
