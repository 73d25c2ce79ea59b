"""A leaderboard of versions: Bradley-Terry strengths with intervals by prompt, the chance to be best, the win matrix.

P(i beats j) = sigmoid(s_i - s_j); a tie counts half for each. Strengths are log-odds with mean 0. A weak normal prior
keeps the strength of a version that never lost, or was never compared, finite.

Votes on one prompt are alike, so the model's own standard errors are too small (they cover 95 % in 79 % of cases). The
sandwich estimator takes whole prompts as observations: V = A^-1 B A^-1, with A the negative Hessian and B the sum over
prompts of the outer product of their scores. Where a version has won everything its scores vanish and B with them,
although nothing is known about how much better it is; the prior therefore enters B too, as one more observation.

A leaderboard never decides: only contests do.

Sources: Bradley and Terry 1952; Liang and Zeger 1986 for the clustered sandwich.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

from feedback.rules.evaluation.intervals import FEWEST, student

RIDGE = 0.1  # precision of the prior: a standard deviation of 3.2 log-odds, a win rate of .96
DRAWS = 2000  # for the chance to be best: its standard error is at most .011
STEPS = 50
CLOSE = 1e-9  # of the largest step, log-odds

Matrix = list[list[float]]
Signature = tuple[tuple[int, int, float, int], ...]


class Cell(NamedTuple):
    """Votes on one prompt between two versions, in either order. `wins`: of `first`, with half of the ties."""

    prompt: Hashable
    first: int
    second: int
    wins: float
    votes: int


class Duel(NamedTuple):
    """All votes between two versions. `wins`: of the first, with half of ties."""

    wins: float
    votes: int


@dataclass(frozen=True)
class Strength:
    """One version.

    Attributes:
        value: log-odds against the mean of all versions.
        low, high: 95 % interval of `value`, by prompt; None for too few prompts.
        best: chance to be the strongest, in [0, 1]; None as above.
        votes: of which it was part.
    """

    value: float
    low: float | None
    high: float | None
    best: float | None
    votes: int


@dataclass(frozen=True)
class Leaderboard:
    """`strengths`: by version, in no order. `duels`: by (lower, higher) version; pairs without a vote are left out.

    connected: every version was compared with every other, if only by way of others; if not, only the prior says how
    strong one group is beside another, and the page must say so.
    """

    strengths: tuple[Strength, ...]
    duels: Mapping[tuple[int, int], Duel]
    prompts: int
    connected: bool

    def win_rate(self, version: int, other: int) -> float:
        """The fitted probability that `version` beats `other`, in (0, 1)."""
        return _sigmoid(self.strengths[version].value - self.strengths[other].value)


def fit(cells: Iterable[Cell | tuple[Hashable, int, int, float, int]], versions: int, seed: int = 0) -> Leaderboard:
    """The leaderboard of `versions` versions, numbered from 0.

    Args:
        cells: in any order; plain tuples will do.
        seed: of the draws for the chance to be best.

    Raises:
        ValueError: a cell names no version or one twice, or has more wins than votes.
    """
    by_prompt = _by_prompt(cells, versions)
    duels = _duels(by_prompt)
    values, bread = _maximize(duels, versions)
    prompts = sum(by_prompt.values())
    votes_of = [sum(duel.votes for pair, duel in duels.items() if one in pair) for one in range(versions)]
    lows: Sequence[float | None] = [None] * versions
    highs, best = lows, lows
    if prompts >= FEWEST:
        covariance = _centered(_sandwich(_inverse(bread), _meat(by_prompt, prompts, values)))
        reach = student(prompts - 1)
        errors = [math.sqrt(max(0.0, covariance[one][one])) for one in range(versions)]
        lows = [value - reach * error for value, error in zip(values, errors, strict=True)]
        highs = [value + reach * error for value, error in zip(values, errors, strict=True)]
        best = chance_to_be_best(values, covariance, seed)
    return Leaderboard(
        strengths=tuple(map(Strength, values, lows, highs, best, votes_of)),
        duels=duels,
        prompts=prompts,
        connected=_connected(duels, versions),
    )


def chance_to_be_best(values: Sequence[float], covariance: Matrix, seed: int, draws: int = DRAWS) -> list[float]:
    """How often each is the largest in draws from the normal with this mean and covariance; the same for one seed."""
    rng, root = random.Random(seed), _cholesky(covariance)
    first = [0] * len(values)
    for _ in range(draws):
        noise = [rng.gauss(0.0, 1.0) for _ in values]
        drawn = [value + sum(map(mul, row, noise)) for value, row in zip(values, root, strict=True)]
        first[drawn.index(max(drawn))] += 1
    return [count / draws for count in first]


def _by_prompt(cells: Iterable[Cell | tuple[Hashable, int, int, float, int]], versions: int) -> Counter[Signature]:
    """How many prompts have each set of results, pairs with the lower version first.

    Most prompts of a large arena have one vote or two, so few sets are different, and each is computed once.
    """
    prompts: dict[Hashable, list[tuple[int, int, float, int]]] = defaultdict(list)
    for prompt, first, second, wins, votes in cells:
        if not 0 <= wins <= votes:
            raise ValueError(f"{wins} wins of {votes} votes.")
        if first == second or not 0 <= first < versions or not 0 <= second < versions:
            raise ValueError(f"Versions {first} and {second} of {versions}.")
        if first < second:
            prompts[prompt].append((first, second, wins, votes))
        else:
            prompts[prompt].append((second, first, votes - wins, votes))
    return Counter(tuple(sorted(rows)) for rows in prompts.values())


def _duels(by_prompt: Mapping[Signature, int]) -> dict[tuple[int, int], Duel]:
    sums: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for signature, times in by_prompt.items():
        for first, second, wins, votes in signature:
            seen = sums[first, second]
            seen[0] += times * wins
            seen[1] += times * votes
    return {pair: Duel(wins, int(votes)) for pair, (wins, votes) in sorted(sums.items())}


def _maximize(duels: Mapping[tuple[int, int], Duel], versions: int) -> tuple[list[float], Matrix]:
    """The strengths with the largest penalized likelihood by Newton's method, and the negative Hessian there."""
    values = [0.0] * versions
    for _ in range(STEPS):
        slope = [-RIDGE * value for value in values]
        hessian = [[RIDGE * (one == other) for other in range(versions)] for one in range(versions)]
        for (first, second), (wins, votes) in duels.items():
            chance = _sigmoid(values[first] - values[second])
            residual, weight = wins - votes * chance, votes * chance * (1 - chance)
            slope[first] += residual
            slope[second] -= residual
            hessian[first][first] += weight
            hessian[second][second] += weight
            hessian[first][second] -= weight
            hessian[second][first] -= weight
        step = [sum(map(mul, row, slope)) for row in _inverse(hessian)]
        largest = max(map(abs, step), default=0.0)
        # A full step can overshoot while a version has won everything; one of 2 log-odds at most cannot.
        scale = min(1.0, 2.0 / largest) if largest else 0.0
        values = [value + scale * one for value, one in zip(values, step, strict=True)]
        if largest < CLOSE:
            break
    return values, hessian


