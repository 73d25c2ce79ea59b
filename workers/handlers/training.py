"""Training jobs: one stage in a child process, `python -m trainer RUN_FOLDER`.

Safe to repeat: there is one folder per run whatever the attempt, the trainer holds a lock on it and goes on from its
newest checkpoint, and a result is taken only when it carries this attempt's number.
"""

import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from django.conf import settings

from feedback.models import DatasetSnapshot, Job, ModelVersion, TrainingRun
from feedback.rules.training import stages
from feedback.services.data import snapshots, tokenizers
from feedback.services.evaluation import evaluations
from feedback.services.registry import model_versions
from feedback.services.training import pipelines as services
from trainer.configs.parsing import parse
from trainer.errors import TrainerError
from trainer.preflight import memory_estimate
from trainer.run import microbatching
from trainer.run.checkpoints import open_model, write_json
from trainer.stages import STAGES
from workers.handlers.progress_tailer import Follower
from workers.handlers.snapshots import frozen
from workers.job_context import Cancelled, JobFailed, Lost, Outcome, PutBack, Work

log = logging.getLogger(__name__)

ENDED, FAILED, STOPPED, LOCKED, AGAIN = 0, 2, 3, 4, 5  # the trainer's exit codes
TRAINER = (sys.executable, "-m", "trainer")
LOOK_SECONDS = 0.5
LOCK_TRIES, LOCK_SECONDS = 20, 1.0  # an orphan of an earlier attempt dies within a second or two
KILLS_WITHOUT_PROGRESS = 3
EVALUATION_SAMPLES = 20
ENDED_IT = (
    "An external signal ended it. Check the run log and the system log, then retry; the run resumes from "
    "its checkpoint."
)
NO_ROOM = 2**20  # bytes
MAKE_ROOM = "Free disk space, then retry; the run resumes from its last checkpoint."


class Failure(TypedDict):
    """Why a trainer failed, as `trainer.errors.TrainerError` writes it."""

    kind: str
    message: str
    remedy: NotRequired[str]
    step: NotRequired[int | None]


class MadeModel(TypedDict):
    """The folder of a model within that of its run, and the hash of its manifest."""

    path: str
    manifest_sha256: str


class TrainerResult(TypedDict, total=False):
    """A trainer's result.json: metrics and perhaps a model if it is `ok`, else an error."""

    attempt: int
    ok: bool
    metrics: dict[str, Any]
    model: MadeModel | None
    error: Failure


def carry_out(work: Work) -> Outcome:
    """Prepare the run folder, run the trainer to its end, and say what came of it."""
    run = TrainingRun.objects.select_related(
        "project", "chain", "job", "snapshot", "base_model", "reward_model", "guard", "incumbent", "base_model__parent"
    ).get(job=work.job)
    folder = settings.DATA_DIR / run.folder
    prepare(work, run, folder)
    follower = Follower(run, folder, work)
    run_to_its_end(work, follower, folder)
    result = read_result(folder, work.job.attempt)
    if not result["ok"]:
        error = result["error"]
        if error.get("step") is not None:
            work.say(step=error["step"])
            work.beat()
        raise JobFailed(error["kind"], error["message"], error.get("remedy", ""))
    return outcome(run, folder, result)


def prepare(work: Work, run: TrainingRun, folder: Path) -> None:
    """Freeze the snapshot if nobody has yet, and write run.json with absolute paths.

    The trainer verifies every input against the hash named here before it loads any of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if run.snapshot is not None and run.snapshot.state == DatasetSnapshot.State.DRAFT:
        frozen(work, run.snapshot)
    write_json(
        folder / "run.json",
        {
            "schema": 1,
            "run": str(run.public_id),
            "attempt": work.job.attempt,
            "stage": run.stage,
            "seed": run.seed,
            "config": run.config,
            "inputs": inputs_of(run),
            "preflight": True,
            "ignore_findings": run.chain.ignore_findings,
        },
    )


def inputs_of(run: TrainingRun) -> dict[str, dict[str, str]]:
    """What the stage reads, by the trainer's names for it."""
    base = run.base_model
    candidates: dict[str, ModelVersion | None] = {
        "base_model": base if base is None or base.kind != ModelVersion.Kind.TOKENIZER else None,
        "tokenizer": base if base is not None and base.kind == ModelVersion.Kind.TOKENIZER else None,
        "reward_model": run.reward_model,
        "guard": run.guard,
        "incumbent": run.incumbent,
        # KL is reported relative to the policy that alignment started from.
        "reference": base.parent if base is not None and base.stage in stages.ALIGNMENT else None,
    }
    known = STAGES[run.stage].inputs
    inputs = {}
    if "pretrained" in known:
        candidates["pretrained"], texts = evaluations.beginning(run)
        if texts is not None:
            inputs["texts"] = snapshot_input(texts)
    if run.snapshot is not None:
        inputs["snapshot"] = snapshot_input(run.snapshot)
    for name, version in candidates.items():
        if version is not None and name in known:
            if version.state == ModelVersion.State.REVOKED:
                raise JobFailed(Job.ErrorKind.DATA, f"{version} was revoked.", "Start a new pipeline run without it.")
            inputs[name] = model_input(version)
    return inputs


