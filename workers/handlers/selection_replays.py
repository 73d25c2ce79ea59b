"""Replay jobs: whether active selection would have saved labels, on labels that are there.

Labels that no reward model chose are the pool. For each of five seeds one reward model is trained on the half that the
acquisition picks, batch by batch as the product would, and one on a random half; all are measured on the same
validation pairs.

Safe to repeat: labels are read once and written to the job's own folder, halves follow from the seed, and a training
that has ended is not repeated. The folder goes when the job has ended.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from django.conf import settings

from feedback.models import Job, ModelVersion, Project, Split
from feedback.rules.data.content_hash import SCHEMA, canonical, sha256
from feedback.rules.data.seeds import stable_seed
from feedback.rules.evaluation import active_selection as rules
from feedback.rules.json_types import JsonObject
from feedback.selectors.evaluation import active_selection as selectors
from feedback.selectors.training import stage_models
from feedback.services.evaluation import active_selection
from feedback.services.evaluation.active_selection import ReplayOutcome
from trainer.run.checkpoints import write_json
from workers.handlers.training import TRAINER, end_gently, model_input
from workers.job_context import Cancelled, JobFailed, Lost, Outcome, PutBack, Work

if TYPE_CHECKING:
    from feedback.rules.evaluation.acquisition import Labels

MOST_LABELS = 10_000  # the newest; a replay of more takes hours and says the same
LOOK_SECONDS = 0.2
TRIES = 5  # of a trainer that leaves without a word
TRAIN, HELD_OUT = "labels.jsonl", "held_out.jsonl"
ARMS = (rules.ACTIVE, rules.RANDOM)


class Plan(TypedDict):
    """What the first attempt has fixed: `labels` is how many the project had, `reward` the model's public id."""

    labels: int
    reward: str


def carry_out(work: Work) -> Outcome:
    """Carry out or resume the replay."""
    folder = settings.DATA_DIR / "replays" / str(work.job.public_id)
    try:
        outcome = _replay(work, folder)
    except (Lost, PutBack):
        raise  # another attempt goes on in the folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(
        {"active": list(outcome.active_accuracy), "random": list(outcome.random_accuracy)},
        lambda: active_selection.record_replay(work.job, outcome),
    )


def _replay(work: Work, folder: Path) -> ReplayOutcome:
    assert work.job.project is not None
    project = work.job.project
    plan = _planned(work, project, folder)
    version = ModelVersion.objects.select_related("run__base_model").get(public_id=plan["reward"])
    labels, held_out = read_rows(folder / TRAIN), read_rows(folder / HELD_OUT)
    halves = _halves(work, version, folder, labels)
    accuracy: dict[str, list[float]] = {arm: [] for arm in ARMS}
    done = 0
    for seed in range(rules.REPLAY_SEEDS):
        for arm in ARMS:
            work.say(f"training {done + 1} of {len(ARMS) * rules.REPLAY_SEEDS}", step=done, steps=10)
            run = folder / f"{arm}-{seed}"
            _prepare(work, run, project, version, [labels[place] for place in halves[arm][seed]], held_out, seed)
            accuracy[arm].append(_trained(work, run))
            done += 1
    return ReplayOutcome(
        reward_version=version,
        labels=plan["labels"],
        pool=len(labels),
        held_out=len(held_out),
        active_accuracy=accuracy[rules.ACTIVE],
        random_accuracy=accuracy[rules.RANDOM],
    )


def _planned(work: Work, project: Project, folder: Path) -> Plan:
    """Write the labels on the first attempt; later ones find them.

    Raises:
        JobFailed: there are too few, no validation pairs, or no reward model with a base.
    """
    try:
        plan: Plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        return plan
    except FileNotFoundError:
        pass
    work.say("reading the labels")
    version = selectors.reward_version(project)
    if version is None or version.run is None or version.run.base_model is None:
        raise JobFailed(Job.ErrorKind.DATA, "There is no reward model of this project.", "Train one, then try again.")
    labels, held_out = _labels(project, Split.TRAIN), _labels(project, Split.SELECTION)
    if len(labels) < rules.REPLAY_LABELS:
        sentence = f"A replay needs {rules.REPLAY_LABELS:,} preference pairs; there are {len(labels):,}."
        raise JobFailed(Job.ErrorKind.DATA, sentence, "Collect more labels, then try again.")
    if not held_out:
        sentence = "There are no preference pairs of validation prompts to measure on."
        raise JobFailed(Job.ErrorKind.DATA, sentence, "Collect some, then try again.")
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / TRAIN, labels)
    write_rows(folder / HELD_OUT, held_out)
    plan = {"labels": selectors.labels(project), "reward": str(version.public_id)}
    write_json(folder / "plan.json", plan)  # last: what is before it is complete
    return plan


