"""The share of each annotator's votes that is error beyond the crowd's best: what the loss of preferences discounts.

The loss of a pair is -log[(1 - e) s(d) + e s(-d)], with s the sigmoid, d the reward difference and e the error of its
annotator. An error of one half has no gradient, a larger one turns the vote round. Errors are relative: the model of
the loss (Bradley and Terry) already has room for the disagreement of careful people, so who is as reliable as the best
three has none.

    r_i = share of votes on the better side (Dawid and Skene), pulled toward the crowd's mean: `pulled`
    r*  = mean of the three highest r_i of annotators with at least 100 shared votes
    e_i = (r* - r_i) / (2 r* - 1), within 0 and .98

A shared vote is one on a task that somebody else voted on too. Errors are whole hundredths: a file of them has one
spelling.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import floor
from operator import attrgetter

from feedback.rules.quality.findings import Seen, findings
from feedback.rules.quality.reliability import Reliability, Vote, consensus_of

FEWEST_VOTES = 200  # shared votes of everybody, from which on errors are estimated
FEWEST_SHARED = 100  # shared votes of one person who may be among the best
BEST = 3
LEAST_BEST = 0.55  # of their mean share; nearer to chance, nobody can tell who errs
PULL = 50  # votes that the crowd's mean weighs against an annotator's own
MOST_HUNDREDTHS = 98
BAR = 10  # hundredths in a bar of the histogram
FLAGS = ("agreement", "inverted")


class Weighing(StrEnum):
    """What the policy of a snapshot wants done about annotators of different reliability."""

    OFF = "off"  # every vote weighs the same
    DROP = "drop"  # annotations of people who agree too little with the others are left out
    WEIGH = "weigh"  # errors in the loss, or a temperature per annotator while there are too few shared votes


WEIGHINGS = [one.value for one in Weighing]


class Applied(StrEnum):
    """What a freeze did."""

    NOTHING = "nothing"
    DROPPED = "dropped"
    ERRORS = "errors"
    TEMPERATURE = "temperature"  # rows name their annotator by an index, and the trainer learns what that is worth


class Why(StrEnum):
    """Why a freeze put no errors into the loss."""

    CHOSEN = "chosen"
    CONSENSUS = "consensus"
    FEW_ANNOTATORS = "few_annotators"
    FEW_VOTES = "few_votes"
    FEW_PEOPLE = "few_people"
    NEAR_CHANCE = "near_chance"


WITH_TEMPERATURE = (Why.FEW_VOTES, Why.FEW_PEOPLE)  # more shared votes would help; until then it is learned


@dataclass(frozen=True)
class AnnotatorError:
    """Of one annotator.

    Attributes:
        votes: comparisons that prefer a response; `shared` of them on tasks that others voted on too.
        share: of votes on the better side, 0 to 1, before it is pulled.
        hundredths: the error; None where none is estimated.
    """

    annotator: int
    votes: int
    shared: int
    share: float
    hundredths: int | None


@dataclass(frozen=True)
class Errors:
    """Errors of a crowd, by annotator key. `best` is r* where three people set it; `why` is None where errors hold."""

    annotators: tuple[AnnotatorError, ...]
    best: float | None
    why: Why | None
    flagged: frozenset[int] = frozenset()

    @property
    def shared(self) -> int:
        return sum(map(attrgetter("shared"), self.annotators))

    @property
    def able(self) -> int:
        """How many have enough shared votes to be among the best."""
        return sum(one.shared >= FEWEST_SHARED for one in self.annotators)

    @property
    def by_annotator(self) -> dict[int, int]:
        """Errors in hundredths; empty where none hold."""
        return {one.annotator: one.hundredths for one in self.annotators if one.hundredths is not None}


def errors_of(votes: Sequence[Vote]) -> Errors:
    """Estimate errors from votes. The same votes give the same integers, in whatever order they come."""
    reliability = consensus_of(sorted(votes)).annotators
    return errors_from(reliability, Counter(map(attrgetter("annotator"), votes)))


def errors_from(reliability: Mapping[int, Reliability], votes: Mapping[int, int]) -> Errors:
    """Errors from the reliability and the number of votes of each annotator."""
    people = sorted(reliability)
    shares = pulled(reliability)
    able = [shares[person] for person in people if reliability[person].met >= FEWEST_SHARED]
    best: float | None = None
    if len(able) >= BEST:
        best = sum(sorted(able, reverse=True)[:BEST]) / BEST
    why = _why_not(len(people), sum(map(attrgetter("met"), reliability.values())), best)
    annotators = []
    for person in people:
        one = reliability[person]
        hundredths: int | None = None
        if why is None and best is not None:
            hundredths = to_hundredths((best - shares[person]) / (2 * best - 1))
        annotators.append(AnnotatorError(person, votes.get(person, 0), one.met, one.share, hundredths))
    return Errors(tuple(annotators), best, why, flagged(reliability))


def pulled(reliability: Mapping[int, Reliability]) -> dict[int, float]:
    """Shares by annotator, each pulled toward the mean over all shared votes.

    What is left of the distance to the mean is n / (n + 50), or less where chance explains how far apart the shares
    lie: the second limit is the James-Stein estimator's. Without it one of eight careful people with 130 shared votes
    each has an error of .18 in one crowd of five.
    """
    shared = {person: reliability[person].met for person in sorted(reliability) if reliability[person].met}
    n = sum(shared.values())
    kept = dict.fromkeys(reliability, 0.0)
    crowd = 0.5
    if n:
        crowd = sum(reliability[person].share * votes for person, votes in shared.items()) / n
        # A vote tells the less of a share, the nearer to chance those are whom it is compared with.
        informed = sum((2 * reliability[person].share - 1) ** 2 * votes for person, votes in shared.items()) / n
        apart = sum((reliability[person].share - crowd) ** 2 * votes for person, votes in shared.items()) / n
        real = apart * len(shared) / max(1, len(shared) - 1) - len(shared) * _variance(n, informed)
        for person, votes in shared.items():
            if real > 0:
                kept[person] = min(votes / (votes + PULL), real / (real + _variance(votes, informed)))
    elif reliability:
        crowd = sum(map(attrgetter("share"), reliability.values())) / len(reliability)
    return {person: crowd + (one.share - crowd) * kept[person] for person, one in reliability.items()}


def to_hundredths(error: float) -> int:
    """An error as whole hundredths from 0 to 98; halves go up."""
    return min(MOST_HUNDREDTHS, max(0, floor(100 * error + 0.5)))


def of_row(votes: Iterable[tuple[int, Fraction]]) -> int:
    """The error of a row that several annotations state, from the error and the weight of each, in hundredths.

    The mean by weight. The gradient of one vote's loss at no difference is -(1 - 2 e) / 2, which is linear in e: there
    the row pulls exactly as its votes would pull one by one. An annotation without an error counts as 0.
    """
    total, weighted = Fraction(0), Fraction(0)
    for error, weight in votes:
        total += weight
        weighted += error * weight
    if not total:
        return 0
    return floor(weighted / total + Fraction(1, 2))


def histogram(hundredths: Iterable[int]) -> list[int]:
    """How many errors lie in each tenth from 0 to 1."""
    bars = [0] * (100 // BAR)
    for value in hundredths:
        bars[value // BAR] += 1
    return bars


def flagged(reliability: Mapping[int, Reliability]) -> frozenset[int]:
    """Who agrees less with the others than chance explains, by the tests of the quality page."""
    seen = {person: Seen(one, None) for person, one in reliability.items()}
    return frozenset(one.annotator for one in findings(seen) if one.check in FLAGS)


def sentence(why: Why, errors: Errors) -> str:
    """A reason in words."""
    match why:
        case Why.CHOSEN:
            return "The policy of this snapshot does not weigh annotators."
        case Why.CONSENSUS:
            return "A consensus is nobody's own. Freeze one pair per annotation to weigh annotators."
        case Why.FEW_ANNOTATORS:
            return f"{len(errors.annotators)} of at least {BEST} annotators have compared responses."
        case Why.FEW_VOTES:
            return f"{errors.shared} of {FEWEST_VOTES} votes were given on tasks that somebody else judged too."
        case Why.FEW_PEOPLE:
            return (
                f"{errors.able} of {BEST} annotators have {FEWEST_SHARED} votes on tasks that somebody else judged too."
            )
        case Why.NEAR_CHANCE:
            return (
                f"The {BEST} most reliable annotators find the better response in {100 * (errors.best or 0):.0f} % of "
                f"tasks. More than {100 * LEAST_BEST:.0f} % is needed to tell who errs."
            )


def _variance(votes: int, informed: float) -> float:
    """At most this is the sampling variance of a share from so many shared votes."""
    if not informed:
        return float("inf")
    return 1 / (4 * votes * informed)


def _why_not(annotators: int, shared: int, best: float | None) -> Why | None:
    if annotators < BEST:
        return Why.FEW_ANNOTATORS
    if shared < FEWEST_VOTES:
        return Why.FEW_VOTES
    if best is None:
        return Why.FEW_PEOPLE
    if best <= LEAST_BEST:
        return Why.NEAR_CHANCE
    return None
