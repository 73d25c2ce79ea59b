"""What every stage's config is made of: fields that carry their bounds, and the keys all training stages share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


def setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A config field with its allowed values: low <= value <= high, value > above, or one of choices."""
    bounds = {"low": low, "high": high, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=bounds)


@dataclass(frozen=True)
class Checkpointing:
    """What every stage that trains for a while shares.

    Attributes:
        checkpoint_seconds: time between checkpoints, s, >= 1.
        checkpoint_steps: also checkpoint every so many steps; 0 is off.
    """

    checkpoint_seconds: float = setting(30.0, low=1)
    checkpoint_steps: int = setting(0, low=0)
