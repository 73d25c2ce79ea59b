"""The evidence of a contest: an e-process, folded one unit at a time, in the order in which units were handed out.

A unit is one task on one prompt with one response of each model. Its x is the mean of its K votes for the candidate:
win 1, tie or both bad 1/2, loss 0. The null says: whatever came before, the expected x is at most m. A gambler bets on
every unit with 16 fixed sizes at once:

    E_n(m) = mean over j of the product over i <= n of 1 + lambda_j(m) (x_i - m),   lambda_j(m) = min(lambda_j, 0.9 / m)

Under the null E is a nonnegative supermartingale that starts at 1, so it ever reaches 1 / alpha with probability at
most alpha (Ville 1939). Looking after every unit costs nothing. The mirror, x -> 1 - x and m -> 1 - m, bets on a mean
below m.

What is stored are not the sums of the bets but how many units had each x. x is a multiple of 1 / (2K), so these 2K + 1
whole numbers hold all that E depends on, for every m at once: E does not depend on the order of the units. Three things
follow. The state that a program recomputes from the units is equal to the stored one exactly, whatever the order of
floating-point sums. The interval needs E at many m, and has it without the units. A fold costs the same after 2,000
units as after the first one.

The interval is every m that neither E(m) nor its mirror has ever rejected at 2 / alpha, so each end only moves inward.
E falls as m grows, so an end moves only where E at the next point of a grid of 1/1,000 has reached the bar, and is
then found by bisection. It is kept with the counts, rounded outward to the grid: reading it costs nothing, and a fold
costs two evaluations unless an end moves.

A unit that is never completed must not be left out: if annotators give up on those that the candidate loses, the rest
looks like wins, and with 3 % of units an equal candidate is promoted in 16 % of contests. Its missing votes are losses
where the evidence is for the candidate and wins where it is against it. So there are two rows of counts, and neither
the promotion nor either end of the interval depends on why a unit is void.

Sources: Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting"; Ville 1939.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from operator import mul
from typing import Literal, NamedTuple, TypedDict

BETS = tuple(0.04 * 40 ** (step / 15) for step in range(16))  # 0.04 to 1.6, log-spaced
LARGEST_STAKE = 0.9  # of what a bet may lose at most: 1 + lambda (x - m) stays >= 0.1, and its logarithm finite
GRID = 1000  # ends of the interval are multiples of 1 / GRID

Standing = Literal["open", "won", "given_up"]
Outcome = Literal["open", "promote", "give_up", "cap"]


@dataclass(frozen=True)
class Design:
    """What is fixed before the first vote, and decides when a contest ends.

    Attributes:
        alpha: the chance that any candidate that is no better is ever promoted.
        candidates: M, compared with one incumbent; each needs E >= M / alpha.
        votes_per_unit: K, annotators that vote on each unit.
        cap: votes after which the incumbent stays, over all candidates.
        null: a candidate is promoted on evidence that its win rate is above this.
        futile: a candidate is given up on evidence that its win rate is below this.
        futility_bar: the mirror of E at `futile` that gives up. It needs no correction: giving up promotes nothing.
    """

    alpha: float = 0.05
    candidates: int = 1
    votes_per_unit: int = 1
    cap: int = 2000
    null: float = 0.5
    futile: float = 0.525
    futility_bar: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1; got {self.alpha}.")
        if self.candidates < 1 or self.votes_per_unit < 1 or self.cap < self.votes_per_unit:
            raise ValueError("A contest needs a candidate, a vote for each unit and a cap of at least one unit.")
        if not 0 < self.null < 1 or not 0 < self.futile < 1:
            raise ValueError(f"Win rates must lie between 0 and 1; got {self.null} and {self.futile}.")

    @property
    def bar(self) -> float:
        """The E that promotes, >= 1."""
        return self.candidates / self.alpha

    @property
    def interval_bar(self) -> float:
        """The E, or mirror, that takes a win rate out of the interval."""
        return 2 / self.alpha


class UnitResult(NamedTuple):
    """What is folded of a unit.

    Attributes:
        x: the sum of its votes by K, a multiple of 1 / (2K) in [0, 1].
        missing: the share of its K votes that it never got; 0 unless it is void.
    """

    x: Fraction
    missing: Fraction = Fraction(0)


class StoredEvidence(TypedDict):
    """`Evidence` as JSON. Floats survive JSON exactly, since both sides write the shortest text that reads back."""

    counts: list[int]
    generous: list[int]
    peak: float
    low: int
    high: int


@dataclass(frozen=True)
class Evidence:
    """The state of one candidate's e-process.

    Attributes:
        counts: (2K + 1,) units by their x, missing votes as losses: `counts[h]` had x = h / (2K).
        generous: (2K + 1,) the same with missing votes as wins.
        peak: the largest log E(null) so far, >= 0.
        low, high: the interval's ends in units of 1 / GRID; `low` >= `high` if no win rate is left.
    """

    counts: tuple[int, ...]
    generous: tuple[int, ...]
    peak: float = 0.0
    low: int = 0
    high: int = GRID

    @property
    def units(self) -> int:
        return sum(self.counts)

    @property
    def votes_per_unit(self) -> int:
        return (len(self.counts) - 1) // 2

    @property
    def mean(self) -> Fraction | None:
        """The mean x, in [0, 1], a missing vote as a half; None before the first unit."""
        if not self.units:
            return None
        halves = sum(h * (least + most) for h, (least, most) in enumerate(zip(self.counts, self.generous, strict=True)))
        return Fraction(halves, 2 * self.units * (len(self.counts) - 1))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The win rates that no unit so far contradicts; None where the votes contradict each other over time.

        The ends hold at every look at once: all true win rates lie inside at all times with probability 1 - alpha.
        It is empty only if win rates were low for long and high for long, so no one win rate fits.
        """
        if self.low >= self.high:
            return None
        return self.low / GRID, self.high / GRID

    def stored(self) -> StoredEvidence:
        return {
            "counts": list(self.counts),
            "generous": list(self.generous),
            "peak": self.peak,
            "low": self.low,
            "high": self.high,
        }


