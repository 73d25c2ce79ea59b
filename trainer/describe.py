"""The table of stages and every setting of every stage as JSON, for the service, which never imports this package.

`python -m trainer.describe > feedback/rules/training/stage_settings.json` writes the copy that the service reads, and
`python -m trainer.describe rows > feedback/rules/data/rows.json` the table of fields of a snapshot's rows. Tests hold
both equal.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from typing import Any, Union

from trainer.configs.parsing import PRESETS
from trainer.data.snapshot import FIELDS, ROLES
from trainer.ppo import kl_budget
from trainer.stages import STAGES, TrainingStage

NAMES = {int: "integer", float: "number", bool: "boolean", str: "text", list: "list"}


def describe() -> dict[str, object]:
    """What the service needs of the stages.

    Returns:
        "pipeline": a row for each stage that a pipeline may name, in order, see `_pipeline_row`;
        "stages": {stage: {key: {"type", "default", "null"?, "low"?, "above"?, "high"?, "choices"?}}}, where a type
        that is none of integer, number, boolean and text is "object"; "presets": {preset: {stage: {key: value}}};
        "kl_budget": the numbers of the rule by length, nats.
    """
    settings = {}
    for stage, row in STAGES.items():
        hints = typing.get_type_hints(row.config)
        fields = dataclasses.fields(row.config)
        settings[stage] = {field.name: _setting(field, hints[field.name]) for field in fields}
    presets = {}
    for path in sorted(PRESETS.glob("*.json")):
        preset = json.loads(path.read_text(encoding="utf-8"))
        presets[path.stem] = {stage: _values(entries) for stage, entries in preset.items()}
    pipeline = [_pipeline_row(stage, row) for stage, row in STAGES.items() if row.in_pipeline]
    kl = {"per_token": kl_budget.PER_TOKEN, "least": kl_budget.LEAST, "largest": kl_budget.LARGEST}
    return {"pipeline": pipeline, "stages": settings, "presets": presets, "kl_budget": kl}


def _pipeline_row(stage: str, row: TrainingStage) -> dict[str, object]:
    """One stage as `feedback.rules.training.stages.StageRule` takes it."""
    return {
        "name": stage,
        "label": row.label,
        "makes": row.makes,
        "takes": list(row.takes),
        "after": list(row.after),
        "given": row.given,
        "alternative": row.alternative,
        "family": row.family,
        "reads_texts": row.reads_texts,
        "needs_reward_model": "reward_model" in row.needs,
        "rows": list(row.rows),
        "rows_otherwise": list(row.rows_otherwise),
        "reports": list(row.reports),
        "missing": row.missing,
    }


def _values(entries: dict[str, dict[str, object]]) -> dict[str, object]:
    """Values of a preset's settings, without their sources."""
    return {key: entry["value"] for key, entry in entries.items()}


def describe_rows() -> dict[str, Any]:
    """{"roles": [role], "kinds": {kind: {field: "text" | "list" | "integer" | "boolean"}}}, as the reader checks."""
    kinds: dict[str, dict[str, str]] = {}
    for kind, fields in FIELDS.items():
        kinds[kind] = {name: NAMES[expected] for name, expected in fields.items()}
    return {"roles": list(ROLES), "kinds": kinds}


def _setting(field: Any, hint: Any) -> dict[str, Any]:
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    kind = next(one for one in kinds if one is not type(None))
    described: dict[str, Any] = {"type": "object" if kind is list else NAMES.get(kind, "object")}
    if described["type"] != "object":
        described["default"] = field.default
    if type(None) in kinds:
        described["null"] = True
    for key, value in field.metadata.items():
        if isinstance(value, tuple):
            described[key] = list(value)
        elif value is not None:
            described[key] = value
    return described


if __name__ == "__main__":
    description = describe_rows() if sys.argv[1:] == ["rows"] else describe()
    print(json.dumps(description, indent=1, sort_keys=True))
