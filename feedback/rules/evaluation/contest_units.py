"""Units of a contest: how votes become an x, and which units may be folded into the evidence next.

The order of units is part of the evidence. A unit gets its number when its task is first handed out, and only the
completed prefix of numbers is folded. If units were folded as they complete, and clear wins were answered faster, the
wins would always be ahead of the losses that are still being read, and an equal candidate would be promoted too often.

A unit is open until K votes count, then complete for good. A skip, a withdrawal or an expiry reopens a place only of an
open unit. Further votes are no part of x, and a vote that is revised later does not touch it. An open unit that has
kept later, complete ones waiting for a day is void: its number is passed over, its votes are lost to the contest, and
the page counts it. The day starts when the first later unit has to wait, so a night without annotators voids nothing.

All functions take the units of one candidate: each candidate's evidence waits for its own units only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

UnitState = Literal["open", "complete", "void"]

WIN, HALF, LOSS = Fraction(1), Fraction(1, 2), Fraction(0)
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
        number: place in the order of first hand-outs, unique within the contest; gaps are allowed.
        state: open until `x` is known; void units never have one.
        x: mean of the K votes, in [0, 1]; None unless complete.
        handed_out_at, completed_at: for voiding; the latter None unless complete.
    """

    number: int
    state: UnitState
    x: Fraction | None = None
    handed_out_at: datetime | None = None
    completed_at: datetime | None = None

    def __post_init__(self) -> None:
        if (self.state == "complete") != (self.x is not None):
            raise ValueError(f"Unit {self.number} is {self.state} with x = {self.x}.")


@dataclass(frozen=True)
class Prefix:
    """What is folded next. `units`: complete ones, in order. `up_to`: the last number that is done with."""

    units: tuple[Unit, ...]
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
    x = sum(votes[:votes_per_unit], LOSS) / votes_per_unit
    return replace(unit, state="complete", x=x, completed_at=at)


def reopens(unit: Unit) -> bool:
    """Whether a skipped, withdrawn or expired place is offered again."""
    return unit.state == "open"


def next_to_fold(units: Iterable[Unit], folded_up_to: int) -> Prefix:
    """The completed prefix behind `folded_up_to`, the last number that was done with; 0 before the first.

    Units with lower numbers are ignored, so a void unit that is answered late after all changes nothing.
    """
    found, up_to = [], folded_up_to
    for unit in sorted(units, key=_number):
        if unit.number <= folded_up_to:
            continue
        if unit.state == "open":
            break
        if unit.state == "complete":
            found.append(unit)
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


def _number(unit: Unit) -> int:
    return unit.number
