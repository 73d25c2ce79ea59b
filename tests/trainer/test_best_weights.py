"""The weights chosen on the way are the weights handed back, in families whose files and modules differ in names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from micro import COLOURS, ONCE, MakeRun, ask, feedback_rows, forked, progress, write_snapshot
from tiny_models import write_policy

RunHere = Callable[[Path], dict[str, Any]]
# The best weights are those of an early step, and the last ones far off: see `contrary`.
CONFIG = {"epochs": 5, "batch_size": 4, "evaluations": 5, "samples": 0, "learning_rate": 0.05, "max_length": 80}
OTHERWISE = ("gpt_neox", "mixtral", "qwen3_moe")


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    return {family: write_policy(folder / family, family, tokenizer) for family in (*OTHERWISE, "gpt2")}


@pytest.fixture(scope="session")
def contrary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train and selection disagree, so the more is learned, the worse the selection loss is."""
    rows = feedback_rows(16)
    other = [{"kind": "demonstration", "prompt": ask(thing), "completion": "ZQXJ 7VKW #@ ZQXJ"} for thing in COLOURS]
    turned = [
        row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows if row["kind"] == "preference"
    ]
    return write_snapshot(tmp_path_factory.mktemp("contrary") / "s", {"train": rows, "selection": other + turned})


def selection_loss(folder: Path, snapshot: Path) -> float:
    """Loss of a made policy on the selection split's demonstrations, read from its folder."""
    from trainer.data.columns import sft_columns
    from trainer.data.snapshot import Demonstration, open_snapshot
    from trainer.modeling.loading import load_policy, load_tokenizer
    from trainer.recipes.sft import completion_loss

    tokenizer = load_tokenizer(folder / "model")
    rows = list(open_snapshot(snapshot).rows("selection", Demonstration))
    columns = sft_columns(tokenizer, rows, 80)
    return completion_loss(load_policy(folder / "model", tokenizer), tokenizer.pad_token_id, columns)


@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["whole", "lora"])
@pytest.mark.parametrize("family", OTHERWISE)
def test_the_saved_policy_has_the_loss_that_its_weights_were_chosen_by(
    family: str, lora: Any, make_run: MakeRun, run_here: RunHere, contrary: Path, policies: dict[str, Path]
) -> None:
    inputs = {"snapshot": contrary, "base_model": policies[family]}
    folder = make_run("sft", inputs, CONFIG | {"lora": lora})
    metrics = run_here(folder)["metrics"]
    assert metrics["best_step"] < metrics["steps"]
    assert "not_measured" not in metrics
    assert selection_loss(folder, contrary) == pytest.approx(metrics["selection_loss"], abs=1e-4)
    assert "faults" not in json.loads((folder / "model" / "manifest.json").read_text())


@pytest.mark.parametrize("stage", ["reward", "dpo", "kto"])
def test_preferences_on_a_mixture_of_experts_hand_back_what_was_chosen(
    stage: str, make_run: MakeRun, run_here: RunHere, contrary: Path, policies: dict[str, Path]
) -> None:
    config = {"epochs": 2, "batch_size": 4, "evaluations": 4, "learning_rate": 0.02, "max_length": 80}
    config |= {**ONCE, "normalise_samples": 4} if stage == "reward" else {"samples": 0}
    folder = make_run(stage, {"snapshot": contrary, "base_model": policies["mixtral"]}, config)
    metrics = run_here(folder)["metrics"]
    assert "not_measured" not in metrics
    assert "faults" not in json.loads((folder / "model" / "manifest.json").read_text())
    assert 0 < metrics["best_step"] <= metrics["steps"]


def test_a_run_of_a_mixture_of_experts_that_was_killed_goes_on_exactly(
    make_run: MakeRun, run_here: RunHere, contrary: Path, policies: dict[str, Path]
) -> None:
    from test_resume import die_at_step, same_weights

    inputs = {"snapshot": contrary, "base_model": policies["qwen3_moe"]}
    config = CONFIG | {"checkpoint_steps": 4, "epochs": 3}
    unbroken, killed = (make_run("sft", inputs, config, name=name) for name in ("unbroken", "killed"))
    made = run_here(unbroken)
    assert forked(killed, die_at_step(7)) == -9
    assert run_here(killed)["metrics"] == made["metrics"]
    assert same_weights(unbroken / "model", killed / "model")


def test_a_model_that_differs_from_what_was_chosen_is_kept_with_a_fault(
    make_run: MakeRun, run_here: RunHere, contrary: Path, policies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.run import loop

    monkeypatch.setattr(loop, "load_best", lambda context, step, model, without=None: step)  # puts nothing back
    folder = make_run("sft", {"snapshot": contrary, "base_model": policies["gpt_neox"]}, CONFIG)
    result = run_here(folder)
    [fault] = json.loads((folder / "model" / "manifest.json").read_text())["faults"]
    assert fault["name"] == "figures_differ" and "selection loss" in fault["text"]
    assert result["ok"] is True and result["model"] is not None
    assert [line["name"] for line in progress(folder, "alarm")] == ["figures_differ"]


def test_kept_weights_that_do_not_fit_leave_the_last_ones_with_a_fault(
    make_run: MakeRun, run_here: RunHere, contrary: Path, policies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.modeling.weights import write_weights
    from trainer.run import loop

    monkeypatch.setattr(
        loop, "write_weights", lambda path, weights: write_weights(path, dict(list(weights.items())[1:]))
    )
    folder = make_run("sft", {"snapshot": contrary, "base_model": policies["gpt_neox"]}, CONFIG)
    metrics = run_here(folder)["metrics"]
    [fault] = json.loads((folder / "model" / "manifest.json").read_text())["faults"]
    assert fault["name"] == "best_weights" and "1 missing" in fault["text"]
    assert "best_step" not in metrics


def test_a_figure_that_cannot_be_measured_costs_the_figure_and_not_the_model(
    make_run: MakeRun, run_here: RunHere, contrary: Path, policies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.recipes import sft

    def fail(*_: Any) -> float:
        raise MemoryError("out of memory")

    monkeypatch.setattr(sft, "share_that_ends", fail)
    folder = make_run("sft", {"snapshot": contrary, "base_model": policies["gpt2"]}, CONFIG | {"epochs": 1})
    result = run_here(folder)
    assert result["metrics"]["not_measured"] == {"eos_rate": "Memory ran out."}
    assert result["model"] is not None and "eos_rate" not in result["metrics"]
    assert [line["name"] for line in progress(folder, "alarm")] == ["not_measured_eos_rate"]


def test_answers_as_long_as_the_context_do_not_end_a_run_of_learned_positions(
    tmp_path: Path, make_run: MakeRun, run_here: RunHere, policies: dict[str, Path]
) -> None:
    """Twice the longest answer, which the end-of-sequence rate asks for, is more than the 96 positions there are."""
    long = " ".join(["blue"] * 20)
    rows = [{"kind": "demonstration", "prompt": ask(thing), "completion": f"{thing} {long}"} for thing in COLOURS]
    snapshot = write_snapshot(tmp_path / "long", {"train": rows, "selection": rows[:1]})
    config = {"epochs": 1, "batch_size": 4, "evaluations": 1, "samples": 1, "max_length": 96}
    folder = make_run("sft", {"snapshot": snapshot, "base_model": policies["gpt2"]}, config)
    metrics = run_here(folder)["metrics"]
    assert "not_measured" not in metrics and 0 <= metrics["eos_rate"] <= 1
