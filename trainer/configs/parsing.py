"""Reads a stage's config from run.json. A wrong key or value is refused with its name, before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from pathlib import Path
from typing import Any, Union

from trainer.configs.encoders import ClassifyConfig, EncoderShape, MLMConfig, TagConfig
from trainer.configs.online import OnlineTraining, PPOConfig, Terms
from trainer.configs.stages import PretrainConfig
from trainer.errors import ConfigInvalid
from trainer.stages import STAGES

PRESETS = Path(__file__).parent / "presets"


def parse(stage: str, values: dict[str, Any]) -> Any:
    """The stage's config from a dict as in run.json.

    The key `preset` names a file in trainer/configs/presets whose values stand wherever `values` has none of its own.

    Raises:
        ConfigInvalid: an unknown stage, key or preset, a value of the wrong type or out of range, by name.
    """
    if stage not in STAGES:
        raise ConfigInvalid(f"Unknown stage {stage!r}.", remedy=f"Known stages: {', '.join(sorted(STAGES))}.")
    if not isinstance(values, dict):
        raise ConfigInvalid("`config` must be an object.")
    values = dict(values)
    if (preset := values.pop("preset", None)) is not None:
        values = {**preset_values(stage, preset), **values}
    config = filled(stage, STAGES[stage].config, values)
    check_together(stage, config)
    return config


def filled(name: str, config_type: type, values: dict[str, Any]) -> Any:
    """A config dataclass from a dict, each value checked; `name` is where it stands, such as "ppo" or "ppo.terms".

    Raises:
        ConfigInvalid: naming the key.
    """
    hints = typing.get_type_hints(config_type)
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    if unknown := sorted(set(values) - set(fields)):
        raise ConfigInvalid(
            f"Unknown config key for {name}: {', '.join(unknown)}.", remedy=f"Known keys: {', '.join(sorted(fields))}."
        )
    checked: dict[str, Any] = {}
    for key, value in values.items():
        checked[key] = check(f"{name}.{key}", value, hints[key], fields[key].metadata)
    return config_type(**checked)


def preset_values(stage: str, preset: object) -> dict[str, Any]:
    """Values of one stage in a preset file, which keeps a source beside each.

    Raises:
        ConfigInvalid: there is no such preset.
    """
    known = sorted(path.stem for path in PRESETS.glob("*.json"))
    if preset not in known:
        raise ConfigInvalid(f"Unknown preset {preset!r}.", remedy=f"Known presets: {', '.join(known)}.")
    stages = json.loads((PRESETS / f"{preset}.json").read_text(encoding="utf-8"))
    return {name: entry["value"] for name, entry in stages.get(stage, {}).items()}


def check(name: str, value: Any, expected: Any, bounds: typing.Mapping[str, Any]) -> Any:
    """One value, as its type, within its bounds. An integer is taken where a float is wanted, never the reverse.

    Raises:
        ConfigInvalid: naming the key.
    """
    kinds = typing.get_args(expected) if typing.get_origin(expected) in (Union, types.UnionType) else (expected,)
    if value is None and type(None) in kinds:
        return None
    kind = next(k for k in kinds if k is not type(None))
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigInvalid(f"`{name}` must be an object, not {value!r}.")
        return filled(name, typing.cast(type, kind), value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigInvalid(f"`{name}` must be {kind.__name__}, not {value!r}.")
    low, high, above, choices = map(bounds.get, ("low", "high", "above", "choices"))
    if choices is not None and value not in choices:
        raise ConfigInvalid(f"`{name}` is {value!r}; it must be one of {', '.join(choices)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigInvalid(f"`{name}` is {value}; it must be a finite number.")
    if low is not None and value < low:
        raise ConfigInvalid(f"`{name}` is {value}; it must be at least {low}.")
    if above is not None and value <= above:
        raise ConfigInvalid(f"`{name}` is {value}; it must be greater than {above}.")
    if high is not None and value > high:
        raise ConfigInvalid(f"`{name}` is {value}; it must be at most {high}.")
    return value


def check_together(stage: str, config: Any) -> None:
    """Rules between values of one config.

    Raises:
        ConfigInvalid: naming both keys.
    """
    if isinstance(config, PretrainConfig | EncoderShape) and config.hidden_size % (2 * config.heads):
        raise ConfigInvalid(f"`{stage}.hidden_size` must be a multiple of 2 x `{stage}.heads` (rotary halves).")
    if isinstance(config, MLMConfig | ClassifyConfig | TagConfig) and config.max_length > config.context_length:
        raise ConfigInvalid(f"`{stage}.max_length` must be at most `{stage}.context_length`.")
    if isinstance(config, PretrainConfig) and config.block_size > config.context_length:
        raise ConfigInvalid(f"`{stage}.block_size` must be at most `{stage}.context_length`.")
    if isinstance(config, PPOConfig) and config.rollout_batch % config.minibatches:
        raise ConfigInvalid(f"`{stage}.minibatches` must divide `{stage}.rollout_batch`.")
    if isinstance(config, OnlineTraining) and config.batch_size * config.accumulate % config.num_generations:
        raise ConfigInvalid(f"`{stage}.num_generations` must divide `{stage}.batch_size` x `{stage}.accumulate`.")
    terms: Terms | None = getattr(config, "terms", None)
    if terms is not None and terms == Terms(None, None, None, None):
        raise ConfigInvalid(f"`{stage}.terms` leaves nothing to score by.", remedy="Name one term at least.")
    if terms is not None and terms.format is not None:
        try:
            re.compile(terms.format.pattern)
        except re.error as error:
            raise ConfigInvalid(f"`{stage}.terms.format.pattern` is no regular expression: {error}.") from error
