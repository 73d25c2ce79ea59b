"""Biases of annotators by side, length and speed, adjusted for the quality of responses.

For each annotator P(the response shown first is preferred) = sigmoid(side + length x L + consensus x C + source x S):
L the log ratio of lengths, C what the others say of this task (leaving the annotator out), S how much oftener the one
author wins than the other elsewhere. All but the side are scaled to one standard deviation. The order is drawn by
chance, so `side` is 0 without a bias. Length is not: longer answers may be better ones, and what others say is only a
noisy measure of that; so an annotator's `length` is compared with the median of the other annotators', who stand under
the same noise.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, mul
from statistics import median
from typing import NamedTuple

# A leaning of one log-odds is believed as likely as in a normal prior of variance 1: someone who always picks the left
# has a finite estimate with an error that does not run away, and is found after some forty answers.
RIDGE = 1.0
CHARACTERS_A_SECOND = 60.0  # about 600 words a minute: faster than anyone reads to judge
FASTEST = 1.0  # seconds, to compare two texts or to write one
FASTEST_LOOK = 0.5  # seconds, to look at one text and press a key
FEWEST = 20  # answers before anything is estimated


class Choice(NamedTuple):
    """A decided annotation as regression features; differences are first shown minus second."""

    first: bool  # the response shown first was preferred
    length: float  # log ratio of the lengths
    others: float  # log-odds for the first shown by everybody else's answers to the task; 0: nobody's
    source: float  # how much oftener its author wins elsewhere, log-odds
    seconds: float


@dataclass(frozen=True)
class Effect:
    """A coefficient on the log-odds scale with its standard error, and what to compare it with."""

    value: float
    error: float
    usual: float = 0.0
    usual_error: float = 0.0

    @property
    def z(self) -> float:
        error = math.hypot(self.error, self.usual_error)
        if error:
            return (self.value - self.usual) / error
        return 0.0

    @property
    def share(self) -> float:
        """The effect as a share, all else equal."""
        return sigmoid(self.value)

    @property
    def usual_share(self) -> float:
        return sigmoid(self.usual)

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        return sigmoid(self.value - z * self.error), sigmoid(self.value + z * self.error)


@dataclass(frozen=True)
class Leanings:
    """Of one annotator: share of the first shown with all else equal, of one that is longer by a standard deviation,
    and of agreement with the others when one standard deviation slower than usual, against their own usual pace."""

    n: int
    side: Effect
    length: Effect
    speed: Effect | None


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))


def plausible_seconds(characters: int, one_look: bool = False) -> float:
    """The least time to read and judge so many characters, in seconds.

    Args:
        one_look: one text is labeled or rated, which a practiced person does faster than comparing two.
    """
    fastest = FASTEST
    if one_look:
        fastest = FASTEST_LOOK
    return max(fastest, characters / CHARACTERS_A_SECOND)


def leanings(choices: dict[int, Sequence[Choice]]) -> dict[int, Leanings]:
    """Biases of all annotators with enough annotations, each compared with the others."""
    enough = {who: rows for who, rows in choices.items() if len(rows) >= FEWEST}
    spread = _spread(list(chain.from_iterable(enough.values())))
    sides: dict[int, Effect] = {}
    lengths: dict[int, Effect] = {}
    for who, rows in enough.items():
        values, errors = _fit_choices(rows, spread)
        sides[who], lengths[who] = Effect(values[0], errors[0]), Effect(values[1], errors[1])
    found = {}
    for who, length in lengths.items():
        usual, usual_error = length.value, 0.0
        if others := [other for name, other in lengths.items() if name != who]:
            usual = median(map(attrgetter("value"), others))
            # Under normal errors a median's standard error is 1.25 times the mean's.
            usual_error = 1.25 * median(map(attrgetter("error"), others)) / math.sqrt(len(others))
        found[who] = Leanings(
            n=len(enough[who]),
            side=sides[who],
            length=Effect(length.value, length.error, usual, usual_error),
            speed=_speed(enough[who]),
        )
    return found


def _spread(rows: Sequence[Choice]) -> list[float]:
    """Root mean square of length, consensus and source over all choices; zeros without any."""
    if not rows:
        return [0.0, 0.0, 0.0]
    spread = []
    for column in (1, 2, 3):
        squares = [row[column] ** 2 for row in rows]
        spread.append(math.sqrt(sum(squares) / len(rows)))
    return spread


def _fit_choices(rows: Sequence[Choice], spread: Sequence[float]) -> tuple[list[float], list[float]]:
    """Coefficients of side, length, and of consensus and source where these vary."""
    scale_of: dict[int, float] = {}
    for column, size in enumerate(spread, start=1):
        if column == 1 or size > 0:
            scale_of[column] = size or 1.0
    features: list[list[float]] = []
    outcomes: list[bool] = []
    for row in rows:
        scaled = [row[column] / scale for column, scale in scale_of.items()]
        features.append([1.0, *scaled])
        outcomes.append(row.first)
    return logistic(features, outcomes)


def _speed(rows: Sequence[Choice]) -> Effect | None:
    """The effect of speed on agreement with the others, for tasks of the same clarity."""
    usable = [row for row in rows if abs(row.others) > 1e-9 and row.seconds > 0]
    if len(usable) < FEWEST:
        return None
    logs = [math.log(row.seconds) for row in usable]
    middle = sum(logs) / len(logs)
    spread = math.sqrt(sum((value - middle) ** 2 for value in logs) / len(logs))
    if spread < 1e-9:
        return None
    clarity = [abs(row.others) for row in usable]
    usual_clarity = sum(clarity) / len(clarity)
    features: list[list[float]] = []
    agrees: list[bool] = []
    for row, log, clear in zip(usable, logs, clarity, strict=True):
        features.append([1.0, (log - middle) / spread, clear - usual_clarity])
        agrees.append((row.others > 0) == row.first)
    values, errors = logistic(features, agrees)
    return Effect(values[1], errors[1])


def logistic(rows: Sequence[Sequence[float]], outcomes: Sequence[bool]) -> tuple[list[float], list[float]]:
    """Coefficients and standard errors of a logistic regression, by Newton's steps."""
    size = len(rows[0])
    grouped: dict[tuple[float, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row, outcome in zip(rows, outcomes, strict=True):
        cell = grouped[tuple(row)]
        cell[0] += 1
        cell[1] += outcome
    cells = [(row, n, won) for row, (n, won) in grouped.items()]
    values = [0.0] * size
    inverse: list[list[float]] = []
    for _ in range(25):
        slope = [-RIDGE * value for value in values]
        curve = _diagonal(size, RIDGE)
        for row, n, won in cells:
            p = sigmoid(_dot(row, values))
            rest, weight = won - n * p, n * p * (1 - p)
            for i, x in enumerate(row):
                slope[i] += rest * x
                line, weighted = curve[i], weight * x
                for j in range(i + 1):
                    line[j] += weighted * row[j]
        for i in range(size):
            for j in range(i):
                curve[j][i] = curve[i][j]
        inverse = _inverse(curve)
        step = [_dot(line, slope) for line in inverse]
        values = [value + max(-2.0, min(2.0, change)) for value, change in zip(values, step, strict=True)]
        if max(map(abs, step)) < 1e-4:
            break
    return values, [math.sqrt(max(0.0, inverse[i][i])) for i in range(size)]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(map(mul, one, other))


def _diagonal(size: int, value: float) -> list[list[float]]:
    """A square matrix of zeros with `value` on its diagonal."""
    matrix = [[0.0] * size for _ in range(size)]
    for place in range(size):
        matrix[place][place] = value
    return matrix


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """The inverse by Gauss-Jordan elimination with the largest pivot."""
    size = len(matrix)
    work = [line + unit for line, unit in zip(matrix, _diagonal(size, 1.0), strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(work[i][column]))
        work[column], work[pivot] = work[pivot], work[column]
        by = work[column][column]
        work[column] = [value / by for value in work[column]]
        for i in range(size):
            if i != column and (factor := work[i][column]):
                work[i] = [a - factor * b for a, b in zip(work[i], work[column], strict=True)]
    return [line[size:] for line in work]