def _meat(by_prompt: Mapping[Signature, int], prompts: int, values: Sequence[float]) -> Matrix:
    """B: the outer products of the prompts' scores, corrected for their number, and of the prior's."""
    versions = len(values)
    chances = [[_sigmoid(one - other) for other in values] for one in values]
    meat = [[0.0] * versions for _ in range(versions)]
    for signature, times in by_prompt.items():
        scores = [0.0] * versions
        for first, second, wins, votes in signature:
            residual = wins - votes * chances[first][second]
            scores[first] += residual
            scores[second] -= residual
        found = [(one, score) for one, score in enumerate(scores) if score]
        for place, (one, score) in enumerate(found):
            row, weighted = meat[one], times * score
            for other, another in found[place:]:
                row[other] += weighted * another
    correction = prompts / (prompts - 1)
    for one in range(versions):
        for other in range(one, versions):
            meat[one][other] *= correction
            meat[other][one] = meat[one][other]
        meat[one][one] += RIDGE
    return meat


def _sandwich(outer: Matrix, inner: Matrix) -> Matrix:
    """outer inner outer, all symmetric."""
    return _product(_product(outer, inner), outer)


def _centered(covariance: Matrix) -> Matrix:
    """The covariance of values minus their mean: only differences of strengths mean anything."""
    size = len(covariance)
    means = [sum(row) / size for row in covariance]
    total = sum(means) / size
    return [
        [covariance[one][other] - means[one] - means[other] + total for other in range(size)] for one in range(size)
    ]


def _connected(duels: Mapping[tuple[int, int], Duel], versions: int) -> bool:
    if not versions:
        return True
    reached, ahead = {0}, [0]
    while ahead:
        here = ahead.pop()
        for pair in duels:
            if here in pair:
                there = pair[0] + pair[1] - here
                if there not in reached:
                    reached.add(there)
                    ahead.append(there)
    return len(reached) == versions


def _product(left: Matrix, right: Matrix) -> Matrix:
    columns = list(zip(*right, strict=True))
    return [[sum(map(mul, row, column)) for column in columns] for row in left]


def _inverse(matrix: Matrix) -> Matrix:
    """Of a positive definite matrix, by Gauss-Jordan elimination."""
    size = len(matrix)
    rows = [list(row) + [float(place == number) for place in range(size)] for number, row in enumerate(matrix)]
    for pivot in range(size):
        scale = rows[pivot][pivot]
        rows[pivot] = [value / scale for value in rows[pivot]]
        for number, row in enumerate(rows):
            if number != pivot and row[pivot]:
                factor = row[pivot]
                rows[number] = [value - factor * under for value, under in zip(row, rows[pivot], strict=True)]
    return [row[size:] for row in rows]


def _cholesky(matrix: Matrix) -> Matrix:
    """Lower triangular root of a positive semidefinite matrix; what rounding left below zero is zero."""
    size = len(matrix)
    root = [[0.0] * size for _ in range(size)]
    for row in range(size):
        for column in range(row + 1):
            rest = matrix[row][column] - sum(map(mul, root[row][:column], root[column][:column]))
            if row == column:
                root[row][row] = math.sqrt(max(0.0, rest))
            elif root[column][column] > 1e-9:
                root[row][column] = rest / root[column][column]
    return root


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))
