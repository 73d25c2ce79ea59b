"""Findings about annotators who stand out more than chance explains, and checks that lack observations.

Agreement and leanings must pass two bars: as many standard errors as the number of looks asks for
(`reliability.threshold`), and a size that matters. A crowd without faults gets one with probability 1 in 50 at most,
however large it is. They are looked at from `FEWEST` annotations on.

Pace and gold tasks are tested after every annotation, from the first one (`rules.sequential`): a careful annotator is
ever flagged with probability `ALPHA` at most for each of the two, so a hundred of them with 1 in 50.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, not_
from statistics import median

from feedback.rules.evaluation.intervals import wilson
from feedback.rules.quality.bias import FEWEST, Effect, Leanings
from feedback.rules.quality.reliability import FAMILY, Reliability, interval, threshold
from feedback.rules.quality.sequential import follow

CHECKS = ("agreement", "side", "length", "speed", "too_fast", "gold")
MATTERS = 0.06  # of a share, from its usual value
BELOW = 0.08  # of agreement and gold, under the crowd's
ALPHA = FAMILY / 200  # two tests for each of a hundred people
FAST_USUAL = 0.2  # annotations of a careful annotator that look too fast: known texts, slips, corrections
WRONG_USUAL = 0.25  # gold tasks that a careful annotator gets wrong, or what the others get wrong if that is more
WRONG_ALONE = 0.4  # where nobody else has met gold tasks, they may be hard


@dataclass(frozen=True)
class Counted:
    """`hits` of `n` observations."""

    hits: int
    n: int

    @property
    def share(self) -> float | None:
        if self.n:
            return self.hits / self.n
        return None

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        return wilson(self.hits, self.n, z)


@dataclass(frozen=True)
class Seen:
    """All measurements of an annotator.

    Attributes:
        decided: annotations that prefer one of two responses, which leanings are estimated from.
        paces: of each timed annotation, oldest first, whether it came faster than anybody can read.
        checks: of each gold task, oldest first, whether the answer was right.
    """

    reliability: Reliability | None
    leanings: Leanings | None
    decided: int = 0
    paces: Sequence[bool] = ()
    checks: Sequence[bool] = ()

    @property
    def too_fast(self) -> Counted:
        return Counted(sum(self.paces), len(self.paces))

    @property
    def gold(self) -> Counted:
        return Counted(sum(self.checks), len(self.checks))


@dataclass(frozen=True)
class Finding:
    """`check` is one of CHECKS or "inverted"; the interval is of 95 %; `usual` what the crowd or chance gives."""

    annotator: int
    check: str
    share: float
    low: float
    high: float
    n: int
    usual: float


@dataclass(frozen=True)
class Look:
    """How many observations a check has of an annotator, and how many it needs."""

    annotator: int
    check: str
    n: int
    needed: int = FEWEST

    @property
    def enough(self) -> bool:
        return self.n >= self.needed


def looks(seen: Mapping[int, Seen]) -> list[Look]:
    """A `Look` for every check and annotator, in a fixed order."""
    found = []
    for check in CHECKS:
        for who, one in sorted(seen.items()):
            met = one.reliability.with_others_of if one.reliability else 0
            if check == "speed" and one.leanings is not None and one.leanings.speed is None:
                found.append(Look(who, check, min(met, FEWEST - 1)))  # too few of them have a time to compare
                continue
            n = {"agreement": met, "too_fast": len(one.paces), "gold": len(one.checks)}.get(check, one.decided)
            found.append(Look(who, check, n))
    return found


def careless_at(paces: Sequence[bool]) -> int | None:
    """The number of the annotation at which the test of pace rejected a careful annotator."""
    return follow(paces, FAST_USUAL, ALPHA).alarm_at


def wrong_at(checks: Sequence[bool], others: Counted) -> int | None:
    """The number of the gold task at which the test of errors rejected a careful annotator.

    Args:
        checks: whether each answer was right, oldest first.
        others: how many answers of the others to gold tasks were right.
    """
    return follow(map(not_, checks), usually_wrong(others), ALPHA).alarm_at


def usually_wrong(others: Counted) -> float:
    """The share of gold tasks that a careful annotator may get wrong, strictly below 1."""
    if not others.n:
        return WRONG_ALONE
    # The others' share is itself uncertain: its lower end is what counts.
    return min(0.9, max(WRONG_USUAL, 1 - others.interval()[0] + BELOW))


def findings(seen: Mapping[int, Seen]) -> list[Finding]:
    """Findings of all annotators, in a fixed order."""
    z = threshold(len(seen) * len(CHECKS))
    shares = []
    for one in seen.values():
        if one.reliability and one.reliability.with_others_of >= FEWEST:
            shares.append(one.reliability.with_others or 0.0)
    typical = median(shares) if shares else 0.0
    found = []
    for who, one in sorted(seen.items()):
        mine = _agreement(who, one.reliability, typical, z)
        found += mine
        inverted = "inverted" in map(attrgetter("check"), mine)
        if one.leanings is not None:
            found += _effect(who, "side", one.leanings.side, one.leanings.n, z)
            if not inverted:  # whoever answers the opposite also prefers the opposite length
                found += _effect(who, "length", one.leanings.length, one.leanings.n, z)
            if one.leanings.speed is not None and one.leanings.speed.value > 0:
                found += _effect(who, "speed", one.leanings.speed, one.leanings.n, z)
        if careless_at(one.paces) is not None:
            found.append(_share(who, "too_fast", one.too_fast, FAST_USUAL))
        others = others_than(who, seen)
        if wrong_at(one.checks, others) is not None:
            found.append(_share(who, "gold", one.gold, 1 - usually_wrong(others)))
    return found


def others_than(who: int, seen: Mapping[int, Seen]) -> Counted:
    """Gold results of the other annotators."""
    hits = n = 0
    for key, other in seen.items():
        if key != who:
            hits += other.gold.hits
            n += other.gold.n
    return Counted(hits, n)


def _agreement(who: int, reliability: Reliability | None, typical: float, z: float) -> list[Finding]:
    if reliability is None or reliability.with_others is None or reliability.with_others_of < FEWEST:
        return []
    high = interval(reliability.with_others, reliability.with_others_of, z)[1]
    if high >= typical - BELOW:
        return []
    check = "inverted" if high < 0.5 else "agreement"
    low95, high95 = interval(reliability.with_others, reliability.with_others_of)
    return [Finding(who, check, reliability.with_others, low95, high95, reliability.with_others_of, typical)]


def _effect(who: int, check: str, effect: Effect, n: int, z: float) -> list[Finding]:
    if abs(effect.z) < z or abs(effect.share - effect.usual_share) < MATTERS:
        return []
    low, high = effect.interval()
    return [Finding(who, check, effect.share, low, high, n, effect.usual_share)]


def _share(who: int, check: str, counted: Counted, usual: float) -> Finding:
    low, high = counted.interval()
    return Finding(who, check, counted.share or 0.0, low, high, counted.n, usual)
