"""python -m trainer RUN_FOLDER: carry out one run, or go on with it. docs/trainer.md has the folder and exit codes."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path

from trainer.configs import learning_rates, parsing
from trainer.errors import DiskFull, FolderLocked, ModelCorrupt, OutOfMemory, StartAgain, StopRequested, TrainerError
from trainer.json_types import RunRequest
from trainer.preflight import memory_estimate, preflight
from trainer.run import launch as launching
from trainer.run import microbatching
from trainer.run.checkpoints import (
    drop_checkpoints,
    last_step,
    open_model,
    rename_into_place,
    write_json,
    write_manifest,
)
from trainer.run.context import RunContext, StageResult
from trainer.run.progress import Reporter
from trainer.run.run_folder import (
    check_inputs,
    die_with_parent,
    locked,
    open_inputs,
    plan_sha256,
    read_run,
    start_afresh_if_changed,
)
from trainer.stages import STAGES

ENDED, FAILED, STOPPED, LOCKED, AGAIN = 0, 2, 3, 4, 5
RESERVE, RESERVED = ".reserve", 65536  # room kept so that a full disk can still be reported, bytes
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# safetensors and torch write from their own code, and hand on no number.
UNWRITTEN = (*(f"os error {number}" for number in NO_ROOM), "PytorchStreamWriter failed", "iostream error")


def main(arguments: list[str] | None = None) -> int:
    """Run one folder and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("folder", type=Path, help="the run folder, with run.json")
    parser.add_argument("more", type=Path, nargs="*", help="further run folders, with --preflight only")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="pid to die with; default: the parent")
    parser.add_argument("--launch", choices=launching.names(), help="train with several processes, started this way")
    parser.add_argument("--processes", type=int, default=1, help="how many, for --launch")
    parser.add_argument(
        "--preflight", action="store_true", help="look at the run and write preflight.json; no training"
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    for one in (folder, *options.more):
        if not one.is_dir():
            parser.error(f"no folder {one}")
    if options.more and not options.preflight:
        parser.error("several folders are only looked at, with --preflight")
    die_with_parent(options.parent)
    if options.preflight:
        return max(map(preflight_only, (folder, *options.more)))
    if options.launch:
        return launching.launch(folder, options.launch, options.processes)
    if int(os.environ.get("RANK", "0")) > 0:
        return carry_out(folder, leads=False)
    try:
        with locked(folder):
            return carry_out(folder, leads=True)
    except FolderLocked as locked_by_another:
        print(locked_by_another, file=sys.stderr)
        return LOCKED


def preflight_only(folder: Path) -> int:
    """Write preflight.json; ENDED if nothing blocks the run, else FAILED."""
    limit_resources()
    try:
        found = preflight.run_preflight(folder, read_run(folder))
    except TrainerError as error:  # run.json itself
        print(f"{error.kind}: {error.message} {error.remedy}".rstrip(), file=sys.stderr)
        return FAILED
    write_json(folder / "preflight.json", found.as_json())
    for finding in found.findings:
        print(f"{finding.severity}: {finding.sentence} {finding.remedy}")
    return FAILED if found.blocking else ENDED


def carry_out(folder: Path, leads: bool) -> int:
    """What happens under the lock. Only the leading rank writes into the folder."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    limit_resources()
    attempt = 1
    try:
        run = read_run(folder)
        attempt = int(run.get("attempt", 1))
        launching.assert_as_many(processes())
        if leads:
            changed = start_afresh_if_changed(folder, plan_sha256(run))
            if not changed and is_finished(folder, attempt):
                return ENDED
            (folder / "result.json").unlink(missing_ok=True)
            (folder / RESERVE).write_bytes(bytes(RESERVED))
        report = Reporter(folder / "progress.jsonl" if leads else None, attempt)
        result = run_stage(folder, run, report, stop)
        launching.wait_for_all()
        if leads:
            finish(folder, run, attempt, result)
        elif result.model is not None:
            shutil.rmtree(result.model)  # every process had to take part in writing it
        return ENDED
    except StopRequested:
        return STOPPED
    except StartAgain:
        return AGAIN
    except TrainerError as error:
        return fail(folder, attempt, error, leads)
    except Exception as error:  # noqa: BLE001 - the outer wall: whatever it was, result.json must say that the run ended
        traceback.print_exc()
        return fail(folder, attempt, classified(error), leads)
    finally:
        if leads:
            (folder / RESERVE).unlink(missing_ok=True)


def run_stage(folder: Path, run: RunRequest, report: Reporter, stop: threading.Event) -> StageResult:
    """Check everything cheap, verify inputs, then import the stage's recipe and run it, in pieces that fit.

    Raises:
        OutOfMemory: a single row does not fit.
        StartAgain: it did not fit, and the other processes of this run must begin again, too.
    """
    stage, checkpoints = run["stage"], folder / "checkpoints"
    config = parsing.parse(stage, run.get("config") or {})
    inputs = check_inputs(stage, run.get("inputs") or {})
    report.state("verifying the inputs")
    paths = open_inputs(folder, inputs)
    config = learning_rates.resolved(stage, config, paths)
    if run.get("preflight") and report.path is not None and last_step(checkpoints) is None:
        report.state("checking rows")
        found = preflight.run_preflight(folder, run)
        write_json(folder / "preflight.json", found.as_json())
        preflight.refuse(found, run.get("ignore_findings") or ())
    report.state("loading the libraries")
    module, _, function = STAGES[stage].recipe.partition(":")
    with microbatching.loading():
        recipe = getattr(importlib.import_module(module), function)
    rows = microbatching.rows_at_once(stage, config)
    while True:
        pieces = microbatching.micro_batches(checkpoints)
        microbatching.BUDGET.begin(pieces)
        context = RunContext(
            folder=folder,
            run=run,
            config=microbatching.fitted(stage, config, pieces),
            inputs=paths,
            report=report,
            should_stop=stop.is_set,
            checkpoints=checkpoints,
            pieces=pieces,
        )
        try:
            result: StageResult = recipe(context)
        except Exception as error:
            if not microbatching.ran_out(error):
                raise
            traceback.print_exc()
        else:
            result = replace(result, config=config)
            return result if pieces == 1 else replace(result, metrics={**result.metrics, "pieces": pieces})
        # Out here the error is gone, and with it the frames that held what did not fit.
        microbatching.free_memory()
        smaller = microbatching.halve(checkpoints, rows)
        if smaller is None:
            raise OutOfMemory(
                "Memory ran out while learning from a single row at once.",
                remedy=memory_estimate.too_large(stage, config, paths),
            )
        newest = last_step(checkpoints)
        report.alarm(
            newest or 0,
            f"out_of_memory_{smaller}",
            f"Memory ran out with {-(-rows // pieces)} rows at once. Going on with {smaller} at once "
            f"{'from the last checkpoint' if newest else 'from the start'}; "
            f"{'the outcome' if STAGES[stage].batch_changes_speed_only else f'a batch of {rows}'} stays the same.",
        )
        if processes() > 1:
            raise StartAgain


def finish(folder: Path, run: RunRequest, attempt: int, result: StageResult) -> None:
    """Model first, result last: whoever sees result.json sees a complete model."""
    model = None
    if result.model is not None:
        config = dataclasses.asdict(result.config)
        hashes = {name: entry.get("manifest_sha256") for name, entry in (run.get("inputs") or {}).items()}
        faults = list(map(dataclasses.asdict, result.faults))
        name = write_manifest(result.model, kind=result.kind, run=run, config=config, inputs=hashes, faults=faults)
        rename_into_place(result.model, folder / "model")
        model = {"path": "model", "manifest_sha256": name}
    write_json(
        folder / "result.json",
        {"schema": 1, "attempt": attempt, "ok": True, "metrics": result.metrics, "model": model},
    )
    drop_checkpoints(folder / "checkpoints")


def is_finished(folder: Path, attempt: int) -> bool:
    """Whether this run has its result. One of an older attempt is taken over, since the plan is the same."""
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not result.get("ok"):
        return False
    if result["model"] is not None:
        try:
            open_model(folder / result["model"]["path"], result["model"]["manifest_sha256"])
        except ModelCorrupt:
            return False
    if result["attempt"] != attempt:
        write_json(folder / "result.json", {**result, "attempt": attempt})
    return True


def fail(folder: Path, attempt: int, error: TrainerError, leads: bool) -> int:
    """Write the failure where the worker looks for it, and on stderr for the log."""
    print(f"{error.kind}: {error.message} {error.remedy}".rstrip(), file=sys.stderr)
    (folder / RESERVE).unlink(missing_ok=True)  # where the disk is full, this is the room for the result
    result = {"schema": 1, "attempt": attempt, "ok": False, "error": error.as_json()}
    if leads or not (folder / "result.json").exists():
        try:
            write_json(folder / "result.json", result)
        except OSError as unwritten:
            print(f"result.json cannot be written: {unwritten}", file=sys.stderr)
    return FAILED


def classified(error: Exception) -> TrainerError:
    """An exception nobody foresaw, as a typed failure. Memory and disk are distinguished, for they have a remedy."""
    if microbatching.ran_out(error):
        return OutOfMemory("Memory ran out.", remedy="Use a machine with more memory, or train on less at once.")
    if no_room(error):
        return DiskFull(
            f"The disk is full: {error}.",
            remedy="Free disk space, then retry; the run resumes from its last checkpoint.",
        )
    remedy = "This is a fault of the trainer; see trainer.log."
    return TrainerError(f"{type(error).__name__}: {error}", remedy=remedy)


def no_room(error: BaseException) -> bool:
    """Whether this error, or one behind it, says that a disk, a quota or a limit on files is exhausted."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in NO_ROOM:
            return True
        if any(sign in str(seen) for sign in UNWRITTEN):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def processes() -> int:
    """Processes that carry this run out together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def limit_resources() -> None:
    """Leave the machine to the web: low priority, one thread unless specified otherwise, no network, no telemetry."""
    os.setpriority(
        os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), int(os.environ.get("TRAINER_NICE", "10")))
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.update(
        HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false", HF_DATASETS_OFFLINE="1"
    )


if __name__ == "__main__":
    sys.exit(main())
