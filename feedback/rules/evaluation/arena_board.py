"""The leaderboard of an arena: who was compared, how strong each is, who beats whom, by source and by annotator.

What goes in are sums of votes by prompt and pair, so that its cost follows the prompts and not the people. Entrants are
numbered by their own results, never by their names: renaming or permuting them changes no figure.

The score of an entrant is the chance that it beats one of mean strength, sigmoid(s), with the interval's ends likewise.
A leaderboard describes; only a contest decides.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from feedback.rules.evaluation import bradley_terry
from feedback.rules.evaluation.bradley_terry import Strength
from feedback.rules.evaluation.intervals import FEWEST

E = TypeVar("E", bound=Hashable)  # an entrant's key
G = TypeVar("G", bound=Hashable)  # a group's: a source, an annotator


class Tally(NamedTuple, Generic[E, G]):
    """Votes between two entrants within a group. `halves`: 2 for each win of `first`, 1 for each tie or both bad."""

    group: G
    first: E
    second: E
    halves: int
    votes: int


class PromptTally(NamedTuple, Generic[E]):
    """Votes on one prompt between two entrants. `halves` as in `Tally`."""

    prompt: Hashable
    source: str
    first: E
    second: E
    halves: int
    votes: int


class Share(NamedTuple):
    """Wins, with half of the ties, of so many votes."""

    wins: float
    votes: int

    @property
    def rate(self) -> float:
        return self.wins / self.votes


@dataclass(frozen=True)
class Standing(Generic[E]):
    """One entrant.

    Attributes:
        rank: 1 for the strongest; equal strengths share a rank.
        score: chance to beat an entrant of mean strength, in (0, 1). low, high: its 95 % interval by prompt; None below
            `FEWEST` prompts.
        best: chance to be the strongest of all; None as above.
        against: by standing, the votes against each other entrant; None where there are none, and for itself.
    """

    rank: int
    entrant: E
    score: float
    low: float | None
    high: float | None
    best: float | None
    wins: float
    votes: int
    against: tuple[Share | None, ...]

    @property
    def rate(self) -> float:
        return self.wins / self.votes


@dataclass(frozen=True)
class Part(Generic[G]):
    """A group's votes. `shares`: by standing, what each entrant won within the group; None where it had no vote."""

    group: G
    votes: int
    shares: tuple[Share | None, ...]


@dataclass(frozen=True)
class Board(Generic[E]):
    """`standings`: strongest first. `connected`: every entrant was compared with every other, if by way of others."""

    standings: tuple[Standing[E], ...]
    votes: int
    prompts: int
    connected: bool

    @property
    def prompts_missing(self) -> int:
        """How many prompts more an interval needs."""
        return max(0, FEWEST - self.prompts)


def board(rows: Sequence[PromptTally[E]]) -> Board[E]:
    """The leaderboard of everybody who occurs in `rows`."""
    order = _by_results(rows)
    number = {entrant: place for place, entrant in enumerate(order)}
    cells = [
        (row.prompt, number[row.first], number[row.second], row.halves / 2, row.votes) for row in rows if row.votes
    ]
    fitted = bradley_terry.fit(cells, len(order))
    ranking = sorted(range(len(order)), key=lambda one: -fitted.strengths[one].value)
    standings: list[Standing[E]] = []
    for place, one in enumerate(ranking):
        strength = fitted.strengths[one]
        against = tuple(_duel(fitted.duels, one, other) for other in ranking)
        standings.append(
            Standing(
                rank=_rank(fitted.strengths, ranking, place),
                entrant=order[one],
                score=_chance(strength.value),
                low=None if strength.low is None else _chance(strength.low),
                high=None if strength.high is None else _chance(strength.high),
                best=strength.best,
                wins=sum(share.wins for share in against if share),
                votes=strength.votes,
                against=against,
            )
        )
    return Board(tuple(standings), sum(row.votes for row in rows), fitted.prompts, fitted.connected)


def parts(rows: Iterable[Tally[E, G]], standings: Sequence[Standing[E]]) -> list[Part[G]]:
    """What each group's votes say, in no order."""
    sums: dict[G, dict[E, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    votes: dict[G, int] = defaultdict(int)
    for group, first, second, halves, number in rows:
        votes[group] += number
        for entrant, mine in ((first, halves), (second, 2 * number - halves)):
            seen = sums[group][entrant]
            seen[0] += mine
            seen[1] += number
    found: list[Part[G]] = []
    for group, by_entrant in sums.items():
        shares = [by_entrant.get(one.entrant) for one in standings]
        found.append(Part(group, votes[group], tuple(Share(one[0] / 2, one[1]) if one else None for one in shares)))
    return found


def by_source(rows: Iterable[PromptTally[E]]) -> list[Tally[E, str]]:
    """The sums of each source of prompts."""
    sums: dict[tuple[str, E, E], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        seen = sums[row.source, row.first, row.second]
        seen[0] += row.halves
        seen[1] += row.votes
    return [Tally(*key, halves, votes) for key, (halves, votes) in sums.items()]


def _by_results(rows: Iterable[PromptTally[E]]) -> list[E]:
    """Entrants by what they won and how often they were judged: an order that no name has a part in.

    Only entrants with equal results keep the order in which they occur.
    """
    wins: dict[E, int] = defaultdict(int)
    votes: dict[E, int] = defaultdict(int)
    for row in rows:
        wins[row.first] += row.halves
        wins[row.second] += 2 * row.votes - row.halves
        votes[row.first] += row.votes
        votes[row.second] += row.votes
    return sorted(wins, key=lambda entrant: (-wins[entrant], votes[entrant]))


def _duel(duels: Mapping[tuple[int, int], bradley_terry.Duel], one: int, other: int) -> Share | None:
    if (one, other) in duels:
        return Share(*duels[one, other])
    if (other, one) in duels:
        wins, votes = duels[other, one]
        return Share(votes - wins, votes)
    return None


def _rank(strengths: Sequence[Strength], ranking: Sequence[int], place: int) -> int:
    """1 + how many are stronger; what differs only by rounding is equal."""
    mine = strengths[ranking[place]].value
    return 1 + sum(strengths[one].value > mine + 1e-6 for one in ranking[:place])


def _chance(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))