def snapshot_input(snapshot: DatasetSnapshot) -> dict[str, str]:
    return {"path": str(snapshots.folder_of(snapshot)), "manifest_sha256": snapshot.manifest_sha256}


def model_input(version: ModelVersion) -> dict[str, str]:
    return {"path": str(settings.DATA_DIR / version.path), "manifest_sha256": version.manifest_sha256}


def run_to_its_end(work: Work, follower: Follower, folder: Path) -> None:
    """Run the trainer until result.json is written; started again when something kills it.

    Raises:
        Cancelled, Lost, PutBack: there was a reason to stop it, and it has stopped.
        JobFailed: it is killed again and again at the same step, or another holds the folder.
    """
    kills, locks, step_of_last_kill = 0, 0, -1
    while True:
        killed_before = killed_for_memory()
        code = one_child(work, follower, folder)
        if code in (ENDED, FAILED):
            return
        if code == STOPPED:
            raise PutBack("The trainer was stopped and saved a checkpoint; the run resumes from there.")
        if code == LOCKED:
            locks += 1
            if locks > LOCK_TRIES:
                raise JobFailed(Job.ErrorKind.INTERNAL, "Another trainer uses the run folder.", "End it, then retry.")
            work.pause(LOCK_SECONDS)
        elif code == AGAIN:
            work.say("memory ran out in one of several processes; all begin again with less at once")
        elif code == -signal.SIGKILL and killed_for_memory() > killed_before:
            with_less_at_once(follower, folder)
        elif code < 0:
            kills = kills + 1 if (work.step or 0) <= step_of_last_kill else 1
            step_of_last_kill = max(step_of_last_kill, work.step or 0)
            name = signal.Signals(-code).name
            log.warning("the trainer in %s was ended by %s", folder, name)
            if kills >= KILLS_WITHOUT_PROGRESS:
                where = f"at step {work.step} of {work.steps}" if work.steps else "before its first step"
                kind = Job.ErrorKind.LOST_WORKER if code == -signal.SIGKILL else Job.ErrorKind.INTERNAL
                raise JobFailed(kind, f"The trainer was ended by {name} {where}, {kills} times in a row.", ENDED_IT)
            work.say(f"the trainer was ended by {name}; going on from its checkpoint")
            work.pause(1)
        else:
            raise JobFailed(Job.ErrorKind.INTERNAL, f"The trainer left with exit code {code}.", "See the run's log.")


def killed_for_memory() -> int:
    """How many processes the kernel has ended on this machine for lack of memory; 0 where it does not say."""
    try:
        counters = dict(map(str.split, Path("/proc/vmstat").read_text(encoding="ascii").splitlines()))
    except (OSError, ValueError):
        return 0
    return int(counters.get("oom_kill", 0))


def with_less_at_once(follower: Follower, folder: Path) -> None:
    """After the kernel ended the trainer for lack of memory: the same batch in smaller pieces from now on.

    Raises:
        JobFailed: it was a single row at once already.
    """
    run = follower.run
    config = parse(run.stage, run.config)
    rows = microbatching.rows_at_once(run.stage, config)
    smaller = microbatching.halve(folder / "checkpoints", rows)
    if smaller is None:
        inputs = json.loads((folder / "run.json").read_text(encoding="utf-8"))["inputs"]
        paths = {name: Path(entry["path"]) for name, entry in inputs.items()}
        sentence = "Memory ran out with a single row at once, and the kernel ended the trainer."
        raise JobFailed(Job.ErrorKind.OUT_OF_MEMORY, sentence, memory_estimate.too_large(run.stage, config, paths))
    text = f"Memory ran out and the kernel ended the trainer. Going on with {smaller} rows at once"
    step = follower.work.step or 0
    services.record_points(
        run, alarms=[(step, f"out_of_memory_{smaller}", f"{text}; a batch of {rows} stays the same.")]
    )
    follower.work.say(text)


