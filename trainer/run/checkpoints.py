"""Write under a temporary name, rename last: checkpoints, made models and their manifests. What has its final name is
complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from trainer.errors import ModelCorrupt
from trainer.json_types import JsonObject, RunRequest

MANIFEST = "manifest.json"
STEP = "step-"
RESTART = "restart-"  # folders of trainings that differ in their seed, each with checkpoints of its own
ENDED = "ended.json"  # in such a folder, once its training has ended
CHECKPOINT_SCHEMA = 2  # 1 had weights under the names of published files, which some families' modules do not have


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write JSON so that `path` is either as before or complete, even if the machine stops midway."""
    part = path.with_name(f".{path.name}.partial")
    with part.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def fresh_folder(path: Path) -> Path:
    """Make `path` an empty folder, whatever was there."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


def rename_into_place(part: Path, target: Path) -> None:
    """Give a complete folder its final name, replacing an older one. Contents are flushed to disk first."""
    for path in [part, *sorted(part.rglob("*"))]:  # folders too: they hold the names
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)


# --- checkpoints -----------------------------------------------------------------------------------------


def newest_checkpoint(folder: Path) -> Path | None:
    """The `step-N` folder with the greatest N whose every file is as its manifest says; None when there is none.

    A name alone is no proof: a machine that loses its power may keep the name and lose what lay under it.
    """
    return next((path for path in reversed(all_checkpoints(folder)) if is_complete(path)), None)


def last_step(folder: Path) -> int | None:
    """Step of the checkpoint that a run would go on from, in whichever restart; None when it would begin anew.

    0 says that a restart has ended and the next one has no checkpoint yet.
    """
    found = newest_checkpoint(folder)
    restarts = sorted(folder.glob(f"{RESTART}*"), key=lambda path: int(path.name.removeprefix(RESTART)))
    begun = False
    for path in restarts:
        newest = newest_checkpoint(path)
        begun = begun or (path / ENDED).is_file()
        found = newest or found
    if found is None:
        return 0 if begun else None
    return checkpoint_step(found)


def all_checkpoints(folder: Path) -> list[Path]:
    """`step-N` folders, by step, complete or not."""
    found = [path for path in folder.glob(f"{STEP}*") if path.name.removeprefix(STEP).isdigit()]
    return sorted(found, key=checkpoint_step)


def is_complete(path: Path) -> bool:
    """Whether the folder has a manifest of this schema and every file in it is there and unchanged."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
        return manifest["schema"] == CHECKPOINT_SCHEMA and all(
            file_sha256(path / name) == digest for name, digest in files.items()
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def checkpoint_step(path: Path) -> int:
    return int(path.name.removeprefix(STEP))


def files_in(folder: Path) -> dict[str, Path]:
    """Every file in a folder and in those below it, by its path from there, in order."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def keep_checkpoint(part: Path, folder: Path, step: int, keep: int = 2) -> Path:
    """Describe a checkpoint in its manifest, rename it to `step-N` and drop all but the newest `keep`."""
    target = folder / f"{STEP}{step}"
    files = {name: file_sha256(path) for name, path in files_in(part).items()}
    write_json(part / MANIFEST, {"schema": CHECKPOINT_SCHEMA, "step": step, "files": files})
    rename_into_place(part, target)
    for path in all_checkpoints(folder)[:-keep]:
        shutil.rmtree(path)
    return target


def drop_checkpoints(folder: Path) -> None:
    """Remove everything that was kept to go on from; the fingerprint of the plan stays."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


# --- model folders ---------------------------------------------------------------------------------------


@cache
def code_sha256() -> str:
    """Hash of this package's own source, so that a manifest says which code made the model."""
    digest = hashlib.sha256()
    root = Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def versions(names: Iterable[str] = ("torch", "transformers", "trl", "tokenizers", "safetensors")) -> dict[str, str]:
    """Installed version of each library, read from its metadata so that nothing heavy is imported."""
    return {name: metadata.version(name) for name in names}


def write_manifest(
    folder: Path,
    *,
    kind: str,
    run: RunRequest,
    config: Mapping[str, object],
    inputs: Mapping[str, str | None],
    faults: Sequence[Mapping[str, str]] = (),
) -> str:
    """Describe every file of a made model in its manifest.json and return the manifest's SHA-256, the model's name.

    Args:
        folder: the model folder, complete but for the manifest.
        kind: "tokenizer", "policy" or "reward".
        run: run.json, for run, stage and seed.
        config: the full config the stage ran with.
        inputs: input name -> hash it was verified against, or None for a folder from elsewhere.
        faults: why the model is not to be served, each a `name` and a `text`; the key is left out where there is none.
    """
    files: dict[str, dict[str, str | int]] = {}
    for name, path in files_in(folder).items():
        if path.name != MANIFEST:
            files[name] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    noted: dict[str, list[dict[str, str]]] = {}
    if faults:
        noted["faults"] = list(map(dict, faults))
    write_json(
        folder / MANIFEST,
        {
            "schema": 1,
            "kind": kind,
            "stage": run["stage"],
            "run": run.get("run"),
            "seed": run.get("seed", 0),
            "config": dict(config),
            "inputs": dict(inputs),
            "files": files,
            "versions": versions(),
            "code": code_sha256(),
            **noted,
        },
    )
    return file_sha256(folder / MANIFEST)


def open_model(path: Path, manifest_sha256: str | None = None) -> JsonObject:
    """Verify a model folder before it is loaded and return its manifest.

    Args:
        path: the folder.
        manifest_sha256: what its manifest.json must hash to. None means a folder from elsewhere: then a manifest is
            checked when there is one, and an empty dict is returned when there is none.

    Raises:
        ModelCorrupt: the folder, its manifest or a file in it is missing or differs, or it holds pickled weights
            and no safetensors.
    """
    remedy = "Choose another model version, or make this one again."
    if not path.is_dir():
        raise ModelCorrupt(f"No model folder at {path}.", remedy=remedy)
    if any(path.glob("*.bin")) and not any(path.glob("*.safetensors")):
        raise ModelCorrupt(f"{path} holds pickled weights; only safetensors are loaded.", remedy="Convert it first.")
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        if manifest_sha256 is None:
            return {}
        raise ModelCorrupt(f"{manifest_path} is missing.", remedy=remedy)
    if manifest_sha256 is not None and file_sha256(manifest_path) != manifest_sha256:
        raise ModelCorrupt(f"{manifest_path} does not hash to {manifest_sha256[:12]}….", remedy=remedy)
    try:
        manifest: JsonObject = json.loads(manifest_path.read_text(encoding="utf-8"))
        files = manifest["files"].items()
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelCorrupt(f"{manifest_path} cannot be read: {error}.", remedy=remedy) from error
    for name, entry in files:
        file = (path / name).resolve()
        if not file.is_relative_to(path.resolve()):
            raise ModelCorrupt(f"{manifest_path} names a file outside its folder: {name}.", remedy=remedy)
        if not file.is_file():
            raise ModelCorrupt(f"{name} is missing from {path}.", remedy=remedy)
        if file_sha256(file) != entry["sha256"]:
            raise ModelCorrupt(f"{name} in {path} differs from its manifest.", remedy=remedy)
    if manifest_sha256 is not None:
        # A file laid beside the others is read as well: an adapter, another chat template, an index of other weights.
        there = {str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir()}
        if strangers := sorted(there - set(manifest["files"]) - {MANIFEST}):
            raise ModelCorrupt(f"{strangers[0]} lies in {path} but not in its manifest.", remedy=remedy)
    return manifest
