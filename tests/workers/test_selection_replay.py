"""Would active selection have saved labels here? A worker trains ten reward models and tells; coins prove nothing."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feedback.models import Job, ModelVersion, Person, Project, SelectionReplay, Split, Task
from feedback.rules.evaluation import active_selection as rules
from feedback.selectors.evaluation import active_selection as selectors
from feedback.services.evaluation import active_selection
from tests.factories import make_model, make_pair, make_prompt_in
from trainer.run.checkpoints import file_sha256
from workers.execution import run_job
from workers.handlers import selection_replays as handler
from workers.job_context import PutBack, Work

# Committed rows: the worker beats from a thread with a connection of its own, and would not see others.
pytestmark = pytest.mark.django_db(transaction=True)

LABELS, HELD_OUT, PROMPTS = 48, 24, 6
WORDS = ("wait", "restart", "cable", "router", "minute", "update")
SETTINGS = {
    "preset": "tiny",
    "stages": {"reward": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "evaluations": 1}},
}
Label = Callable[[Project, Person, str, int], None]


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An untrained policy and an untrained reward model on its trunk, as runs leave them."""
    import torch

    from trainer.configs.stages import PretrainConfig
    from trainer.json_types import RunRequest
    from trainer.modeling.loading import build_model, load_classifier, save_model
    from trainer.recipes.tokenizer import train_tokenizer
    from trainer.run.checkpoints import write_manifest

    made = {kind: tmp_path_factory.mktemp(kind) / "model" for kind in ("policy", "reward")}
    tokenizer = train_tokenizer(iter([f"please {word} thanks whatever" for word in WORDS] * 9), 320, 2)
    torch.manual_seed(0)
    shape = PretrainConfig(hidden_size=16, layers=1, heads=2, intermediate_size=32, context_length=128)
    save_model(made["policy"], build_model(shape, tokenizer), tokenizer)
    model = load_classifier(made["policy"], tokenizer, 1)
    model.config.touchstone = {"reward_mean": 0.0, "reward_std": 1.0}
    save_model(made["reward"], model, tokenizer)
    for kind, folder in made.items():
        run: RunRequest = {"run": "r", "stage": kind, "seed": 0}
        write_manifest(folder, kind=kind, run=run, config={}, inputs={})
    return made