def one_child(work: Work, follower: Follower, folder: Path) -> int:
    """Start the trainer once and follow it until it ends. Returns its exit code, negative for a signal."""
    spent_before = cpu_of_children()
    with (folder / "trainer.log").open("ab") as output:
        child = subprocess.Popen(
            # It asks the kernel to die with this process, so it must be started from a thread that lasts: the pool's.
            [*TRAINER, str(folder), "--parent", str(os.getpid()), *several(follower.run.stage)],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TRAINER_NICE": "10", **os.environ},
        )
    try:
        while child.poll() is None:
            follower.look()
            work.check()
            time.sleep(LOOK_SECONDS)
    except Lost:
        child.kill()
        raise
    except (Cancelled, PutBack):
        end_gently(child)
        raise
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        services.record_cpu(follower.run, cpu_of_children() - spent_before)
        if not work.lost.is_set():
            follower.finish()
    return child.returncode


def cpu_of_children() -> float:
    """CPU seconds of children that have ended: this worker's process carries out one job at a time."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def several(stage: str) -> list[str]:
    """What starts a trainer as several processes, where this worker's settings ask for that and the stage can."""
    if not settings.TRAINER_LAUNCH or not STAGES[stage].trains:
        return []
    return ["--launch", settings.TRAINER_LAUNCH, "--processes", str(settings.TRAINER_PROCESSES)]


def end_gently(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM lets it write a checkpoint; who does not leave in time is killed, and the last checkpoint stands."""
    child.terminate()
    try:
        child.wait(settings.CANCEL_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def read_result(folder: Path, attempt: int) -> TrainerResult:
    """result.json of this attempt.

    Raises:
        JobFailed: there is none, or it is another attempt's.
    """
    try:
        result: TrainerResult = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if shutil.disk_usage(folder).free < NO_ROOM:
            sentence, remedy = "The disk is so full that the trainer could not even write what happened.", MAKE_ROOM
            raise JobFailed(Job.ErrorKind.DISK_FULL, sentence, remedy) from error
        raise JobFailed(
            Job.ErrorKind.INTERNAL, f"The trainer left without a result: {error}.", "See the run's log."
        ) from error
    if result["attempt"] != attempt:
        raise JobFailed(
            Job.ErrorKind.INTERNAL,
            f"The result is of attempt {result['attempt']}, and this is attempt {attempt}.",
            "Retry the run.",
        )
    return result


def outcome(run: TrainingRun, folder: Path, result: TrainerResult) -> Outcome:
    """What to write once the job is known to be ours still. Reading and hashing come first, outside the transaction."""
    metrics = result["metrics"]
    made = result.get("model")
    manifest: dict[str, Any] = {}
    if made is not None:
        try:
            manifest = open_model(folder / made["path"], made["manifest_sha256"])
        except TrainerError as error:
            raise JobFailed(Job.ErrorKind.INTERNAL, error.message, "Retry the run.") from error
    evaluates = stages.STAGES[run.stage].evaluates
    samples: list[dict[str, object]] = []
    if evaluates and (folder / "responses.jsonl").is_file():
        samples = read_samples(folder / "responses.jsonl")
        metrics["contaminated_prompts"] = evaluations.contaminated(run, candidate_prompts(folder / "responses.jsonl"))
    if run.snapshot is not None and (folder / "pairs.jsonl").is_file():
        lineage = snapshots.folder_of(run.snapshot) / "lineage.jsonl"
        if figures := evaluations.by_annotator(run, lines_of(folder / "pairs.jsonl"), lines_of(lineage)):
            metrics["reward_model"]["by_annotator"] = figures

    def record() -> None:
        services.record_result(run, metrics)
        if made is not None:
            tokenizers.keep(folder / made["path"])
            model_versions.register(
                run=run,
                kind=manifest["kind"],
                path=f"{run.folder}/{made['path']}",
                manifest=manifest,
                manifest_sha256=made["manifest_sha256"],
                metrics=metrics,
            )
        elif evaluates and run.base_model is not None:
            services.record_evaluation(run, metrics=metrics, samples=samples)

    return Outcome({"metrics": metrics}, record)


def candidate_prompts(path: Path) -> Iterator[list[dict[str, str]]]:
    """The prompts that a candidate responded to."""
    for line in lines_of(path):
        if line["model"] == "candidate":
            yield line["prompt"]


def read_samples(path: Path) -> list[dict[str, object]]:
    """The first responses of candidate and incumbent to the same prompts, side by side for people to look at."""
    by_prompt: dict[str, dict[str, object]] = {}
    for row in lines_of(path):
        key = json.dumps(row["prompt"], sort_keys=True)
        if key not in by_prompt and len(by_prompt) >= EVALUATION_SAMPLES:
            continue
        by_prompt.setdefault(key, {"prompt": row["prompt"]}).setdefault(row["model"], row["text"])
    return list(by_prompt.values())


def lines_of(path: Path) -> Iterator[Any]:
    """The values of a JSON Lines file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
