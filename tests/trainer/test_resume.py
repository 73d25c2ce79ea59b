"""A run that was killed and started again ends with the weights of one that was not, bit for bit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import COLOURS, MakeRun, answer, at_step, progress, weights, write_snapshot

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
    "reward": {"epochs": 2, "batch_size": 8, "evaluations": 4, "normalise_samples": 8, "learning_rate": 0.01},
}


def labelled(folder: Path) -> Path:
    """Twelve texts, each of the class of its colour."""
    rows = [
        {"kind": "classification", "text": answer(thing, colour, opening), "labels": [colour]}
        | {"scheme": "colour", "classes": sorted(COLOURS.values()), "many": False}
        for thing, colour in COLOURS.items()
        for opening in ("The", "My", "This")
    ]
    return write_snapshot(folder, {"train": rows, "selection": rows[::3]})


def same_weights(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("stage", CONFIGS)
def test_killed_run_goes_on_exactly(
    stage: str,
    make_run: MakeRun,
    command: Callable[..., subprocess.CompletedProcess[str]],
    run_here: Callable[[Path], dict[str, Any]],
    corpus: Path,
    feedback: Path,
    tokenizer_folder: Path,
    base_folder: Path,
    tmp_path: Path,
) -> None:
    inputs = {
        "pretrain": {"snapshot": corpus, "tokenizer": tokenizer_folder},
        "classify": {"snapshot": labelled(tmp_path / "s"), "tokenizer": tokenizer_folder},
        "sft": {"snapshot": feedback, "base_model": base_folder},
        "reward": {"snapshot": feedback, "base_model": base_folder},
    }[stage]
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
