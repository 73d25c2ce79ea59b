"""Types of what the trainer reads and writes as JSON."""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

JsonObject: TypeAlias = dict[str, Any]  # an object whose keys are not ours to fix, such as a model's config.json
Metrics: TypeAlias = dict[str, Any]  # metric -> number, text, or lists and objects of them, as in result.json


class RunInput(TypedDict, total=False):
    """One input of run.json."""

    path: str
    manifest_sha256: str | None


class RunRequest(TypedDict, total=False):
    """run.json: what a run does. See `run_folder.read_run` for what is checked."""

    schema: int
    run: str
    attempt: int
    stage: str
    seed: int
    config: JsonObject
    inputs: dict[str, RunInput]
    preflight: bool
    ignore_findings: list[str]