def _labels(project: Project, split: str) -> list[JsonObject]:
    """Labels as rows of a snapshot, the newest."""
    columns = ("prompt__messages", "chosen__text", "rejected__text", "strength")
    found: list[JsonObject] = []
    pairs = selectors.unchosen_pairs(project, split).order_by("-pk").values_list(*columns)
    for messages, chosen, rejected, strength in pairs[:MOST_LABELS]:
        row = {"kind": "preference", "prompt": messages, "chosen": chosen, "rejected": rejected, "strength": strength}
        found.append(row)
    return found


# --- halves ----------------------------------------------------------------------------------------------


def _halves(
    work: Work, version: ModelVersion, folder: Path, labels: Sequence[JsonObject]
) -> dict[str, list[list[int]]]:
    """For each arm and seed the places of half of the labels."""
    import numpy as np

    from feedback.rules.evaluation import acquisition

    path = folder / "halves.json"
    if path.exists():
        found: dict[str, list[list[int]]] = json.loads(path.read_text(encoding="utf-8"))
        return found
    table = _as_labels(work, version, folder / "features", labels)
    wanted = work.job.payload
    temperature = 0.0 if wanted["acquisition"] == rules.D_OPTIMAL else rules.TEMPERATURE
    halves: dict[str, list[list[int]]] = {arm: [] for arm in ARMS}
    for seed in range(rules.REPLAY_SEEDS):
        work.check()
        work.say(f"picking labels, {seed + 1} of {rules.REPLAY_SEEDS}")
        drawn = stable_seed("replay", work.job.public_id, seed, bits=62)
        picked = acquisition.replayed(table, wanted["acquisition"], wanted["random_share"], temperature, drawn)
        halves[rules.ACTIVE].append(picked.tolist())
        others = np.random.default_rng(drawn + 1).permutation(len(labels))[: len(picked)]
        halves[rules.RANDOM].append(sorted(others.tolist()))
    write_json(path, halves)
    return halves


def _as_labels(work: Work, version: ModelVersion, run: Path, labels: Sequence[JsonObject]) -> "Labels":
    """The labels as arrays, with the features of each response, computed once by the trainer."""
    import numpy as np

    from feedback.rules.evaluation.acquisition import Labels, normalized

    prompts: dict[str, int] = {}
    responses: dict[tuple[int, str], int] = {}
    lines: list[JsonObject] = []
    numbers: list[tuple[int, int, int]] = []
    for row in labels:
        prompt = prompts.setdefault(canonical(row["prompt"]), len(prompts))
        ends: list[int] = []
        for text in (row["chosen"], row["rejected"]):
            if (prompt, text) not in responses:
                responses[prompt, text] = len(responses)
                lines.append({"prompt": row["prompt"], "text": text})
            ends.append(responses[prompt, text])
        numbers.append((prompt, ends[0], ends[1]))
    run.mkdir(exist_ok=True)
    write_rows(run / "responses.jsonl", lines)
    inputs = {
        "reward_model": model_input(version),
        "responses": {"path": str(run / "responses.jsonl"), "manifest_sha256": None},
    }
    _write_run(work, run, "score", 0, {"features": True}, inputs)
    _finished(work, run)
    features = [json.loads(line)["features"] for line in _lines(run / "scores.jsonl")]
    columns = np.array(numbers, dtype=np.int64)
    return Labels(columns[:, 0], columns[:, 1], columns[:, 2], normalized(np.array(features, dtype=np.float64)))


# --- trainings -------------------------------------------------------------------------------------------


