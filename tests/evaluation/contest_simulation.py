"""Many contests at once, with numpy: the e-process of `contest_evidence` over arrays, and crowds that vote.

The tests show that a run decides here exactly as the pure function does; so what holds of thousands of runs here holds
of the function that the service uses. Used by tests and by `tests/bench/contest_table.py`.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from feedback.rules.evaluation.contest_evidence import BETS, LARGEST_STAKE, Design, Outcome, UnitResult

Floats = NDArray[np.float64]
Halves = NDArray[np.int64]  # votes for the candidate in halves: x = halves / (2K)
Void = NDArray[np.bool_]
BLOCK = 200  # units folded before decided runs are left out
ICC = 0.3
LEANING = 0.58  # with which a crowd with a taste for the left prefers what is shown there


@dataclass(frozen=True)
class Runs:
    """Of each run: its outcome, and the units that it took (all of them if it ended at the cap)."""

    outcome: NDArray[np.str_]
    units: NDArray[np.int64]

    def share(self, outcome: Outcome) -> float:
        return float(np.mean(self.outcome == outcome))

    def votes(self, votes_per_unit: int) -> float:
        return float(self.units.mean()) * votes_per_unit


def log_factors(mean: float, steps: int) -> Floats:
    """(16, steps + 1): the log of each bet's factor for x = h / steps."""
    bets = np.minimum(BETS, LARGEST_STAKE / mean)
    return np.log1p(np.outer(bets, np.arange(steps + 1) / steps - mean))


def follow(halves: Halves, design: Design, void: Void | None = None) -> Runs:
    """All runs, with a peek at every unit.

    Args:
        halves: (runs, units) in the order in which they are folded, each in 0..2K.
        void: (runs, units) units that got no vote; none by default.
    """
    many, units = halves.shape
    steps = 2 * design.votes_per_unit
    up = log_factors(design.null, steps)
    down = log_factors(1 - design.futile, steps)[:, ::-1]
    outcome = np.full(many, "cap", dtype="<U8")
    ended = np.full(many, units)
    live = np.arange(many)
    sums = np.zeros((2, len(BETS), many))
    for begun in range(0, units, BLOCK):
        least = most = halves[live, begun : begun + BLOCK]
        if void is not None:
            missing = void[live, begun : begun + BLOCK]
            least, most = np.where(missing, 0, least), np.where(missing, steps, most)
        evidence, mirror = np.zeros(least.shape), np.zeros(least.shape)
        for bet in range(len(BETS)):
            for side, factors, block, total in ((0, up, least, evidence), (1, down, most, mirror)):
                logs = np.cumsum(factors[bet][block], axis=1) + sums[side, bet, :, None]
                sums[side, bet] = logs[:, -1]
                total += np.exp(logs, out=logs)
        won = evidence / len(BETS) >= design.bar
        lost = mirror / len(BETS) >= design.futility_bar
        decided = won | lost
        first = decided.argmax(axis=1)
        done = decided.any(axis=1)
        rows = np.arange(len(live))
        outcome[live[done]] = np.where(won[rows, first], "promote", "give_up")[done]
        ended[live[done]] = (begun + first + 1)[done]
        live, sums = live[~done], sums[:, :, ~done]
        if not len(live):
            break
    return Runs(outcome, ended)


def votes(rng: np.random.Generator, runs: int, units: int, votes_per_unit: int, rate: float) -> Halves:
    """(runs, units, K) votes, 0 or 1, for a candidate with this win rate; votes on one prompt are alike by `ICC`."""
    if votes_per_unit == 1:
        return (rng.random((runs, units, 1)) < rate).astype(np.int64)
    scale = (1 - ICC) / ICC
    prompts = rng.beta(rate * scale, (1 - rate) * scale, (runs, units, 1))
    return (rng.random((runs, units, votes_per_unit)) < prompts).astype(np.int64)


def votes_by_log_odds(rng: np.random.Generator, runs: int, units: int, votes_per_unit: int, median: float) -> Halves:
    """As `votes`, but `median` is the win rate on the median prompt, and log-odds are normal over prompts.

    With a standard deviation of 1.53 votes on a prompt are alike by .3, and the win rate over all prompts is nearer to
    one half: .535, .571 and .607 for .55, .60 and .65.
    """
    odds = np.log(median / (1 - median)) + rng.normal(0, 1.53, (runs, units, 1))
    return (rng.random((runs, units, votes_per_unit)) < 1 / (1 + np.exp(-odds))).astype(np.int64)


def units_of(one_by_one: Halves) -> Halves:
    """(runs, units) in halves, from votes (runs, units, K)."""
    return 2 * one_by_one.sum(axis=2)


def completed_at(rng: np.random.Generator, halves: Halves, votes_per_unit: int) -> Floats:
    """(runs, units) when each unit is complete, if one is handed out per unit of time and wins are quick to see.

    A clear win takes 2 on average and a clear loss 20, so about eleven units are open at a time.
    """
    share = halves / (2 * votes_per_unit)
    return np.arange(halves.shape[1]) + rng.exponential(20 - 18 * share)


def in_order_of(moments: Floats, halves: Halves) -> Halves:
    return np.take_along_axis(halves, moments.argsort(axis=1), axis=1)


def shown_left(rng: np.random.Generator, runs: int, units: int, left: float) -> Halves:
    """(runs, units) in halves: equal models, a crowd that leans to the left, the candidate there in this share."""
    there = rng.random((runs, units)) < left
    return 2 * (rng.random((runs, units)) < np.where(there, LEANING, 1 - LEANING)).astype(np.int64)


def slow_losses(rng: np.random.Generator, halves: Halves, votes_per_unit: int, share: float) -> Void:
    """(runs, units) units that nobody answers: this share of all, and only such as the candidate would have lost."""
    lost = halves < votes_per_unit
    return lost & (rng.random(halves.shape) < share / lost.mean())


def left_out(rng: np.random.Generator, halves: Halves, void: Void) -> Halves:
    """The runs if void units are left out; others of the same run stand in for them at its end."""
    order = np.argsort(void, axis=1, kind="stable")
    kept = np.take_along_axis(halves, order, axis=1)
    return np.where(np.take_along_axis(void, order, axis=1), rng.permuted(kept, axis=1), kept)


def results(halves: Halves, votes_per_unit: int) -> list[UnitResult]:
    """One run as the pure function takes it, from (units,)."""
    return [UnitResult(Fraction(int(one), 2 * votes_per_unit)) for one in halves]