@dataclass(frozen=True)
class Decision:
    """How a contest stands. `candidate`: the number of the one to promote, else None."""

    outcome: Outcome
    candidate: int | None = None


@dataclass(frozen=True)
class Replay:
    """A contest followed from its first unit. `units`: those folded, up to and with the one that decided."""

    decision: Decision
    units: int
    evidences: tuple[Evidence, ...]


def start(design: Design) -> Evidence:
    """The evidence before the first unit: E = 1, interval [0, 1]."""
    none = (0,) * (2 * design.votes_per_unit + 1)
    return Evidence(none, none)


def restore(stored: StoredEvidence) -> Evidence:
    counts, generous = tuple(stored["counts"]), tuple(stored["generous"])
    return Evidence(counts, generous, stored["peak"], stored["low"], stored["high"])


def fold(evidence: Evidence, unit: UnitResult, design: Design) -> Evidence:
    """The evidence after one more unit.

    Raises:
        ValueError: `unit` cannot come from K votes of 0, 1/2 or 1.
    """
    counts, generous = list(evidence.counts), list(evidence.generous)
    counts[_place(unit.x, evidence)] += 1
    generous[_place(unit.x + unit.missing, evidence)] += 1
    bar = math.log(design.interval_bar)
    return Evidence(
        counts=tuple(counts),
        generous=tuple(generous),
        peak=max(evidence.peak, _log_e(counts, design.null)),
        low=_rejected_up_to(evidence.low, counts, bar),
        high=GRID - _rejected_up_to(GRID - evidence.high, generous[::-1], bar),
    )


def recompute(units: Iterable[UnitResult], design: Design) -> Evidence:
    """The evidence of all units, in their order: equal to the stored state, or the stored state is wrong."""
    evidence = start(design)
    for unit in units:
        evidence = fold(evidence, unit, design)
    return evidence


def log_e(evidence: Evidence, mean: float) -> float:
    """log E_n(mean): evidence that the win rate is above `mean`, which lies in [0, 1]."""
    return _log_e(evidence.counts, mean)


