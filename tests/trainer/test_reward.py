"""A reward model reads one token, the last real one, and means the same alone, in a batch and after loading."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import ONCE, MakeRun, ask, progress, write_snapshot
from torch import nn

from trainer.data.columns import encode_completions, encode_prompts, preference_columns
from trainer.data.snapshot import Preference
from trainer.errors import DataUnusable, ModelCorrupt
from trainer.json_types import RunRequest
from trainer.modeling.loading import load_classifier
from trainer.modeling.passes import pad_right
from trainer.modeling.reward_model import RewardModel, calibration_error, load_reward, preference_figures, reward_gap
from trainer.recipes.reward import check_columns, shared_groups
from trainer.run.context import RunContext
from trainer.run.progress import Reporter

PROMPT = ({"role": "user", "content": "What colour is the sky?"},)
GRASS = ({"role": "user", "content": "What colour is the grass?"},)
ROWS = [[5, 9, 30], [7, 31, 40, 41, 42, 43, 12], [8, 50]]


@pytest.fixture(scope="module")
def untrained(base_folder: Path, tokenizer: Any) -> RewardModel:
    torch.manual_seed(1)
    model = load_classifier(base_folder, tokenizer)
    nn.init.normal_(model.score.weight)  # type: ignore[union-attr, arg-type]
    return RewardModel(model, tokenizer, mean=0.25, std=2.0).eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, feedback: Path, base_folder: Path) -> tuple[Path, dict[str, Any]]:
    """A run that has learned the colors: (run folder, metrics)."""
    from trainer.__main__ import finish, run_stage

    folder = tmp_path_factory.mktemp("reward")
    inputs = {"snapshot": str(feedback), "base_model": str(base_folder)}
    config = {**ONCE, "epochs": 60, "batch_size": 16, "learning_rate": 0.02, "normalise_samples": 64}
    run: RunRequest = {"schema": 1, "stage": "reward", "seed": 0, "config": config}
    run["inputs"] = {name: {"path": path, "manifest_sha256": None} for name, path in inputs.items()}
    import threading

    (folder / "checkpoints").mkdir()
    made = run_stage(folder, run, Reporter(folder / "progress.jsonl"), threading.Event())
    finish(folder, run, 1, made)
    return folder, made.metrics


def test_02_score_does_not_depend_on_padding_side_or_company(untrained: RewardModel, tokenizer: Any) -> None:
    alone = torch.cat([untrained.score_ids([row]) for row in ROWS])
    assert torch.allclose(untrained.score_ids(ROWS), alone, atol=1e-5)
    assert torch.allclose(untrained.score_ids(ROWS, batch_size=2), alone, atol=1e-5)
    for extra in (0, 3):
        width = max(map(len, ROWS)) + extra
        left = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in ROWS])
        is_token = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ROWS])
        with torch.no_grad():
            assert torch.allclose(untrained(left, is_token), alone, atol=1e-5)


def test_score_is_read_at_the_last_real_token(untrained: RewardModel) -> None:
    trunk = untrained.model.model
    with torch.no_grad():
        hidden = trunk(input_ids=torch.tensor([ROWS[1]])).last_hidden_state[0, -1]
        by_hand = (untrained.model.score(hidden) - 0.25) / 2.0  # type: ignore[operator]
    assert torch.allclose(untrained.score_ids([ROWS[1]]), by_hand, atol=1e-5)
    assert untrained.score_ids([ROWS[1]]) != untrained.score_ids([[*ROWS[1][:-1], 13]])


def test_04_training_and_serving_read_the_same_token(untrained: RewardModel, tokenizer: Any) -> None:
    """What TRL's trainer computes on its padded batch is what `raw` gives: the same ids, the same place."""
    columns = preference_columns(tokenizer, [Preference(PROMPT, "The sky is blue.", "No.", 2)], 64)
    [prompt] = encode_prompts(tokenizer, [PROMPT])
    served = [prompt + ids for ids in encode_completions(tokenizer, ["The sky is blue.", "No."])]
    assert [columns["chosen_ids"][0], columns["rejected_ids"][0]] == served
    ids, is_token = pad_right(served, tokenizer.pad_token_id)
    with torch.no_grad():
        in_training = untrained.model(input_ids=ids, attention_mask=is_token).logits.squeeze(-1)
    assert torch.allclose(in_training, untrained.score_ids(served, raw=True), atol=1e-5)


