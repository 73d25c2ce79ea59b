"""Which annotators stand out so far that chance does not explain it, among all that was looked at.

A finding must pass two bars: as many standard errors as the number of looks asks for (`reliability.threshold`), and a
size that matters. A crowd without faults gets one with probability 1 in 50 at most, however large it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from feedback.rules.bias import FEWEST, Effect, Leanings
from feedback.rules.intervals import wilson
from feedback.rules.reliability import Reliability, interval, threshold

CHECKS = ("agreement", "side", "length", "speed", "too_fast", "gold")
MATTERS = 0.06  # of a share, from its usual value
BELOW = 0.08  # of agreement and gold, under the crowd's
FAST_SHARE = 0.2  # answers that nobody can have read


@dataclass(frozen=True)
class Counted:
    """So many of so many."""

    hits: int
    n: int

    @property
    def share(self) -> float | None:
        return self.hits / self.n if self.n else None

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        return wilson(self.hits, self.n, z)


@dataclass(frozen=True)
class Seen:
    """All that was measured of one annotator."""

    reliability: Reliability | None
    leanings: Leanings | None
    too_fast: Counted
    gold: Counted


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


def findings(seen: Mapping[int, Seen]) -> list[Finding]:
    """Everybody's, in a fixed order."""
    z = threshold(len(seen) * len(CHECKS))
    met = [one.reliability for one in seen.values() if one.reliability and one.reliability.with_others_of >= FEWEST]
    typical = median(one.with_others or 0.0 for one in met) if met else 0.0
    found = []
    for who, one in sorted(seen.items()):
        mine = _agreement(who, one.reliability, typical, z)
        found += mine
        inverted = any(finding.check == "inverted" for finding in mine)
        if one.leanings is not None:
            found += _effect(who, "side", one.leanings.side, one.leanings.n, z)
            if not inverted:  # whoever answers the opposite also prefers the opposite length
                found += _effect(who, "length", one.leanings.length, one.leanings.n, z)
            if one.leanings.speed is not None and one.leanings.speed.value > 0:
                found += _effect(who, "speed", one.leanings.speed, one.leanings.n, z)
        if one.too_fast.n >= FEWEST and one.too_fast.interval(z)[0] > FAST_SHARE:
            found.append(_share(who, "too_fast", one.too_fast, 0.0))
        others = [other.gold for key, other in seen.items() if key != who and other.gold.n]
        asked = sum(other.n for other in others)
        if one.gold.n and asked:
            usual = sum(other.hits for other in others) / asked
            # The others' share is itself uncertain: its lower end is what counts.
            low = wilson(usual * asked, asked)[0]
            if one.gold.interval(z)[1] < low - BELOW:
                found.append(_share(who, "gold", one.gold, usual))
    return found


def _agreement(who: int, told: Reliability | None, typical: float, z: float) -> list[Finding]:
    if told is None or told.with_others is None or told.with_others_of < FEWEST:
        return []
    high = interval(told.with_others, told.with_others_of, z)[1]
    if high >= typical - BELOW:
        return []
    check = "inverted" if high < 0.5 else "agreement"
    low95, high95 = interval(told.with_others, told.with_others_of)
    return [Finding(who, check, told.with_others, low95, high95, told.with_others_of, typical)]


def _effect(who: int, check: str, effect: Effect, n: int, z: float) -> list[Finding]:
    if abs(effect.z) < z or abs(effect.share - effect.usual_share) < MATTERS:
        return []
    low, high = effect.interval()
    return [Finding(who, check, effect.share, low, high, n, effect.usual_share)]


def _share(who: int, check: str, counted: Counted, usual: float) -> Finding:
    low, high = counted.interval()
    return Finding(who, check, counted.share or 0.0, low, high, counted.n, usual)