def log_mirror(evidence: Evidence, mean: float) -> float:
    """The log of the mirror of E_n(mean): evidence that the win rate is below `mean`, which lies in [0, 1]."""
    return _log_e(evidence.generous[::-1], 1 - mean)


def anytime_p(evidence: Evidence, design: Design) -> float:
    """The p-value of this candidate, corrected for M candidates, valid at every look: min(1, M / max E)."""
    return min(1.0, design.candidates * math.exp(-evidence.peak))


def standing(evidence: Evidence, design: Design) -> Standing:
    """Whether one candidate has won or was given up. Winning comes first where one unit would do both."""
    if evidence.peak >= math.log(design.bar):
        return "won"
    if log_mirror(evidence, design.futile) >= math.log(design.futility_bar):
        return "given_up"
    return "open"


def decide(evidences: Sequence[Evidence], design: Design) -> Decision:
    """How a contest stands after its newest unit.

    Args:
        evidences: (M,) one for each candidate, on units that compared it with the incumbent.

    Returns:
        `promote` with the candidate that has won (the one with the largest E if a caller folded on past the first),
        `give_up` once all are given up, `cap` where no further unit fits under the cap, else `open`.
    """
    standings = [standing(one, design) for one in evidences]
    if "won" in standings:
        winners = [number for number, one in enumerate(standings) if one == "won"]
        return Decision("promote", max(winners, key=lambda number: evidences[number].peak))
    if all(one == "given_up" for one in standings):
        return Decision("give_up")
    votes = design.votes_per_unit * sum(one.units for one in evidences)
    if votes + design.votes_per_unit > design.cap:
        return Decision("cap")
    return Decision("open")


def replay(units: Iterable[tuple[int, UnitResult]], design: Design) -> Replay:
    """Follow a contest until it is decided; what comes after that is not read.

    Args:
        units: the candidate's number, from 0, and the result of each unit, in order.
    """
    evidences = [start(design) for _ in range(design.candidates)]
    folded = 0
    for candidate, unit in units:
        evidences[candidate] = fold(evidences[candidate], unit, design)
        folded += 1
        decision = decide(evidences, design)
        if decision.outcome != "open":
            return Replay(decision, folded, tuple(evidences))
    return Replay(Decision("open"), folded, tuple(evidences))


def _place(x: Fraction, evidence: Evidence) -> int:
    place = x * (len(evidence.counts) - 1)
    if place.denominator != 1 or not 0 <= place < len(evidence.counts):
        raise ValueError(f"x must be a mean of {evidence.votes_per_unit} votes of 0, 1/2 or 1; got {x}.")
    return int(place)


@lru_cache(maxsize=8192)
def log_factors(mean: float, steps: int) -> tuple[tuple[float, ...], ...]:
    """(16, steps + 1): the log of what each bet makes of a unit with x = h / steps, against the null `mean`."""
    bets = [min(bet, LARGEST_STAKE / mean) if mean else bet for bet in BETS]
    return tuple(tuple(math.log1p(bet * (h / steps - mean)) for h in range(steps + 1)) for bet in bets)


def _log_e(counts: Sequence[int], mean: float) -> float:
    logs = [sum(map(mul, counts, factors)) for factors in log_factors(mean, len(counts) - 1)]
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs) / len(logs))


def _rejected_up_to(end: int, counts: Sequence[int], bar: float) -> int:
    """The largest point of the grid, >= `end`, at which log E reaches `bar`; `end` if none beyond it does."""

    def rejected(point: int) -> bool:
        return _log_e(counts, point / GRID) >= bar

    if end >= GRID or not rejected(end + 1):
        return end
    step, inside, outside = 1, end + 1, end + 1
    while outside < GRID and rejected(outside):
        inside, step = outside, 2 * step
        outside = min(GRID, outside + step)
    if outside == GRID and rejected(GRID):
        return GRID
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if rejected(middle):
            inside = middle
        else:
            outside = middle
    return inside
