"""Every setting of every stage as JSON, with type, default, bounds and the presets' values: what a form or a door that
does not know this package checks by.

`python -m trainer.describe > feedback/rules/training/stage_settings.json` writes the copy that the service reads, and
`python -m trainer.describe rows > feedback/rules/data/rows.json` the table of fields of a snapshot's rows. Tests hold
them equal.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from typing import Any, Union

from trainer.configs.stages import CONFIGS, PRESETS
from trainer.data.snapshot import FIELDS, ROLES

NAMES = {int: "integer", float: "number", bool: "boolean", str: "text", list: "list"}


def describe() -> dict[str, Any]:
    """{"stages": {stage: {key: {"type", "default", "null"?, "low"?, "above"?, "high"?, "choices"?}}}, "presets":
    {preset: {stage: {key: value}}}}. A type that is none of integer, number, boolean and text is "object"."""
    stages = {}
    for stage, config in CONFIGS.items():
        hints = typing.get_type_hints(config)
        stages[stage] = {field.name: _setting(field, hints[field.name]) for field in dataclasses.fields(config)}
    presets = {}
    for path in sorted(PRESETS.glob("*.json")):
        preset = json.loads(path.read_text(encoding="utf-8"))
        presets[path.stem] = {
            stage: {key: entry["value"] for key, entry in settings.items()} for stage, settings in preset.items()
        }
    return {"stages": stages, "presets": presets}


def describe_rows() -> dict[str, Any]:
    """{"roles": [role], "kinds": {kind: {field: "text" | "list" | "integer" | "boolean"}}}, as the reader checks."""
    kinds = {kind: {name: NAMES[expected] for name, expected in fields.items()} for kind, fields in FIELDS.items()}
    return {"roles": list(ROLES), "kinds": kinds}


def _setting(field: Any, hint: Any) -> dict[str, Any]:
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    kind = next(one for one in kinds if one is not type(None))
    described: dict[str, Any] = {"type": "object" if kind is list else NAMES.get(kind, "object")}
    if described["type"] != "object":
        described["default"] = field.default
    if type(None) in kinds:
        described["null"] = True
    return described | {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in field.metadata.items()
        if value is not None
    }


if __name__ == "__main__":
    description = describe_rows() if sys.argv[1:] == ["rows"] else describe()
    print(json.dumps(description, indent=1, sort_keys=True))
