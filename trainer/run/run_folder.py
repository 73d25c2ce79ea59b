"""The run folder: its lock, what run.json asks for, and where a result goes."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from trainer.data.snapshot import open_snapshot
from trainer.errors import ConfigInvalid, FolderLocked, ModelCorrupt
from trainer.json_types import RunInput, RunRequest
from trainer.run.checkpoints import file_sha256, open_model, write_json
from trainer.stages import STAGES

PR_SET_PDEATHSIG = 1  # prctl(2)
KNOWN_KEYS = frozenset(
    {"schema", "run", "attempt", "stage", "seed", "config", "inputs", "preflight", "ignore_findings"}
)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however this process ends.

    Raises:
        FolderLocked: another trainer holds it.
    """
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderLocked(f"{folder} is locked by another trainer") from error
        yield


def die_with_parent(parent: int, seconds: float = 1.0) -> None:
    """End this process when its parent ends, whatever ends it.

    The kernel's signal comes when the *thread* that started us ends, which is why callers start trainers from a
    thread that outlives them; the watch on the parent's pid holds where the kernel has no such signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def read_run(folder: Path) -> RunRequest:
    """run.json, parsed and checked but for the config and the inputs.

    Raises:
        ConfigInvalid: it is missing, not JSON, of another schema, or has an unknown key or stage.
    """
    try:
        run: object = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"run.json cannot be read: {error}.") from error
    if not isinstance(run, dict) or run.get("schema") != 1:
        raise ConfigInvalid("run.json must be an object with `schema` 1.")
    if unknown := sorted(set(run) - KNOWN_KEYS):
        raise ConfigInvalid(f"Unknown key in run.json: {', '.join(unknown)}.")
    if run.get("stage") not in STAGES:
        raise ConfigInvalid(
            f"Unknown stage {run.get('stage')!r}.", remedy=f"Known stages: {', '.join(sorted(STAGES))}."
        )
    for key in ("attempt", "seed"):
        if not isinstance(run.get(key, 0), int) or isinstance(run.get(key), bool):
            raise ConfigInvalid(f"`{key}` in run.json must be an integer.")
    return cast("RunRequest", run)


def plan_sha256(run: RunRequest) -> str:
    """Fingerprint of what is requested, the same for every attempt at it: checkpoints of another plan are not
    resumed."""
    inputs: dict[str, object] = {}
    for name, entry in (run.get("inputs") or {}).items():
        inputs[name] = entry
        if isinstance(entry, dict):
            inputs[name] = entry.get("manifest_sha256") or entry.get("path")
    plan = [run["stage"], run.get("seed", 0), run.get("config") or {}, inputs]
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def start_afresh_if_changed(folder: Path, plan: str) -> bool:
    """Drop checkpoints, model and result that belong to another plan; true when there were any."""
    marker = folder / "checkpoints" / "plan.json"
    changed = marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) != {"plan": plan}
    if changed:
        for name in ("checkpoints", "model", "tensorboard"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "result.json").unlink(missing_ok=True)
    (folder / "checkpoints").mkdir(exist_ok=True)
    write_json(marker, {"plan": plan})
    return changed


def check_inputs(stage: str, inputs: object) -> dict[str, RunInput]:
    """The inputs of run.json, by name, each with a path; nothing is opened yet.

    Raises:
        ConfigInvalid: an input is unknown, missing, or lacks a path.
    """
    if not isinstance(inputs, dict):
        raise ConfigInvalid("`inputs` in run.json must be an object.")
    row = STAGES[stage]
    if unknown := sorted(set(inputs) - row.inputs):
        raise ConfigInvalid(f"Unknown input for {stage}: {', '.join(unknown)}.")
    if missing := sorted(row.needs - set(inputs)):
        raise ConfigInvalid(f"{stage} needs the input {', '.join(missing)}.")
    if row.from_either and not row.optional & set(inputs):
        raise ConfigInvalid(f"{stage} needs the input tokenizer (from scratch) or base_model (continued).")
    for name, entry in inputs.items():
        if not (isinstance(entry, dict) and isinstance(entry.get("path"), str)):
            raise ConfigInvalid(f"The input {name} needs a `path`.")
    return cast("dict[str, RunInput]", inputs)


def open_inputs(folder: Path, inputs: Mapping[str, RunInput]) -> dict[str, Path]:
    """Resolve each input against the run folder and verify it.

    Raises:
        SnapshotCorrupt, ModelCorrupt: what lies there is not what run.json names.
    """
    paths = {}
    for name, entry in inputs.items():
        path = (folder / entry["path"]).resolve()
        expected = entry.get("manifest_sha256")
        if name in ("snapshot", "texts"):
            open_snapshot(path, expected)
        elif name in ("prompts", "responses"):
            if not path.is_file():
                raise ModelCorrupt(f"The file of {name} {path} is missing.")
            if expected is not None and file_sha256(path) != expected:
                raise ModelCorrupt(f"The file of {name} {path} does not hash to {expected[:12]}….")
        else:
            open_model(path, expected)
        paths[name] = path
    return paths