@pytest.fixture
def reward(
    project: Project, ada: Person, settings: Any, model_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> ModelVersion:
    """A project with a reward model, whose replays need few labels; the trainer runs in a fork, libraries loaded."""
    monkeypatch.setattr(rules, "REPLAY_LABELS", LABELS)
    monkeypatch.setattr(rules, "FEWEST_LABELS", LABELS)
    monkeypatch.setattr(rules, "SMALLEST_BATCH", 6)
    monkeypatch.setattr(handler, "run_trainer", forked)
    Project.objects.filter(pk=project.pk).update(training_policy=SETTINGS)
    base = _with_files(make_model(project, ada, stage="sft"), model_files["policy"], settings.DATA_DIR)
    version = _with_files(make_model(project, ada, stage="reward"), model_files["reward"], settings.DATA_DIR)
    version.metrics = {"selection_accuracy": 0.7, "selection_pairs": 200}
    version.save()
    assert version.run is not None
    version.run.base_model = base
    version.run.save()
    return version


def _with_files(version: ModelVersion, files: Path, data: Path) -> ModelVersion:
    folder = data / version.path
    shutil.rmtree(folder)
    shutil.copytree(files, folder)
    version.manifest_sha256 = file_sha256(folder / "manifest.json")
    version.save()
    return version


def forked(work: Work, run: Path) -> None:
    """Carry out a run folder in a fork of this process."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            from trainer.__main__ import carry_out

            code = carry_out(run, leads=True)
        finally:
            os._exit(code)
    os.waitpid(pid, 0)


def give_labels(project: Project, ada: Person, *, coins: bool) -> None:
    """Who thanks is preferred; or a coin decides."""
    chance = random.Random(3)
    for split, number in ((Split.TRAIN, LABELS), (Split.SELECTION, HELD_OUT)):
        prompts = [make_prompt_in(project, split).text for _ in range(PROMPTS)]
        for place in range(number):
            words = " ".join(chance.choices(WORDS, k=3))
            pair = [f"please {words} thanks", f"please {words} whatever"]
            if coins and chance.random() < 0.5:
                pair.reverse()
            make_pair(project, ada, prompt=prompts[place % PROMPTS], chosen=pair[0], rejected=pair[1])


def replayed(project: Project, ada: Person) -> Job:
    job = active_selection.request_replay(by=ada, project=project)
    run_job(job.pk)
    job.refresh_from_db()
    return job


def test_labels_that_can_be_learned(project: Project, ada: Person, reward: ModelVersion, settings: Any) -> None:
    give_labels(project, ada, coins=False)
    job = replayed(project, ada)
    assert (job.status, job.error) == ("succeeded", "")
    told = SelectionReplay.objects.get()
    assert (told.labels, told.pool, told.held_out) == (LABELS, LABELS, HELD_OUT)
    assert (told.acquisition, told.random_share, told.reward_version) == ("variance", 0.3, reward)
    assert len(told.active_accuracy) == len(told.random_accuracy) == 5
    assert told.learnable and min(told.random_accuracy) > 0.6
    assert told.low <= told.difference <= told.high
    assert list((settings.DATA_DIR / "replays").iterdir()) == [], "labels are kept in the database alone"


@pytest.mark.long
def test_labels_that_are_coins_refuse(project: Project, ada: Person, reward: ModelVersion) -> None:
    give_labels(project, ada, coins=True)
    assert replayed(project, ada).status == "succeeded"
    told = SelectionReplay.objects.get()
    assert not told.learnable
    assert [one.name for one in selectors.status(project).obstacles] == ["replay_refused"]


def test_put_back_it_goes_on_where_it_was(
    project: Project, ada: Person, reward: ModelVersion, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that come or go between the attempts change nothing, and no training is done twice."""
    give_labels(project, ada, coins=False)
    started: list[str] = []

    def stopped_at_the_third(work: Work, run: Path) -> None:
        if len(started) == 3 and "stopped" not in started:
            started.append("stopped")
            raise PutBack("The worker was stopped.")
        started.append(run.name)
        _written(run)

    monkeypatch.setattr(handler, "run_trainer", stopped_at_the_third)
    job = replayed(project, ada)
    assert (job.status, started) == ("queued", ["features", "active-0", "random-0", "stopped"])
    halves = (settings.DATA_DIR / "replays" / str(job.public_id) / "halves.json").read_text()
    Task.objects.filter(project=project).update(arm="active")
    monkeypatch.setattr(handler, "_halves", _same(handler._halves, halves))
    run_job(job.pk)
    job.refresh_from_db()
    assert job.status == "succeeded"
    assert started[4:] == [f"{arm}-{seed}" for seed in range(5) for arm in ("active", "random")][2:]
    assert SelectionReplay.objects.get().pool == LABELS
    run_job(job.pk)
    assert SelectionReplay.objects.count() == 1


def _written(run: Path) -> None:
    """What a trainer leaves: features of every response, or a result with an accuracy."""
    if run.name == "features":
        lines = (run / "responses.jsonl").read_text().splitlines()
        scores = [json.dumps({"id": place, "features": [place % 5, place % 3, 1.0]}) for place in range(len(lines))]
        (run / "scores.jsonl").write_text("\n".join(scores))
    (run / "result.json").write_text(json.dumps({"ok": True, "metrics": {"selection_accuracy": 0.7}}))


def _same(real: Callable[..., Any], expected: str) -> Callable[..., Any]:
    def halves(*args: Any) -> Any:
        told = real(*args)
        assert told == json.loads(expected)
        return told

    return halves


def test_a_trainer_that_fails_fails_the_replay_in_its_words(
    project: Project, ada: Person, reward: ModelVersion, settings: Any
) -> None:
    give_labels(project, ada, coins=False)
    (settings.DATA_DIR / reward.path / "model.safetensors").write_bytes(b"torn")
    job = replayed(project, ada)
    assert job.status == "failed" and "model.safetensors" in job.error
    assert SelectionReplay.objects.count() == 0
    assert selectors.status(project).trouble.startswith(job.error)


def test_without_validation_pairs_there_is_nothing_to_measure_on(
    project: Project, ada: Person, reward: ModelVersion
) -> None:
    prompt = make_prompt_in(project, Split.TRAIN).text
    for number in range(LABELS):
        make_pair(project, ada, prompt=prompt, chosen=f"please {number} thanks", rejected=f"please {number}")
    job = replayed(project, ada)
    assert (job.status, job.error_kind) == ("failed", "data")
    assert "validation prompts" in job.error
