"""A test of a share that may be looked at after every outcome and stopped at any time.

Of outcomes that come one by one, the null says: whatever came before, the next one is a hit with probability at most
`usual`. A gambler who bets on hits cannot grow rich under that null, so their wealth is evidence against it. The wealth
is a nonnegative supermartingale that starts at 1; by Ville's inequality it ever reaches 1 / alpha with probability at
most alpha, so looking after every outcome costs nothing.

Somebody may also work well for long and then stop. The gambler therefore begins a fresh bet before every outcome, with
1 / (k (k + 1)) of the stake for the kth: a change after the kth outcome is found about as soon as one at the start, for
a price of log(k (k + 1)).

Sources: Ville 1939; Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting"; Shin,
Ramdas and Rinaldo 2023, "E-detectors: a nonparametric framework for sequential change detection".
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# How far the alternatives lie between `usual` and 1. A mixture over them needs no guess of how careless somebody is.
STEPS = (0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Outcome:
    """What a run of outcomes comes to. `alarm_at` is the number of outcomes at the alarm (from 1), None without one."""

    n: int
    alarm_at: int | None


class SequentialTest:
    """The test of one person, fed outcome by outcome.

    Args:
        usual: the largest probability of a hit under the null, strictly between 0 and 1.
        alpha: the chance of a false alarm, ever.
    """

    def __init__(self, usual: float, alpha: float) -> None:
        if not 0 < usual < 1 or not 0 < alpha < 1:
            raise ValueError(f"usual and alpha must lie between 0 and 1; got {usual} and {alpha}.")
        self.bar = 1 / alpha
        self.on_hit: list[float] = []  # by what each alternative's bet is multiplied
        self.on_miss: list[float] = []
        for step in STEPS:
            share = usual + step * (1 - usual)
            self.on_hit.append(share / usual)
            self.on_miss.append((1 - share) / (1 - usual))
        self.bets = [0.0] * len(STEPS)
        self.n = 0
        self.alarm_at: int | None = None

    @property
    def wealth(self) -> float:
        """What the gambler has: the bets that run, and the stake of those that have not begun."""
        return math.fsum(self.bets) / len(self.bets) + 1 / (self.n + 1)

    def see(self, hit: bool) -> bool:
        """One more outcome. Returns whether the alarm has been given, now or before."""
        self.n += 1
        if self.alarm_at is None:
            stake = 1 / (self.n * (self.n + 1))
            factors = self.on_hit if hit else self.on_miss
            self.bets = [(bet + stake) * factor for bet, factor in zip(self.bets, factors, strict=True)]
            if self.wealth >= self.bar:
                self.alarm_at = self.n
        return self.alarm_at is not None


def follow(outcomes: Iterable[bool], usual: float, alpha: float) -> Outcome:
    """All outcomes of one person, oldest first; `True` is a hit."""
    test = SequentialTest(usual, alpha)
    for hit in outcomes:
        test.see(hit)
    return Outcome(test.n, test.alarm_at)