def _prepare(
    work: Work,
    run: Path,
    project: Project,
    version: ModelVersion,
    labels: Sequence[JsonObject],
    held_out: Sequence[JsonObject],
    seed: int,
) -> None:
    """The run folder of one training of the stage `reward`, with its own snapshot."""
    assert version.run is not None and version.run.base_model is not None
    base = version.run.base_model
    run.mkdir(exist_ok=True)
    snapshot = run / "snapshot"
    if not (snapshot / "manifest.json").exists():
        shutil.rmtree(snapshot, ignore_errors=True)
        write_snapshot(snapshot, {"train": labels, "selection": held_out, "test": []})
    config = stage_models.settings_of_run(project, "reward", {}, base)
    config = {**config, "heads": 1, "normalise_samples": 0, "restarts": 1}  # seeds are what is compared
    inputs = {"snapshot": {"path": str(snapshot), "manifest_sha256": None}, "base_model": model_input(base)}
    _write_run(work, run, "reward", seed, config, inputs)


def _trained(work: Work, run: Path) -> float:
    """Carry a run out unless it has ended, and return its accuracy on the held-out pairs."""
    result = _finished(work, run)
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    shutil.rmtree(run / "model", ignore_errors=True)
    return float(result["metrics"]["selection_accuracy"])


def _finished(work: Work, run: Path) -> JsonObject:
    """The result of a run folder, by a trainer in a process of its own if there is none yet.

    Raises:
        JobFailed: the trainer failed, or left without a word several times.
        Cancelled, Lost, PutBack: there was a reason to stop.
    """
    for _ in range(TRIES):
        result = _result(run)
        if result is None:
            run_trainer(work, run)
            result = _result(run)
        if result is None:
            work.pause(1)  # the trainer of a killed attempt leaves its folder within a second or two
            continue
        if not result["ok"]:
            error = result["error"]
            raise JobFailed(error["kind"], error["message"], error.get("remedy", ""))
        return result
    sentence = "A trainer of the replay ended without a result."
    raise JobFailed(Job.ErrorKind.INTERNAL, sentence, "Check the memory of the machine, then run the replay again.")


def run_trainer(work: Work, run: Path) -> None:
    """Start the trainer on a run folder and wait for its end."""
    with (run / "trainer.log").open("ab") as output:
        child = subprocess.Popen(
            [*TRAINER, str(run), "--parent", str(os.getpid())],
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
    except (Cancelled, PutBack):
        end_gently(child)
        raise
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def _result(run: Path) -> JsonObject | None:
    try:
        result: JsonObject = json.loads((run / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return result


def _write_run(work: Work, run: Path, stage: str, seed: int, config: JsonObject, inputs: JsonObject) -> None:
    about = {"schema": 1, "run": str(work.job.public_id), "attempt": 1, "stage": stage, "seed": seed}
    write_json(run / "run.json", about | {"config": config, "inputs": inputs})


# --- files -----------------------------------------------------------------------------------------------


def write_rows(path: Path, rows: Iterable[JsonObject]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> list[JsonObject]:
    return list(map(json.loads, _lines(path)))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def write_snapshot(folder: Path, splits: dict[str, Sequence[JsonObject]]) -> None:
    """A folder that the trainer reads as a snapshot; the manifest is written last."""
    folder.mkdir()
    files: dict[str, JsonObject] = {}
    counts: dict[str, dict[str, int]] = {}
    for split, rows in splits.items():
        number: dict[str, int] = {}
        for row in rows:
            text = canonical(row)
            number[text] = number.get(text, 0) + 1
        hashed = sorted((sha256(text), text, count) for text, count in number.items())
        lines = [f'{{"count":{count},"hash":"{one}","row":{text}}}\n' for one, text, count in hashed]
        data = "".join(lines).encode()
        (folder / f"{split}.jsonl").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        files[f"{split}.jsonl"] = {"sha256": digest, "bytes": len(data), "rows": len(lines)}
        counts[split] = {"preference": len(rows)}
    manifest = {"schema": SCHEMA, "hash": "", "purpose": "feedback", "policy": {}, "counts": counts, "files": files}
    write_json(folder / "manifest.json", manifest)
