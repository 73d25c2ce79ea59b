"""Learning rates by the size of what learns: what is usual, what a size does not bear, and what null in a config means.

Small models bear, and need, far larger steps than large ones. The rates in the table of stages go through what is
usual at a thousand million parameters and what the demo world's models of 0.16 million were tuned to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trainer.stages import STAGES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")  # the dataclass of a stage
SIZE = 1e9  # parameters at which the rates in the table of stages hold
LORA = 10.0  # adapters bear so many times the rate of all weights
TOO_HIGH, FAR_TOO_HIGH = 10.0, 40.0  # times the usual: preflight warns, and refuses


def usual_rate(stage: str, parameters: int, lora: bool) -> float | None:
    """The learning rate that is usual for a model of so many parameters; None of a stage without one."""
    usual = STAGES[stage].learning_rate
    if usual is None:
        return None
    rate, power = usual
    return rate * (SIZE / max(parameters, 1)) ** power * (LORA if lora else 1.0)


def resolved(stage: str, config: Config, paths: Mapping[str, Path]) -> Config:
    """The config with a learning rate of null replaced by what is usual for the model that it starts from."""
    if getattr(config, "learning_rate", 0.0) is not None:
        return config
    rate = usual_rate(stage, parameters_of_start(config, paths), getattr(config, "lora", None) is not None)
    return replace(config, learning_rate=float(f"{rate:.2g}"))


def parameters_of_start(config: object, paths: Mapping[str, Path]) -> int:
    """Parameters of the model that a stage starts from, or makes."""
    from trainer.preflight.memory_estimate import shape_from_scratch, shape_of

    base = paths.get("base_model")
    return (shape_of(base) if base is not None else shape_from_scratch(config, paths.get("tokenizer"))).parameters
