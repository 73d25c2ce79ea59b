"""DPO and KTO: losses as by hand and as TRL's, learned on a micro world, refused by name where nothing can be."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import MakeRun, ask, feedback_rows, progress, write_snapshot

from trainer.configs import parsing
from trainer.data.snapshot import open_snapshot
from trainer.errors import ConfigInvalid, DataUnusable
from trainer.losses.preference_losses import dpo_loss, kto_loss
from trainer.modeling.loading import load_policy
from trainer.modeling.preference_trainer import KTOCollator, make_trainer
from trainer.recipes.preference import HeldOutPreferences, completion_logps, pair_columns, single_columns
from trainer.run.context import RunContext
from trainer.run.loop import Hook
from trainer.run.progress import Reporter

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {"batch_size": 8, "evaluations": 3, "samples": 1, "learning_rate": 0.01, "max_length": 64}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_dpo_loss_by_hand() -> None:
    zero = torch.zeros(3)
    assert float(dpo_loss(zero, zero, 0.1)) == pytest.approx(math.log(2))
    loss = dpo_loss(torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 4.0]), 0.5)
    assert float(loss) == pytest.approx((math.log(1 + math.exp(-1.5)) + math.log(1 + math.exp(2.0))) / 2, rel=1e-6)
    smooth = dpo_loss(torch.tensor([2.0]), torch.tensor([0.0]), 1.0, 0.1)
    assert float(smooth) == pytest.approx(-0.9 * math.log(sigmoid(2)) - 0.1 * math.log(sigmoid(-2)), rel=1e-6)


def test_kto_loss_by_hand() -> None:
    label = torch.tensor([True, False])
    assert float(kto_loss(torch.zeros(2), label, torch.tensor(0.0), 0.1)) == 0.5
    loss = kto_loss(torch.tensor([3.0, 1.0]), label, torch.tensor(1.5), 0.5, 1.0, 2.0)
    assert float(loss) == pytest.approx(((1 - sigmoid(0.75)) + 2 * (1 - sigmoid(0.25))) / 2, rel=1e-6)


@pytest.mark.parametrize("stage", ["dpo", "kto"])
def test_trl_computes_the_same_loss(
    stage: str, base_folder: Path, feedback: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """The policy moved away from its reference; TRL's loss of a batch against our formula on our log-probs."""
    settings = parsing.parse(stage, {**MICRO, "beta": 0.3, "batch_size": 6})
    context = RunContext(
        tmp_path, {"stage": stage}, settings, {}, Reporter(None), threading.Event().is_set, tmp_path / "checkpoints"
    )
    read = pair_columns if stage == "dpo" else single_columns
    columns, _ = read(tokenizer, open_snapshot(feedback), "train", 64)
    columns = {name: values[:6] for name, values in columns.items()}
    policy: Any = load_policy(base_folder, tokenizer)
    reference: Any = load_policy(base_folder, tokenizer)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.05 * torch.randn_like(weight)
    ours = HeldOutPreferences(reference, columns, settings, tokenizer.pad_token_id).figures(policy)
    trainer = make_trainer(context, policy, reference, tokenizer, columns, Hook(context))
    batch = trainer.data_collator([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    with torch.no_grad():
        loss = trainer.compute_loss(policy, batch)
    assert isinstance(loss, torch.Tensor)
    theirs = float(loss)
    assert theirs == pytest.approx(ours["selection_loss"], rel=1e-4)
    assert abs(theirs - (math.log(2) if stage == "dpo" else 0.5)) > 1e-3


def test_log_probs_count_the_completion_only_and_no_padding(base_folder: Path, tokenizer: Any) -> None:
    model: Any = load_policy(base_folder, tokenizer)
    rows = [([10, 11, 12], [20, 21]), ([10], [22, 23, 24, 25])]
    together = completion_logps(model, rows, tokenizer.pad_token_id)
    with torch.no_grad():
        logps = torch.log_softmax(model(input_ids=torch.tensor([[10, 11, 12, 20, 21]])).logits[0], -1)
    assert float(together[0]) == pytest.approx(float(logps[2, 20] + logps[3, 21]), rel=1e-5)
    alone = completion_logps(model, rows[1:], tokenizer.pad_token_id)
    assert float(alone[0]) == pytest.approx(float(together[1]), rel=1e-5)


def test_kto_pairs_each_prompt_with_a_neighbors_completion() -> None:
    rows = [{"prompt_ids": [n], "completion_ids": [10 + n, 9], "label": n % 2 == 0} for n in (1, 2, 3)]
    batch = KTOCollator(0)(rows)
    assert batch["input_ids"].tolist() == [[1, 11, 9], [2, 12, 9], [3, 13, 9]]
    assert batch["KL_input_ids"].tolist() == [[1, 13, 9], [2, 11, 9], [3, 12, 9]]


@pytest.mark.parametrize("stage", ["dpo", "kto"])
def test_it_learns_what_was_preferred(
    stage: str, make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path
) -> None:
    folder = make_run(stage, {"snapshot": feedback, "base_model": base_folder}, {**MICRO, "epochs": 6})
    metrics = run_here(folder)["metrics"]
    start = math.log(2) if stage == "dpo" else 0.5
    assert metrics["selection_loss"] < 0.9 * start
    assert metrics["selection_accuracy"] > 0.7
    lines = [line["metrics"] for line in progress(folder, "metrics") if "loss" in line["metrics"]]
    assert lines[0]["loss"] == pytest.approx(start, abs=1e-3)
    assert len(progress(folder, "samples")) >= 10


def test_single_responses_are_read_as_such(feedback: Path, tokenizer: Any, tmp_path: Path) -> None:
    row = {"kind": "unpaired", "prompt": ask("sky"), "completion": "Blue.", "label": True}
    snapshot = open_snapshot(write_snapshot(tmp_path / "s", {"train": [row, row, *feedback_rows(4)]}))
    columns, left_out = single_columns(tokenizer, snapshot, "train", 64)
    assert columns["label"] == [True, True]
    assert left_out == 0
    of_pairs, _ = single_columns(tokenizer, open_snapshot(feedback), "train", 64)
    assert of_pairs["label"].count(True) == of_pairs["label"].count(False) > 0


def test_what_cannot_be_learned_is_refused(
    make_run: MakeRun, run_here: RunHere, base_folder: Path, tmp_path: Path
) -> None:
    def attempt(stage: str, name: str, rows: list[dict[str, Any]], **settings: Any) -> None:
        snapshot = write_snapshot(tmp_path / f"s-{name}", {"train": rows})
        inputs = {"snapshot": snapshot, "base_model": base_folder}
        run_here(make_run(stage, inputs, {**MICRO, **settings}, name=name))

    pair = {"kind": "preference", "prompt": ask("sky"), "chosen": "Blue.", "rejected": "Blue.", "strength": 1}
    good = {"kind": "unpaired", "prompt": ask("sky"), "completion": "Blue.", "label": True}
    with pytest.raises(DataUnusable, match="no preferences"):
        attempt("dpo", "a", [])
    with pytest.raises(DataUnusable, match="same text"):
        attempt("dpo", "b", [pair])
    with pytest.raises(DataUnusable, match="max_length"):
        attempt("dpo", "c", [pair], max_length=8)
    with pytest.raises(DataUnusable, match="same verdict"):
        attempt("kto", "d", [good])


@pytest.mark.parametrize(
    ("stage", "values"), [("dpo", {"beta": 0}), ("dpo", {"label_smoothing": 0.5}), ("kto", {"batch_size": 1})]
)
def test_config_out_of_range_is_refused_by_name(stage: str, values: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid, match=next(iter(values))):
        parsing.parse(stage, values)
