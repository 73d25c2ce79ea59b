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
        precision: of the arithmetic; weights stay float32. "auto" is bf16 where a GPU has it (PPO: float32).
        report_to: trackers beside TensorBoard's files, comma-separated, by the names transformers has for them.
    """

    checkpoint_seconds: float = setting(30.0, low=1)
    checkpoint_steps: int = setting(0, low=0)
    precision: str = setting("auto", choices=("auto", "float32", "bf16"))
    report_to: str = setting("")


@dataclass(frozen=True)
class LoRA:
    """Adapters trained beside frozen weights; see `trainer.modeling.lora`.

    Attributes:
        r: rank, >= 1. alpha: the adapters count alpha / r, >= 1. dropout: of their input, 0 to 0.9.
        targets: names of the layers that get one, separated by blanks; empty is every linear layer but the heads.
    """

    r: int = setting(8, low=1, high=4096)
    alpha: int = setting(16, low=1)
    dropout: float = setting(0.0, low=0, high=0.9)
    targets: str = setting("")


@dataclass(frozen=True)
class Adapting(Checkpointing):
    """What every stage shares that goes on from a model.

    Attributes:
        lora: train adapters and leave the base as it is; null trains everything.
    """

    lora: LoRA | None = setting(None)  # noqa: RUF009
