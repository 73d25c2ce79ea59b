"""Jobs about external models: copy, check, describe by a manifest, and register.

Safe to repeat: the copy is made under a temporary name and renamed into a folder named by the job; a second delivery
finds it there.
Only safetensors and plain text are taken, never pickles and never code.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, TypedDict

from django.conf import settings

from feedback.models import Job, ModelVersion
from feedback.rules.training.stages import GIVEN
from feedback.services.data import tokenizers
from feedback.services.registry import external_models
from workers.job_context import JobFailed, Outcome, Work

TAKEN = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
HOURS = 6 * 3600.0  # what fetching or copying a large file may take
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
IMPORTING = threading.Lock()  # its modules load when they are first requested, which threads must not do at once
LONGEST_TRIAL, LOOK_EVERY = 900.0, 0.2  # seconds by the clock, beside the kernel's own bounds


class Fault(TypedDict):
    """Why a model cannot be used, and what to do."""

    sentence: str
    remedy: str


class Trial(TypedDict, total=False):
    """What came of a trial; see `trainer.preflight.adopt`. `failed` stands alone."""

    failed: Fault
    added: list[str]
    faults: list[dict[str, str]]


def carry_out(work: Work) -> Outcome:
    """Copy, check and describe a model. Its row is written in the transaction that ends the job."""
    payload: dict[str, str] = work.job.payload
    relative = f"models/given-{work.job.public_id}"
    place = settings.DATA_DIR / relative
    if not place.is_dir():
        part = place.with_name(f".{place.name}")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            source = from_hub(work, payload, part) if payload["hub"] else from_folder(payload["folder"])
            if source != part:
                copy(work, source, part)
            described(part, payload, tried(work, part, payload["kind"]))
            part.rename(place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    manifest, sha256 = verified(place)
    metrics = {
        "source": payload["hub"] or payload["folder"],
        "bytes": sum(map(itemgetter("bytes"), manifest["files"].values())),
        "added": manifest["config"]["added"],
        "checked": manifest["config"]["checked"],
    }

    def record() -> ModelVersion:
        tokenizers.keep(place)
        return external_models.adopt(
            job=work.job,
            kind=payload["kind"],
            path=relative,
            manifest=manifest,
            manifest_sha256=sha256,
            metrics=metrics,
        )

    return Outcome({"path": relative}, record)


def from_folder(named: str) -> Path:
    """The folder, if it lies in the import folder. A link that leads outside is refused."""
    roots = [settings.DATA_DIR / "models", *settings.MODEL_FOLDERS]
    folder = (roots[0] / named).resolve()
    if set(map(Path.resolve, roots)).isdisjoint(folder.parents):
        raise JobFailed(
            Job.ErrorKind.CONFIG,
            f"{named} is outside the folders for model imports.",
            "Put it below models/ in the data folder, or have its place added to MODEL_FOLDERS.",
        )
    if not folder.is_dir():
        raise JobFailed(Job.ErrorKind.DATA, f"There is no folder {named}.", "Check the path on the server.")
    return folder


def from_hub(work: Work, payload: dict[str, str], part: Path) -> Path:
    """Download into `part`."""
    with IMPORTING:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    work.say(f"fetching {payload['hub']}")
    try:
        with work.long_step(HOURS):
            snapshot_download(
                payload["hub"], revision=payload["revision"] or None, local_dir=part, allow_patterns=list(TAKEN)
            )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise JobFailed(
            Job.ErrorKind.CONFIG,
            f"{payload['hub']} cannot be fetched: {str(error).splitlines()[0][:200]}",
            "Check the id and whether this machine reaches the hub; or fetch it elsewhere and name the folder.",
        ) from error
    shutil.rmtree(part / ".cache", ignore_errors=True)
    return part


def copy(work: Work, source: Path, part: Path) -> None:
    """Copy the allowed files directly in the folder. Links are followed only within it."""
    for pattern in TAKEN:
        for file in sorted(source.glob(pattern)):
            work.check()
            if file.resolve().is_relative_to(source) and file.is_file():
                work.say(f"copying {file.name}")
                with work.long_step(HOURS):
                    shutil.copyfile(file, part / file.name)
    if not any(part.iterdir()):
        pickles = chain.from_iterable(map(source.glob, PICKLES))
        held = "only pickled weights" if any(pickles) else "no model"
        raise JobFailed(Job.ErrorKind.DATA, f"The folder contains {held}.", "Save it as safetensors (save_pretrained).")


def tried(work: Work, folder: Path, kind: str) -> Trial:
    """Let the trainer prepare the copy and try it, in a process with a limit on time and memory: an external
    model brings programs of its own, its chat template for one.

    Returns:
        What was added in words, and the faults that do not stand in the way; see `trainer.preflight.adopt`.

    Raises:
        JobFailed: it cannot be used, in words; or it was ended.
    """
    work.say("trying the model")
    answer, log = folder / ".answer", folder / ".log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer.preflight.adopt", str(folder), kind, str(answer), str(os.getpid())],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        for _ in range(int(LONGEST_TRIAL / LOOK_EVERY)):
            work.check()
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY)
                break
        outcome: Trial = {}
        if process.returncode == 0:
            outcome = json.loads(answer.read_text(encoding="utf-8"))
        elif process.returncode is not None:
            logging.getLogger(__name__).warning("trying a model ended with %s: %s", process.returncode, _end_of(log))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for left in (answer, log):
            left.unlink(missing_ok=True)
    if "failed" in outcome:
        raise JobFailed(Job.ErrorKind.DATA, outcome["failed"]["sentence"], outcome["failed"]["remedy"])
    if not outcome:
        raise JobFailed(
            Job.ErrorKind.DATA,
            "The compatibility check was stopped: the model runs too long, needs too much memory, or crashes.",
            "Check its chat template and its size; the worker log has details.",
        )
    return outcome


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def described(folder: Path, payload: dict[str, str], outcome: Trial) -> None:
    """Write the manifest: its source, the added files, and the results of the trial."""
    from trainer.run.checkpoints import MANIFEST, write_manifest

    (folder / MANIFEST).unlink(missing_ok=True)
    source: dict[str, object] = {name: payload[name] for name in ("folder", "hub", "revision") if payload[name]}
    source |= {"added": outcome["added"], "checked": outcome["faults"]}
    write_manifest(folder, kind=payload["kind"], run={"stage": GIVEN}, config=source, inputs={})


def verified(place: Path) -> tuple[dict[str, Any], str]:
    """The manifest and its hash, after comparing every file with it."""
    from trainer.errors import TrainerError
    from trainer.run.checkpoints import MANIFEST, file_sha256, open_model

    sha256 = file_sha256(place / MANIFEST)
    try:
        return open_model(place, sha256), sha256
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message, error.remedy) from error
