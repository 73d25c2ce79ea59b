"""Units of a contest: how votes become an x, and which units may be folded into the evidence next.

The order of units is part of the evidence. A unit gets its number when its task is first handed out, and only the
completed prefix of numbers is folded. If units were folded as they complete, and clear wins were answered faster, the
wins would always be ahead of the losses that are still being read, and an equal candidate would be promoted too often.

A unit is open until K votes count, then complete for good. A skip, a withdrawal or an expiry reopens a place only of an
open unit. Further votes are no part of x, and a vote that is revised later does not touch it. An open unit that has
kept later, complete ones waiting for a day is void, for good too: it is folded with the votes it has, and those that it
lacks count against whatever the evidence is for (`contest_evidence`). The day starts when the first later unit has to
wait, so a night without annotators voids nothing.

All functions take the units of one candidate: each candidate's evidence waits for its own units only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from feedback.rules.evaluation.contest_evidence import UnitResult

UnitState = Literal["open", "complete", "void"]

WIN, HALF, LOSS = Fraction(1), Fraction(1, 2), Fraction(0)
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
        number: place in the order of first hand-outs, unique within the contest; gaps are allowed.
        state: open until `result` is known.
        result: None while it is open.
        completed_at: when a complete unit was complete, else None.
    """

    number: int
    state: UnitState
    result: UnitResult | None = None
    completed_at: datetime | None = None

    def __post_init__(self) -> None:
        if (self.state == "open") != (self.result is None):
            raise ValueError(f"Unit {self.number} is {self.state} with the result {self.result}.")


@dataclass(frozen=True)
class Prefix:
    """What is folded next. `results`: in order. `up_to`: the number of the last of them, or that of before."""

    results: tuple[UnitResult, ...]
    up_to: int


def vote_value(outcome: str, *, for_candidate: bool = False) -> Fraction:
    """What a comparison's outcome counts for the candidate.

    Args:
        outcome: prefer, tie or both_bad, as in a comparison's payload.
        for_candidate: whether the preferred response is the candidate's.
    """
    if outcome in ("tie", "both_bad"):
        return HALF
    if outcome != "prefer":
        raise ValueError(f"A comparison's outcome is prefer, tie or both_bad; got {outcome!r}.")
    return WIN if for_candidate else LOSS


def with_votes(unit: Unit, votes: Sequence[Fraction], votes_per_unit: int, at: datetime) -> Unit:
    """The unit after its votes so far: complete with the first K of them, else unchanged.

    Args:
        votes: counted votes, oldest first, each 0, 1/2 or 1; those past K are extras.
    """
    if unit.state != "open" or len(votes) < votes_per_unit:
        return unit
    return replace(unit, state="complete", result=_result(votes, votes_per_unit), completed_at=at)


def voided(unit: Unit, votes: Sequence[Fraction], votes_per_unit: int) -> Unit:
    """The unit with the votes so far, fewer than K, as its last; a unit that is not open stays as it is."""
    if unit.state != "open":
        return unit
    return replace(unit, state="void", result=_result(votes, votes_per_unit))


def reopens(unit: Unit) -> bool:
    """Whether a skipped, withdrawn or expired place is offered again."""
    return unit.state == "open"


def next_to_fold(units: Iterable[Unit], folded_up_to: int) -> Prefix:
    """The complete or void units behind `folded_up_to` (0 before the first), up to the first that is open."""
    found, up_to = [], folded_up_to
    for unit in sorted(units, key=_number):
        if unit.number <= folded_up_to:
            continue
        if unit.result is None:
            break
        found.append(unit.result)
        up_to = unit.number
    return Prefix(tuple(found), up_to)


def to_void(units: Iterable[Unit], now: datetime, patience: timedelta = PATIENCE) -> list[Unit]:
    """Open units that have kept a later, complete one waiting for `patience`, in order."""
    found = []
    waiting_since: datetime | None = None  # when the first complete unit with a higher number was complete
    for unit in sorted(units, key=_number, reverse=True):
        if unit.state == "complete" and unit.completed_at is not None:
            waiting_since = unit.completed_at if waiting_since is None else min(waiting_since, unit.completed_at)
        elif unit.state == "open" and waiting_since is not None and now - waiting_since >= patience:
            found.append(unit)
    return found[::-1]


def _result(votes: Sequence[Fraction], votes_per_unit: int) -> UnitResult:
    counted = votes[:votes_per_unit]
    return UnitResult(sum(counted, LOSS) / votes_per_unit, Fraction(votes_per_unit - len(counted), votes_per_unit))


def _number(unit: Unit) -> int:
    return unit.number