def test_loss_by_hand(
    make_run: MakeRun, feedback: Path, base_folder: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal rewards: log 2. A gap of 2 with a margin of 2: log 2 again. A gap of 2 with none: log(1 + exp(-2))."""
    from trainer.configs.parsing import parse
    from trainer.modeling.reward_trainer import make_trainer

    folder = make_run("reward", {})
    context = RunContext(
        folder=folder,
        run={"stage": "reward"},
        config=parse("reward", {"margin_scale": 2}),
        inputs={},
        report=Reporter(None),
        should_stop=lambda: False,
        checkpoints=folder,
    )
    reward = RewardModel(load_classifier(base_folder, tokenizer), tokenizer)
    columns = preference_columns(tokenizer, [Preference(PROMPT, "Blue.", "Red.", 3)], 64, 2.0)
    assert columns["margin"] == [2.0]
    none: dict[str, list[Any]] = {"chosen_ids": [], "rejected_ids": [], "margin": [], "row": []}
    trainer, _ = make_trainer(context, reward, columns, [[0]], none)
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["margin"].tolist() == [2.0]

    class Given(nn.Module):
        def __init__(self, rewards: list[float]) -> None:
            super().__init__()
            self.rewards = torch.tensor([[r] for r in rewards])

        def forward(self, **_: Any) -> Any:
            return type("Out", (), {"logits": self.rewards})

    def loss(rewards: list[float], margin: bool) -> float:
        inputs = {"attention_mask": torch.ones(2, 1), **({"margin": torch.tensor([2.0])} if margin else {})}
        found = trainer.compute_loss(Given(rewards), inputs)
        assert isinstance(found, torch.Tensor)
        return float(found)

    assert loss([0.7, 0.7], margin=False) == pytest.approx(math.log(2))
    assert loss([3.0, 1.0], margin=True) == pytest.approx(math.log(2))
    assert loss([3.0, 1.0], margin=False) == pytest.approx(math.log(1 + math.exp(-2)))


def test_it_learns_and_says_how_well(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = trained
    assert metrics["selection_accuracy"] >= 0.8
    assert metrics["train_pairs"] == 48
    assert set(metrics["selection_accuracy_by_strength"]) <= {"0", "1", "2", "3"}
    reward = load_reward(folder / "model")
    right, wrong = reward.score([ask("sky")] * 2, ["The sky is blue.", "The sky is black."]).tolist()
    assert right > wrong
    measured = [line for line in progress(folder, "metrics") if "selection_accuracy" in line["metrics"]]
    assert len(measured) == 10


def test_05_rewards_are_centred_and_scaled_once_on_samples_of_the_base(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = trained
    constants = json.loads((folder / "model" / "config.json").read_text())["touchstone"]
    assert constants["reward_mean"] == metrics["reward_mean"]
    assert constants["normalised_on"] == "samples of the base policy"
    reward = load_reward(folder / "model")
    rows = [[5, 9, 30, 31], [7, 12]]
    raw = reward.score_ids(rows, raw=True)
    assert torch.allclose(reward.score_ids(rows), (raw - metrics["reward_mean"]) / metrics["reward_std"])


def test_05_normalized_rewards_have_mean_0_and_deviation_1(
    make_run: MakeRun, run_here: Callable[[Path], dict[str, Any]], feedback: Path, base_folder: Path, tokenizer: Any
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder}
    folder = make_run("reward", inputs, {**ONCE, "epochs": 1, "batch_size": 8, "normalise_samples": 0})
    assert run_here(folder)["metrics"]["normalised_on"] == "training completions"
    from trainer.data.snapshot import open_snapshot

    rows = list(open_snapshot(feedback).rows("train", Preference))
    columns = preference_columns(tokenizer, rows, 64)
    rewards = load_reward(folder / "model").score_ids(columns["chosen_ids"] + columns["rejected_ids"])
    assert float(rewards.mean()) == pytest.approx(0, abs=1e-3)
    assert float(rewards.std()) == pytest.approx(1, abs=1e-3)


def test_folder_without_constants_is_no_reward_model(base_folder: Path) -> None:
    with pytest.raises(ModelCorrupt, match="reward_mean"):
        load_reward(base_folder)


def test_pairs_that_share_a_response_stay_together(tokenizer: Any) -> None:
    rows = [
        Preference(PROMPT, "a", "b", 1),
        Preference(PROMPT, "c", "d", 1),
        Preference(PROMPT, "b", "e", 1),
        Preference(GRASS, "a", "b", 1, count=2),
    ]
    columns = preference_columns(tokenizer, rows, 64)
    assert sorted(shared_groups(rows, columns)) == [[0, 2], [1], [3, 4]]


def test_pairs_of_the_same_text_are_refused(tokenizer: Any) -> None:
    rows = [Preference(PROMPT, "a", "a", 1)]
    with pytest.raises(DataUnusable, match="same text"):
        check_columns(rows, preference_columns(tokenizer, rows, 64), 64)


@pytest.mark.parametrize(
    ("rows", "config", "says"), [([], {}, "no preferences"), (None, {"max_length": 8}, "fits into 8 tokens")]
)
def test_nothing_to_train_on_is_a_data_error_with_a_remedy(
    rows: list[Any] | None,
    config: dict[str, Any],
    says: str,
    make_run: MakeRun,
    run_here: Callable[[Path], dict[str, Any]],
    base_folder: Path,
    feedback: Path,
    tmp_path: Path,
) -> None:
    snapshot = feedback if rows is None else write_snapshot(tmp_path / "empty", {"train": rows})
    folder = make_run("reward", {"snapshot": snapshot, "base_model": base_folder}, config)
    with pytest.raises(DataUnusable, match=says) as caught:
        run_here(folder)
    assert caught.value.remedy


def test_calibration_error_by_hand() -> None:
    """Four pairs said at 0.8 (or 0.2), half of them right: off by 0.3. Said at 0.5 sharp: nothing was claimed."""
    assert calibration_error(torch.tensor([0.8, 0.8, 0.2, 0.2])) == pytest.approx(0.3, abs=1e-6)
    assert calibration_error(torch.full((4,), 1.0)) == pytest.approx(0)


def test_a_tie_counts_a_half(untrained: RewardModel) -> None:
    same: dict[str, list[Any]] = {"chosen_ids": [[5, 6]], "rejected_ids": [[5, 6]], "margin": [0.0], "row": [0]}
    figures = preference_figures(untrained, same, [2])
    assert figures["selection_accuracy"] == 0.5
    assert figures["selection_loss"] == pytest.approx(math.log(2))
    assert figures["selection_accuracy_by_strength"] == {"2": 0.5}


def test_texts_are_scored_by_head_as_held_out_pairs_are(untrained: RewardModel, tokenizer: Any) -> None:
    """Live labels and selection pairs are read alike, so that their accuracies can be compared."""
    rows = [Preference(PROMPT, "The sky is blue.", "No.", 2), Preference(GRASS, "Green.", "The grass is red.", 0)]
    prompts = [row.prompt for row in rows]
    chosen = untrained.score_by_head(prompts, [row.chosen for row in rows])
    rejected = untrained.score_by_head(prompts, [row.rejected for row in rows])
    assert chosen.shape == (2, 1)
    gap = reward_gap(untrained, preference_columns(tokenizer, rows, 64))
    assert torch.allclose(untrained.combined(chosen) - untrained.combined(rejected), gap, atol=1e-5)
