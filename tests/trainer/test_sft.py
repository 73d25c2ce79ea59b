"""Fine-tuning learns the completion, and to end it, and nothing of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from micro import MakeRun, ask, progress, write_snapshot

from trainer.data.columns import encode_prompts
from trainer.errors import DataUnusable, RunDiverged
from trainer.modeling.loading import load_policy, load_tokenizer
from trainer.modeling.passes import continuations
from trainer.recipes.sft import completion_loss

RunHere = Callable[[Path], dict[str, Any]]


def test_it_learns_the_answers_and_ends_them(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder}
    folder = make_run("sft", inputs, {"epochs": 200, "batch_size": 12, "learning_rate": 0.02, "choose_best": False})
    metrics = run_here(folder)["metrics"]
    assert metrics["eos_rate"] == 1.0
    assert metrics["train_demonstrations"] == 12
    tokenizer = load_tokenizer(folder / "model")
    model = load_policy(folder / "model", tokenizer)
    [row] = continuations(model, encode_prompts(tokenizer, [ask("sky")]), 30)
    assert row[-1] == tokenizer.eos_token_id
    assert "blue" in tokenizer.decode(row)
    [shown] = [s for s in progress(folder, "samples")[-1]["samples"] if "sky" in s["prompt"]][:1]
    assert "blue" in shown["text"]


def test_best_weights_on_selection_are_handed_back(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, tmp_path: Path
) -> None:
    """Selection demonstrations that contradict the training ones: the longer it trains, the worse it gets there."""
    train = [{"kind": "demonstration", "prompt": ask("sky"), "completion": "The sky is blue."}]
    other = [{"kind": "demonstration", "prompt": ask("sky"), "completion": "white black green"}]
    snapshot = write_snapshot(tmp_path / "s", {"train": train * 8, "selection": other})
    config = {"epochs": 40, "batch_size": 8, "learning_rate": 0.02, "evaluations": 8}
    metrics = run_here(make_run("sft", {"snapshot": snapshot, "base_model": base_folder}, config))["metrics"]
    assert metrics["best_step"] < metrics["steps"]
    measured = [m["metrics"] for m in progress(tmp_path / "run", "metrics") if "selection_loss" in m["metrics"]]
    assert metrics["selection_loss"] == min(m["selection_loss"] for m in measured)


def test_loss_ignores_the_prompt_and_padding(base_folder: Path, tokenizer: Any) -> None:
    model = load_policy(base_folder, tokenizer)
    columns = {"input_ids": [[7, 8, 9, 20, 2], [7, 8, 21, 22, 23, 24, 2]], "completion_mask": [[0] * 3 + [1] * 2]}
    columns["completion_mask"].append([0] * 2 + [1] * 5)
    with torch.no_grad():
        together = completion_loss(model, tokenizer.pad_token_id, columns)
        by_hand = 0.0
        for ids, mask in zip(columns["input_ids"], columns["completion_mask"], strict=True):
            logps = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            by_hand -= sum(float(logps[n - 1, ids[n]]) for n in range(len(ids)) if mask[n])
    assert together == pytest.approx(by_hand / 7, rel=1e-5)


def test_trainer_masks_the_prompt(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, monkeypatch: Any
) -> None:
    """The labels TRL trains on, looked at just before training starts."""
    from trainer.recipes import sft

    seen: list[Any] = []
    run_training = sft.run_training

    def inspect_rows(trainer: Any, *rest: Any) -> Any:
        seen.extend(trainer.train_dataset)
        return run_training(trainer, *rest)

    monkeypatch.setattr(sft, "run_training", inspect_rows)
    run_here(make_run("sft", {"snapshot": feedback, "base_model": base_folder}, {"epochs": 1, "samples": 0}))
    mark = load_tokenizer(base_folder).convert_tokens_to_ids("<|assistant|>")
    for row in seen:
        start = row["input_ids"].index(mark) + 1
        assert set(row["labels"][:start]) == {-100}
        assert row["labels"][start:] == row["input_ids"][start:]
    assert len(seen) == 12


@pytest.mark.parametrize(
    ("rows", "config", "says"), [([], {}, "no demonstrations"), (None, {"max_length": 8}, "no demonstration has")]
)
def test_nothing_to_learn_from_is_a_data_error_with_a_remedy(
    rows: list[Any] | None,
    config: dict[str, Any],
    says: str,
    make_run: MakeRun,
    run_here: RunHere,
    base_folder: Path,
    feedback: Path,
    tmp_path: Path,
) -> None:
    snapshot = feedback if rows is None else write_snapshot(tmp_path / "empty", {"train": rows})
    folder = make_run("sft", {"snapshot": snapshot, "base_model": base_folder}, config)
    with pytest.raises(DataUnusable, match=says) as caught:
        run_here(folder)
    assert caught.value.remedy


def test_loss_that_is_no_number_ends_the_run_with_its_step(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, monkeypatch: Any
) -> None:
    from trainer.recipes import sft

    def poisoned(path: Path, tokenizer: Any) -> Any:
        model = load_policy(path, tokenizer)
        with torch.no_grad():
            cast(torch.nn.Embedding, model.get_input_embeddings()).weight.fill_(float("nan"))
        return model

    monkeypatch.setattr(sft, "load_policy", poisoned)
    folder = make_run("sft", {"snapshot": feedback, "base_model": base_folder}, {"samples": 0, "checkpoint_steps": 1})
    with pytest.raises(RunDiverged) as caught:
        run_here(folder)
    assert caught.value.step == 1
    assert not list((folder / "checkpoints").glob("step-*"))
    assert not (folder / "model").exists()
