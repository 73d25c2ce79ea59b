"""Preflight jobs: check each stage of a pipeline run with `python -m trainer FOLDER --preflight`, without training.

Safe to repeat: a snapshot that is frozen stays as it is, and the folders are the job's own and go when it has ended.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.models import DatasetSnapshot, Job, ModelVersion
from feedback.selectors.training.plans import StagePlan
from feedback.services.training import preflight
from trainer.run.checkpoints import write_json
from trainer.stages import STAGES
from workers.handlers import training
from workers.handlers.snapshots import frozen
from workers.job_context import JobFailed, Outcome, Work

LOOK_SECONDS = 0.1


def carry_out(work: Work) -> Outcome:
    """Freeze the data that the pipeline run would train on, then check each of its stages."""
    found = findings(work, preflight.planned(work.job), work.job.payload["seed"])
    return Outcome({"ok": not preflight.blocking(found, work.job.payload.get("ignore", [])), "stages": found})


def findings(work: Work, plan: Sequence[StagePlan], seed: int) -> list[dict[str, Any]]:
    """The trainer's findings about each stage of a plan, whose data is frozen for it."""
    for planned in plan:
        snapshot = planned.snapshot
        if snapshot is not None and snapshot.state == DatasetSnapshot.State.DRAFT:
            frozen(work, snapshot)
    work.say("checking " + ", ".join(map(attrgetter("stage"), plan)))
    root = settings.DATA_DIR / "preflights" / str(work.job.public_id)
    try:
        return look(work, plan, root, seed)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def look(work: Work, plan: Sequence[StagePlan], root: Path, seed: int) -> list[dict[str, Any]]:
    """The trainer's findings about each stage. One process checks all, since loading its libraries takes longest.

    Raises:
        JobFailed: it left without a word.
    """
    folders = [root / planned.stage for planned in plan]
    for planned, folder in zip(plan, folders, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        run = {"schema": 1, "run": str(work.job.public_id), "attempt": 1, "stage": planned.stage}
        run |= {"seed": seed, "config": planned.settings, "inputs": inputs_of(planned)}
        write_json(folder / "run.json", run)
    with (root / "log").open("wb") as output:
        child = subprocess.Popen(
            [*training.TRAINER, *map(str, folders), "--parent", str(os.getpid()), "--preflight"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TRAINER_NICE": "10", **os.environ},
        )
    try:
        while child.poll() is None:
            work.check()
            time.sleep(LOOK_SECONDS)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
    try:
        return [json.loads((folder / "preflight.json").read_text(encoding="utf-8")) for folder in folders]
    except (OSError, ValueError) as error:
        log_lines = (root / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = log_lines[-1] if log_lines else f"exit code {child.returncode}"
        sentence = f"The preflight check ended without a result: {last}"
        raise JobFailed(Job.ErrorKind.INTERNAL, sentence, "Run the check again.") from error


def inputs_of(planned: StagePlan) -> dict[str, dict[str, str]]:
    """The inputs of a stage that exist, by the trainer's names. The pipeline run itself makes the others."""
    base, known = planned.models.base, STAGES[planned.stage].inputs
    as_tokenizer = base is not None and base.kind == ModelVersion.Kind.TOKENIZER
    models = planned.models
    named = {"tokenizer" if as_tokenizer else "base_model": base, "reward_model": models.reward, "guard": models.guard}
    inputs = {}
    if planned.snapshot is not None and "snapshot" in known:
        inputs["snapshot"] = training.snapshot_input(planned.snapshot)
    for name, version in named.items():
        if version is not None and name in known:
            inputs[name] = training.model_input(version)
    return inputs
