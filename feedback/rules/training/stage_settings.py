"""The trainer's settings by stage, as the trainer itself wrote them to `stage_settings.json` beside this file.

Doors check by them what somebody sets, so that a wrong key or a value out of range is reported before anything is
queued.
Rules between several values of a stage are the trainer's alone; a run that breaks one fails by name within a second.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from feedback.rules.json_types import JsonObject
from feedback.rules.platform.known_names import unknown_name

Setting = JsonObject
StageSettings = dict[str, object]  # one stage's settings by key, as somebody gave them


class InvalidSetting(ValueError):
    """Which setting is wrong (`stage.key`, or `preset`), and how."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


@cache
def _described() -> JsonObject:
    described: JsonObject = json.loads(Path(__file__).with_name("stage_settings.json").read_text(encoding="utf-8"))
    return described


def pipeline() -> list[dict[str, object]]:
    """The trainer's row for each stage that a pipeline may name, in order."""
    found: list[dict[str, object]] = _described()["pipeline"]
    return found


def of_stage(stage: str) -> dict[str, Setting]:
    """Key -> {"type", "default", "null"?, "low"?, "above"?, "high"?, "choices"?}."""
    found: dict[str, Setting] = _described()["stages"][stage]
    return found


def presets() -> dict[str, dict[str, JsonObject]]:
    """Preset -> stage -> key -> value, where it differs from the default."""
    found: dict[str, dict[str, JsonObject]] = _described()["presets"]
    return found


def kl_budget(length: float | None) -> float:
    """Nats per response that the trainer allows a policy by default, as its `trainer/ppo/kl_budget.py` has it.

    Args:
        length: tokens of the mean response of the policy that KL is measured from; None if nobody measured it.
    """
    rule: dict[str, float] = _described()["kl_budget"]
    return min(max(rule["per_token"] * (length or 0.0), rule["least"]), rule["largest"])


def value(stage: str, key: str, given: JsonObject) -> Any:
    """What a run of `stage` reported `given` works with: its own value of `key`, else its preset's, else the default.

    None where the stage has no such setting.
    """
    known = of_stage(stage).get(key)
    if known is None:
        return None
    usual = presets().get(given.get("preset", ""), {}).get(stage, {})
    return given.get(key, usual.get(key, known["default"]))


def check_preset(preset: object) -> None:
    if not isinstance(preset, str) or preset not in presets():
        raise InvalidSetting("preset", f"Unknown preset {preset!r}; choose from {', '.join(presets())}.")


def check_stage(stage: str, values: object) -> None:
    """Raises InvalidSetting unless every key is the stage's own and every value within its bounds."""
    if not isinstance(values, dict):
        raise InvalidSetting(stage, "It must be an object of settings.")
    known = of_stage(stage)
    for key, value in values.items():
        if key == "preset":
            check_preset(value)
            continue
        if key not in known:
            raise InvalidSetting(f"{stage}.{key}", unknown_name(key, known, f"setting of {stage}"))
        wrong = _wrong(value, known[key])
        if wrong:
            raise InvalidSetting(f"{stage}.{key}", wrong)


def _wrong(value: object, setting: Setting) -> str:
    """A sentence on what is wrong with a value, or nothing."""
    kind = setting["type"]
    if kind == "object" or (value is None and setting.get("null")):
        return ""
    if kind == "boolean":
        return "" if isinstance(value, bool) else "It is true or false."
    if kind == "text":
        return _wrong_text(value, setting.get("choices"))
    return _wrong_number(value, setting)


def _wrong_text(value: object, choices: list[str] | None) -> str:
    if not isinstance(value, str):
        return "It must be text."
    if choices and value not in choices:
        return f"Choose from {', '.join(choices)}."
    return ""


def _wrong_number(value: object, setting: Setting) -> str:
    name = "whole number" if setting["type"] == "integer" else "number"
    wrong_type = isinstance(value, bool) or (setting["type"] == "integer" and isinstance(value, float))
    if wrong_type or not isinstance(value, int | float) or not math.isfinite(value):
        return f"It must be a {name}, not {value!r}."
    low, above, high = setting.get("low"), setting.get("above"), setting.get("high")
    if (low is not None and value < low) or (above is not None and value <= above):
        return f"It must be at least {low:g}." if low is not None else f"It must be greater than {above:g}."
    if high is not None and value > high:
        return f"It must be at most {high:g}."
    return ""
