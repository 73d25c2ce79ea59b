"""Contests with several candidates at once, with numpy, under several ways to choose who is compared next."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.rules.evaluation.arena_allocation import UNIFORM_SHARE
from feedback.rules.evaluation.contest_evidence import Design
from tests.evaluation.contest_simulation import Floats, log_factors

Live = NDArray[np.bool_]
# rng, wins and losses (runs, M), candidates not given up (runs, M) -> (runs,) candidate; -1: a vote that helps none
Chooser = Callable[[np.random.Generator, Floats, Floats, Live], NDArray[np.int64]]


@dataclass(frozen=True)
class ArenaRuns:
    """Of each run: the promoted candidate, -1 for none, and the votes that it took."""

    winner: NDArray[np.int64]
    votes: NDArray[np.int64]


def thompson(rng: np.random.Generator, wins: Floats, losses: Floats, live: Live) -> NDArray[np.int64]:
    """The rule of `arena_allocation`, by Beta draws."""
    draws = np.where(live, rng.beta(1 + wins, 1 + losses), -1)
    anybody = np.where(live, rng.random(live.shape), -1).argmax(axis=1)
    return np.where(rng.random(len(live)) < UNIFORM_SHARE, anybody, draws.argmax(axis=1))


def thompson_over_all_pairs(rng: np.random.Generator, wins: Floats, losses: Floats, live: Live) -> NDArray[np.int64]:
    """As `thompson`, but the uniform share is spent on all pairs, also those without the incumbent."""
    chosen = thompson_alone(rng, wins, losses, live)
    return np.where(rng.random(len(live)) < UNIFORM_SHARE, uniform_over_all_pairs(rng, wins, losses, live), chosen)


def thompson_alone(rng: np.random.Generator, wins: Floats, losses: Floats, live: Live) -> NDArray[np.int64]:
    return np.where(live, rng.beta(1 + wins, 1 + losses), -1).argmax(axis=1)


def uniform_over_all_pairs(rng: np.random.Generator, wins: Floats, losses: Floats, live: Live) -> NDArray[np.int64]:
    """Any pair among candidates and incumbent; of these only M of M (M + 1) / 2 hold the incumbent."""
    many = live.shape[1]
    pair = rng.integers(many * (many + 1) // 2, size=len(live))
    return np.where(pair < many, pair, -1)


def round_robin(rng: np.random.Generator, wins: Floats, losses: Floats, live: Live) -> NDArray[np.int64]:
    """Each candidate against the incumbent in turn, without those given up."""
    return np.where(live, wins + losses, np.inf).argmin(axis=1)


def follow(rng: np.random.Generator, rates: list[float], choose: Chooser, runs: int, design: Design) -> ArenaRuns:
    """All runs. rates: (M,) win rates of the candidates against the incumbent; K = 1."""
    many = len(rates)
    up, down = log_factors(design.null, 2), log_factors(1 - design.futile, 2)[:, ::-1]
    winner, ended = np.full(runs, -1), np.full(runs, design.cap)
    rows = np.arange(runs)
    wins, losses = np.zeros((runs, many)), np.zeros((runs, many))
    live = np.ones((runs, many), dtype=bool)
    logs = np.zeros((2, runs, many, up.shape[0]))
    for vote in range(1, design.cap + 1):
        chosen = choose(rng, wins, losses, live)
        at = np.flatnonzero((chosen >= 0) & live[np.arange(len(live)), chosen])
        who = chosen[at]
        won = rng.random(len(at)) < np.asarray(rates)[who]
        wins[at, who] += won
        losses[at, who] += ~won
        halves = 2 * won.astype(np.int64)
        logs[0, at, who] += up.T[halves]
        logs[1, at, who] += down.T[halves]
        passed = np.exp(logs[0, at, who]).mean(axis=1) >= design.bar
        hopeless = np.exp(logs[1, at, who]).mean(axis=1) >= design.futility_bar
        live[at[hopeless], who[hopeless]] = False
        winner[rows[at[passed]]] = who[passed]
        over: Live = np.logical_not(live.any(axis=1))
        over[at[passed]] = True
        if over.any():
            ended[rows[over]] = vote
            stay = ~over
            rows, wins, losses, live, logs = rows[stay], wins[stay], losses[stay], live[stay], logs[:, stay]
            if not len(rows):
                break
    return ArenaRuns(winner, ended)
