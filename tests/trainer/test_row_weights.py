"""What rows weigh: read from the snapshot's sidecar, applied by every loss of preferences and every figure of them."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import ONCE, MakeRun, feedback_rows, write_snapshot
from torch import Tensor, nn
from transformers import Trainer

from trainer.configs import parsing
from trainer.data.columns import preference_columns, with_weights
from trainer.data.snapshot import Preference, Snapshot, open_snapshot
from trainer.errors import SnapshotCorrupt
from trainer.losses.preference_losses import dpo_loss, kto_loss
from trainer.modeling.heads import heads_loss
from trainer.modeling.loading import load_classifier, load_policy
from trainer.modeling.preference_trainer import WeightedDPOTrainer, WeightedKTOTrainer, make_trainer
from trainer.modeling.reward_model import RewardModel, calibration_error, preference_figures
from trainer.recipes.preference import HeldOutPreferences, pair_columns, single_columns
from trainer.run.context import RunContext
from trainer.run.loop import Hook
from trainer.run.progress import Reporter

MICRO = {"batch_size": 6, "evaluations": 3, "samples": 1, "learning_rate": 0.01, "max_length": 64}
PROMPT = ({"role": "user", "content": "What colour is the sky?"},)


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


def with_sidecar(folder: Path, lines: list[str]) -> Path:
    """The snapshot with `weights.jsonl` beside its splits, told in the manifest as a freeze tells it."""
    data = "".join(f"{line}\n" for line in lines).encode()
    (folder / "weights.jsonl").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["weights.jsonl"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def weighted(tmp_path: Path) -> Snapshot:
    """Every other pair weighs a sixth."""
    rows = feedback_rows()
    folder = write_snapshot(tmp_path / "s", {"train": rows, "selection": rows[1::5]})
    hashes = sorted({row.hash for row in open_snapshot(folder).rows("train", Preference)})
    return open_snapshot(with_sidecar(folder, [f'{{"hash":"{one}","weight":[1,6]}}' for one in hashes[::2]]))


def test_a_row_without_a_line_weighs_one(weighted: Snapshot) -> None:
    weights = {row.hash: row.weight for row in weighted.rows("train", Preference)}
    assert [weights[one] for one in sorted(weights)][:4] == [1 / 6, 1.0, 1 / 6, 1.0]


@pytest.mark.parametrize("told", ["0.5", "[0,1]", "[1,0]", "[1.0,2]", "[true,2]", "[1]", "null"])
@pytest.mark.parametrize("line", ['{"hash":"x","weight":WEIGHT}', "no json", '{"hash":3,"weight":[1,2]}', "[]"])
def test_a_sidecar_that_is_none_is_refused(line: str, told: str, tmp_path: Path) -> None:
    folder = with_sidecar(
        write_snapshot(tmp_path / "s", {}), ['{"hash":"y","weight":[1,2]}', line.replace("WEIGHT", told)]
    )
    with pytest.raises(SnapshotCorrupt, match="line 2"):
        open_snapshot(folder)


def test_a_sidecar_that_was_changed_is_refused(weighted: Snapshot) -> None:
    (weighted.path / "weights.jsonl").write_text("")
    with pytest.raises(SnapshotCorrupt, match=r"weights\.jsonl"):
        open_snapshot(weighted.path)


def test_weights_have_a_mean_of_one_and_are_nothing_where_they_are_alike() -> None:
    columns: dict[str, list[Any]] = {}
    with_weights(columns, [1 / 3, 1 / 3, 1 / 3])
    assert columns == {}, "what all rows share changes nothing"
    with_weights(columns, [1.0, 0.5, 0.5, 2.0])
    assert columns == {"weight": [1.0, 0.5, 0.5, 2.0]}
    with_weights(columns, [1.0, 3.0])
    assert columns == {"weight": [0.5, 1.5]}


def test_losses_by_hand() -> None:
    chosen, rejected, weight = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 4.0]), torch.tensor([0.5, 1.5])
    by_hand = -(0.5 * log_sigmoid(1.5) + 1.5 * log_sigmoid(-2.0)) / 2
    assert float(dpo_loss(chosen, rejected, 0.5, weight=weight)) == pytest.approx(by_hand, rel=1e-6)
    label = torch.tensor([True, False])
    loss = kto_loss(torch.tensor([3.0, 1.0]), label, torch.tensor(1.5), 0.5, 1.0, 2.0, weight)
    good, bad = 1 - 1 / (1 + math.exp(-0.75)), 1 - 1 / (1 + math.exp(-0.25))
    assert float(loss) == pytest.approx((0.5 * good + 1.5 * 2 * bad) / 2, rel=1e-6)


def test_weights_of_one_are_the_same_loss_to_the_last_bit() -> None:
    torch.manual_seed(1)
    one, other, ones = torch.randn(64), torch.randn(64), torch.ones(64)
    label, kl = torch.rand(64) > 0.5, torch.tensor(0.3)
    assert torch.equal(dpo_loss(one, other, 0.1, 0.2, ones), dpo_loss(one, other, 0.1, 0.2))
    assert torch.equal(kto_loss(one, label, kl, 0.1, 1.0, 1.3, ones), kto_loss(one, label, kl, 0.1, 1.0, 1.3))
    assert calibration_error(torch.sigmoid(one), ones) == pytest.approx(calibration_error(torch.sigmoid(one)), abs=1e-6)


class Given(nn.Module):
    """A model that gives these rewards, chosen first."""

    def __init__(self, rewards: Tensor) -> None:
        super().__init__()
        self.rewards = rewards

    def forward(self, **_: Any) -> Any:
        return type("Out", (), {"logits": self.rewards})


def loss_of(trainer: Trainer, model: nn.Module, batch: dict[str, Any]) -> float:
    loss = trainer.compute_loss(model, batch)
    assert isinstance(loss, torch.Tensor)
    return float(loss)


@pytest.mark.parametrize("heads", [1, 2])
def test_the_reward_loss_by_hand(heads: int, make_run: MakeRun, base_folder: Path, tokenizer: Any) -> None:
    from trainer.modeling.reward_trainer import make_trainer as make_reward_trainer

    folder = make_run("reward", {})
    settings = parsing.parse("reward", {"margin_scale": 3 if heads == 1 else 0, "heads": heads})
    context = RunContext(folder, {"stage": "reward"}, settings, {}, Reporter(None), lambda: False, folder)
    reward = RewardModel(load_classifier(base_folder, tokenizer, heads), tokenizer)
    rows = [Preference(PROMPT, "Blue.", "Red.", 1, weight=1 / 3), Preference(PROMPT, "It is blue.", "Red.", 0)]
    columns = preference_columns(tokenizer, rows, 64, settings.margin_scale)
    assert columns["weight"] == pytest.approx([0.5, 1.5])
    none: dict[str, list[Any]] = {"chosen_ids": [], "rejected_ids": [], "margin": [], "row": []}
    trainer, _ = make_reward_trainer(context, reward, columns, [[0], [1]], none)
    batch = trainer.data_collator([trainer.train_dataset[number] for number in (0, 1)])
    assert batch["weight"].tolist() == pytest.approx([0.5, 1.5])
    gaps = torch.tensor([[2.0, 1.0], [-1.0, 0.5]])[:, :heads]
    with torch.no_grad():
        loss = loss_of(trainer, Given(torch.cat([gaps, torch.zeros_like(gaps)])), batch)
    if heads == 1:
        assert loss == pytest.approx(-(0.5 * log_sigmoid(2.0 - 1.0) + 1.5 * log_sigmoid(-1.0)) / 2, rel=1e-6)
    else:
        counts = batch["counts"] * torch.tensor([[0.5], [1.5]])
        assert loss == pytest.approx(float(heads_loss(gaps, torch.zeros_like(gaps), counts)), rel=1e-6)


@pytest.mark.parametrize("stage", ["dpo", "kto"])
def test_the_trainer_and_the_held_out_figures_agree(
    stage: str, base_folder: Path, weighted: Snapshot, tokenizer: Any, tmp_path: Path
) -> None:
    """The weighted trainer's loss of a batch is our formula on our log-probs; at weights of one it is TRL's own."""
    settings = parsing.parse(stage, {**MICRO, "beta": 0.3})
    context = RunContext(
        tmp_path, {"stage": stage}, settings, {}, Reporter(None), threading.Event().is_set, tmp_path / "checkpoints"
    )
    read = pair_columns if stage == "dpo" else single_columns
    columns, _ = read(tokenizer, weighted, "train", 64)
    columns = {name: values[:6] for name, values in columns.items()}
    policy: Any = load_policy(base_folder, tokenizer)
    reference: Any = load_policy(base_folder, tokenizer)
    torch.manual_seed(3)
    with torch.no_grad():
        for tensor in policy.parameters():
            tensor += 0.05 * torch.randn_like(tensor)

    def losses(given: dict[str, list[Any]]) -> tuple[Any, float, float]:
        ours = HeldOutPreferences(reference, given, settings, tokenizer.pad_token_id).figures(policy)
        trainer = make_trainer(context, policy, reference, tokenizer, given, Hook(context))
        rows = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
        with torch.no_grad():
            return trainer, loss_of(trainer, policy, trainer.data_collator(rows)), ours["selection_loss"]

    trainer, theirs, ours = losses(columns)
    assert isinstance(trainer, WeightedDPOTrainer if stage == "dpo" else WeightedKTOTrainer)
    assert theirs == pytest.approx(ours, rel=1e-4)
    _, ones, _ = losses(columns | {"weight": [1.0] * 6})
    plain, of_trl, _ = losses({name: values for name, values in columns.items() if name != "weight"})
    assert not isinstance(plain, WeightedDPOTrainer | WeightedKTOTrainer)
    assert ones == pytest.approx(of_trl, rel=1e-5)
    assert abs(theirs - of_trl) > 1e-3


def test_label_smoothing_reaches_the_loss(base_folder: Path, feedback: Path, tokenizer: Any, tmp_path: Path) -> None:
    settings = parsing.parse("dpo", {**MICRO, "beta": 0.3, "label_smoothing": 0.2})
    context = RunContext(
        tmp_path, {"stage": "dpo"}, settings, {}, Reporter(None), threading.Event().is_set, tmp_path / "checkpoints"
    )
    columns, _ = pair_columns(tokenizer, open_snapshot(feedback), "train", 64)
    columns = {name: values[:6] for name, values in columns.items()}
    policy: Any = load_policy(base_folder, tokenizer)
    reference: Any = load_policy(base_folder, tokenizer)
    torch.manual_seed(3)
    with torch.no_grad():
        for tensor in policy.parameters():
            tensor += 0.05 * torch.randn_like(tensor)
    ours = HeldOutPreferences(reference, columns, settings, tokenizer.pad_token_id).figures(policy)["selection_loss"]
    trainer = make_trainer(context, policy, reference, tokenizer, columns, Hook(context))
    batch = trainer.data_collator([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    with torch.no_grad():
        assert loss_of(trainer, policy, batch) == pytest.approx(ours, rel=1e-4)


def test_held_out_figures_of_a_reward_model_count_by_weight(base_folder: Path, tokenizer: Any) -> None:
    reward = RewardModel(load_classifier(base_folder, tokenizer), tokenizer)
    gap = torch.tensor([2.0, -1.0, 0.5, -3.0])
    columns: dict[str, list[Any]] = {"row": [0, 1, 2, 3], "weight": [2.0, 0.5, 1.0, 0.5]}
    reward.score_ids = lambda rows, **_: torch.cat([gap, torch.zeros(4)])  # type: ignore[method-assign]
    figures = preference_figures(reward, {**columns, "chosen_ids": [[1]] * 4, "rejected_ids": [[2]] * 4}, [1, 1, 2, 2])
    assert figures["selection_accuracy"] == pytest.approx(3 / 4)
    assert figures["selection_accuracy_by_strength"] == {"1": pytest.approx(0.8), "2": pytest.approx(2 / 3)}
    by_hand = -(2 * log_sigmoid(2.0) + 0.5 * log_sigmoid(-1.0) + log_sigmoid(0.5) + 0.5 * log_sigmoid(-3.0)) / 4
    assert figures["selection_loss"] == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("stage", ["reward", "dpo", "kto"])
def test_a_run_on_weighted_rows_ends_well(
    stage: str, weighted: Snapshot, make_run: MakeRun, run_here: Any, base_folder: Path
) -> None:
    values = {**MICRO, "epochs": 1} if stage != "reward" else {**ONCE, "batch_size": 8, "epochs": 1, "max_length": 64}
    folder = make_run(stage, {"snapshot": weighted.path, "base_model": base_folder}, values)
    assert run_here(folder)["metrics"]["selection_loss"] > 0
