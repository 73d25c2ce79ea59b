"""A run that was killed and started again ends with the weights of one that was not, bit for bit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import COLOURS, ONCE, MakeRun, answer, at_step, forked, progress, weights, write_snapshot

from trainer.run.progress import Buckets

FORKED: dict[str, dict[str, Any]] = {
    "mlm": {
        "steps": 12,
        "batch_size": 4,
        "max_length": 32,
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "context_length": 64,
        "evaluations": 3,
        "samples": 0,
    },
    "tag": {
        "epochs": 6,
        "batch_size": 4,
        "max_length": 32,
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "context_length": 64,
        "evaluations": 3,
        "samples": 0,
        "baseline": False,
    },
    "dpo": {"epochs": 2, "batch_size": 8, "evaluations": 4, "samples": 0, "learning_rate": 0.01},
    "kto": {"epochs": 1, "batch_size": 8, "evaluations": 4, "samples": 0, "learning_rate": 0.01},
    "rloo": {
        "steps": 10,
        "batch_size": 8,
        "num_generations": 2,
        "max_new_tokens": 8,
        "evaluations": 4,
        "samples": 0,
        "stop_on_alarm": False,
    },
    "grpo": {
        "steps": 10,
        "batch_size": 8,
        "num_generations": 2,
        "max_new_tokens": 8,
        "evaluations": 4,
        "samples": 0,
        "stop_on_alarm": False,
    },
}
CONFIGS: dict[str, dict[str, Any]] = {
    "pretrain": {
        "steps": 12,
        "batch_size": 4,
        "block_size": 32,
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "context_length": 64,
        "evaluations": 3,
    },
    "classify": {
        "epochs": 4,
        "batch_size": 4,
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "context_length": 64,
        "max_length": 32,
        "evaluations": 3,
        "baseline": False,
    },
    "sft": {"epochs": 4, "batch_size": 4, "evaluations": 4, "samples": 1, "learning_rate": 0.01},
    "reward": {**ONCE, "epochs": 2, "batch_size": 8, "evaluations": 4, "normalise_samples": 8, "learning_rate": 0.01},
}


def die_at_step(step: int) -> Callable[[], None]:
    """For a fork: kill -9 at the start of the hook of one step."""

    def plant() -> None:
        exec(at_step(step, "os.kill(os.getpid(), signal.SIGKILL)"), {})

    return plant


def labeled(folder: Path) -> Path:
    """Twelve texts, each of the class of its color."""
    rows = [
        {"kind": "classification", "text": answer(thing, colour, opening), "labels": [colour]}
        | {"scheme": "colour", "classes": sorted(COLOURS.values()), "many": False}
        for thing, colour in COLOURS.items()
        for opening in ("The", "My", "This")
    ]
    return write_snapshot(folder, {"train": rows, "selection": rows[::3]})


def marked(folder: Path) -> Path:
    """The same texts, each with its color marked."""
    texts = {answer(thing, colour, opening): colour for thing, colour in COLOURS.items() for opening in ("The", "My")}
    rows = [
        {"kind": "spans", "text": text, "scheme": "colour", "classes": ["colour"]}
        | {"spans": [{"start": text.index(colour), "end": text.index(colour) + len(colour), "label": "colour"}]}
        for text, colour in texts.items()
    ]
    return write_snapshot(folder, {"train": rows, "selection": rows[::3]})


def same_weights(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_killed_run_goes_on_exactly(
    make_run: MakeRun,
    command: Callable[..., subprocess.CompletedProcess[str]],
    run_here: Callable[[Path], dict[str, Any]],
    corpus: Path,
    tokenizer_folder: Path,
) -> None:
    stage, inputs = "pretrain", {"snapshot": corpus, "tokenizer": tokenizer_folder}
    config = CONFIGS[stage] | {"checkpoint_steps": 4}
    unbroken = make_run(stage, inputs, config, name="unbroken")
    made = run_here(unbroken)

    killed = make_run(stage, inputs, config, name="killed")
    died = command(killed, at_step(7, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert died.returncode == -9, died.stderr
    assert [p.name for p in (killed / "checkpoints").glob("step-*")] == ["step-4"]
    with (killed / "progress.jsonl").open("a") as file:
        file.write('{"half a li')  # what a kill can leave behind
    run = json.loads((killed / "run.json").read_text())
    (killed / "run.json").write_text(json.dumps(run | {"attempt": 2}))
    ended = command(killed)
    assert ended.returncode == 0, ended.stderr

    assert same_weights(unbroken / "model", killed / "model")
    again = json.loads((killed / "result.json").read_text())
    assert again["metrics"] == made["metrics"]
    assert again["attempt"] == 2
    lines = [line for line in (killed / "progress.jsonl").read_text().splitlines() if line != '{"half a li']
    assert any(json.loads(line).get("text") == "going on from step 4" for line in lines)
    assert not list((killed / "checkpoints").glob("step-*"))


@pytest.mark.parametrize("stage", [stage for stage in CONFIGS | FORKED if stage != "pretrain"])
def test_killed_run_of_the_other_stages_goes_on_exactly(
    stage: str,
    make_run: MakeRun,
    run_here: Callable[[Path], dict[str, Any]],
    corpus: Path,
    feedback: Path,
    tokenizer_folder: Path,
    base_folder: Path,
    reward_folder: Path,
    tmp_path: Path,
) -> None:
    """As above, killed in a fork of this process, which spares loading the libraries for each."""
    inputs = {"snapshot": feedback, "base_model": base_folder}
    inputs |= {"reward_model": reward_folder} if stage in ("rloo", "grpo") else {}
    inputs = {"snapshot": corpus, "tokenizer": tokenizer_folder} if stage == "mlm" else inputs
    inputs = {"snapshot": marked(tmp_path / "m"), "tokenizer": tokenizer_folder} if stage == "tag" else inputs
    inputs = {"snapshot": labeled(tmp_path / "s"), "tokenizer": tokenizer_folder} if stage == "classify" else inputs
    config = (CONFIGS | FORKED)[stage] | {"checkpoint_steps": 4}
    unbroken, killed = make_run(stage, inputs, config, name="unbroken"), make_run(stage, inputs, config, name="killed")
    made = run_here(unbroken)
    assert forked(killed, die_at_step(7)) == -9
    assert [p.name for p in (killed / "checkpoints").glob("step-*")] == ["step-4"]
    assert run_here(killed)["metrics"] == made["metrics"]
    assert "going on from step 4" in [line["text"] for line in progress(killed, "state")]
    assert same_weights(unbroken / "model", killed / "model")
    assert (unbroken / "model" / "config.json").read_text() == (killed / "model" / "config.json").read_text()


def test_a_torn_checkpoint_is_passed_over_for_the_one_before(
    make_run: MakeRun, run_here: Callable[[Path], dict[str, Any]], feedback: Path, base_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder}
    config = CONFIGS["sft"] | {"checkpoint_steps": 2}
    unbroken, torn = make_run("sft", inputs, config, name="unbroken"), make_run("sft", inputs, config, name="torn")
    run_here(unbroken)
    assert forked(torn, die_at_step(7)) == -9
    with (torn / "checkpoints" / "step-6" / "optimizer.pt").open("r+b") as file:
        file.truncate(1000)
    run_here(torn)
    assert "going on from step 4" in [line["text"] for line in progress(torn, "state")]
    assert same_weights(unbroken / "model", torn / "model")


def test_the_same_run_twice_gives_the_same_weights_and_tensorboard_reads_its_figures(
    make_run: MakeRun, run_here: Callable[[Path], dict[str, Any]], feedback: Path, base_folder: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    inputs = {"snapshot": feedback, "base_model": base_folder}
    one, two = (make_run("sft", inputs, CONFIGS["sft"], name=name) for name in ("one", "two"))
    assert forked(one) == 0  # another process
    run_here(two)
    assert same_weights(one / "model", two / "model")
    events = EventAccumulator(str(two / "tensorboard")).Reload()
    seen = {event.step: event.value for event in events.Scalars("selection_loss")}
    told = {
        line["step"]: line["metrics"]["selection_loss"]
        for line in progress(two, "metrics")
        if "selection_loss" in line["metrics"]
    }
    assert seen.keys() == told.keys() and len(told) == 4
    assert all(seen[step] == pytest.approx(told[step], rel=1e-6) for step in told)
    assert "loss" in events.Tags()["scalars"]


def points(folder: Path) -> dict[int, Any]:
    """What a curve is drawn of: the last line of each step."""
    lines = progress(folder, "metrics")
    return {line["step"]: (line["metrics"], line.get("min"), line.get("max")) for line in lines}


def test_curves_are_the_same_however_slow_the_machine_was_and_wherever_the_run_was_killed(
    make_run: MakeRun,
    run_here: Callable[[Path], dict[str, Any]],
    feedback: Path,
    base_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.run.loop.Buckets", partial(Buckets, points=3))  # 12 steps: four in each
    config = CONFIGS["sft"] | {"checkpoint_steps": 2, "evaluations": 2}
    inputs = {"snapshot": feedback, "base_model": base_folder}
    fast, slow, killed = (make_run("sft", inputs, config, name=name) for name in ("fast", "slow", "killed"))
    run_here(fast)
    assert forked(killed, die_at_step(7)) == -9  # the checkpoint of step 6 lies within a bucket
    run_here(killed)
    monkeypatch.setattr("trainer.run.progress.Ticker.due", lambda self: True)
    run_here(slow)
    assert [line["step"] for line in progress(fast, "metrics")] == [4, 6, 8, 12]
    assert len(progress(slow, "step")) == 12
    assert points(fast) == points(slow) == points(killed)
    figures, least, greatest = points(fast)[4]
    assert least["loss"] < figures["loss"] < greatest["loss"]
    assert points(fast)[6][0].keys() == {"selection_loss"} and points(fast)[6][1] is None


def test_stage_does_not_depend_on_what_ran_before_it(
    make_run: MakeRun, run_here: Callable[[Path], dict[str, Any]], feedback: Path, base_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder}
    config = CONFIGS["sft"] | {"epochs": 1}
    first = make_run("sft", inputs, config, name="first")
    run_here(first)
    torch.manual_seed(99)
    torch.rand(1000)
    second = make_run("sft", inputs, config, name="second")
    run_here(second)
    assert same_weights(first / "model", second / "model")
    other = make_run("sft", inputs, config, name="other", seed=1)
    run_here(other)
    assert not same_weights(first / "model", other / "model")


def test_progress_tells_steps_and_samples_of_fixed_prompts(
    make_run: MakeRun, run_here: Callable[[Path], dict[str, Any]], feedback: Path, base_folder: Path
) -> None:
    folder = make_run("sft", {"snapshot": feedback, "base_model": base_folder}, CONFIGS["sft"] | {"samples": 2})
    run_here(folder)
    metrics, samples = progress(folder, "metrics"), progress(folder, "samples")
    assert [line["step"] for line in metrics] == sorted(line["step"] for line in metrics)
    assert metrics[-1]["step"] == metrics[-1]["of"]
    assert len(samples) >= 9
    assert len({tuple(s["prompt"] for s in line["samples"]) for line in samples}) == 1
