"""Several heads on one trunk: fed differently, combined as told, and apart where the reward is not to be trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import ONCE, MakeRun, ask, weights

from trainer.modeling.heads import combined, heads_loss, pair_counts, spread, step_counts
from trainer.modeling.reward_model import load_reward

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {**ONCE, "epochs": 40, "batch_size": 16, "learning_rate": 0.02, "normalise_samples": 32, "evaluations": 2}


@pytest.fixture(scope="module")
def heads_folder(tmp_path_factory: pytest.TempPathFactory, reward_folder: Path, tokenizer: Any) -> Path:
    """An untrained reward model with three heads and constants as the stage writes them."""
    from trainer.modeling.loading import load_classifier, save_model

    torch.manual_seed(2)
    model: Any = load_classifier(reward_folder, tokenizer)
    model.score = torch.nn.Linear(model.score.in_features, 3, bias=False)
    model.config.num_labels = 3
    model.config.touchstone = {"reward_mean": 0.1, "reward_std": 0.5, "head_offsets": [0.3, -0.2, 0.0]}
    model.config.touchstone |= {"combine": "lower", "spread_coef": 0.5, "reward_spread": 1e-6}
    folder = tmp_path_factory.mktemp("heads") / "model"
    save_model(folder, model, tokenizer)
    return folder


def test_combinations_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])
    apart = math.sqrt((4 + 1 + 9) / 3)
    assert combined(rewards, "mean", 9.0).tolist() == [3.0, 4.0]
    assert combined(rewards, "min", 9.0).tolist() == [1.0, 4.0]
    assert combined(rewards, "lower", 0.5).tolist() == pytest.approx([3 - apart / 2, 4.0])
    assert spread(rewards).tolist() == pytest.approx([apart, 0.0])
    for how in ("mean", "min", "lower"):  # combining, then scaling, is scaling, then combining
        assert torch.allclose(combined((rewards - 1) / 2, how, 0.5), (combined(rewards, how, 0.5) - 1) / 2)


def test_loss_by_hand_and_however_the_batch_is_cut() -> None:
    """Counts 2 and 0: the second head learns nothing. Gap 1, margin 0.5: -log sigmoid(0.5), twice, of two heads."""
    loss = heads_loss(
        torch.tensor([[3.0, 9.0]]), torch.tensor([[2.0, 0.0]]), torch.tensor([[2.0, 0.0]]), torch.tensor([0.5])
    )
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-0.5)))
    chosen, rejected, counts = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(1)).abs()
    whole = heads_loss(chosen, rejected, counts)
    halves = [heads_loss(chosen[rows], rejected[rows], counts[rows]) for rows in (slice(0, 4), slice(4, 8))]
    assert torch.allclose(whole, sum(halves, torch.zeros(())) / 2)


def test_heads_are_fed_differently_and_the_same_in_every_process() -> None:
    counts = pair_counts(2000, 4, 0, "reward")
    assert torch.equal(counts, pair_counts(2000, 4, 0, "reward"))
    assert float(counts.mean()) == pytest.approx(1, abs=0.05)
    assert float((counts == 0).float().mean()) == pytest.approx(math.exp(-1), abs=0.03)
    assert float(torch.corrcoef(counts.T)[0, 1].abs()) < 0.1
    steps = torch.stack([step_counts(4, 0, step) for step in range(400)])
    assert set(steps.unique().tolist()) == {0.0, 2.0}
    assert float(steps.mean()) == pytest.approx(1, abs=0.1)
    assert torch.equal(steps[7], step_counts(4, 0, 7))


@pytest.mark.parametrize("bootstrap", ["pairs", "batches"])
def test_heads_learn_and_their_spread_is_written_down(
    bootstrap: str, make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder}
    folder = make_run("reward", inputs, {**MICRO, "heads": 3, "bootstrap": bootstrap, "combine": "min"})
    metrics = run_here(folder)["metrics"]
    assert metrics["selection_accuracy"] > 0.7
    assert metrics["heads"] == 3 and metrics["reward_spread"] > 0
    told = json.loads((folder / "model" / "config.json").read_text())["touchstone"]
    assert told["reward_spread"] == metrics["reward_spread"] and len(told["head_offsets"]) == 3
    heads = weights(folder / "model")["score.weight"]
    assert heads.shape[0] == 3 and not torch.allclose(heads[0], heads[1], atol=1e-3)
    reward = load_reward(folder / "model")
    ids = [[5, 6, 7], [8, 9]]
    assert torch.equal(reward.score_ids(ids), reward.head_rewards(ids).min(dim=1).values)


def test_generate_and_score_give_every_heads_reward(
    make_run: MakeRun, run_here: RunHere, base_folder: Path, heads_folder: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"id": 7, "prompt": ask("sky")}) + "\n")
    settings = {"max_new_tokens": 4, "responses": 3}
    folder = make_run(
        "generate", {"base_model": base_folder, "prompts": prompts, "reward_model": heads_folder}, settings
    )
    assert run_here(folder)["metrics"]["reward_spread"] > 0
    lines = [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]
    for line in lines:
        told = torch.tensor([line["reward_heads"]])
        assert line["reward"] == pytest.approx(float(combined(told, "lower", 0.5)), abs=1e-5)
        assert line["reward_spread"] == pytest.approx(float(spread(told)), abs=1e-5)

    file = tmp_path / "responses.jsonl"
    texts = ["The sky is blue.", "No."]
    file.write_text("".join(json.dumps({"id": n, "prompt": ask("sky"), "text": t}) + "\n" for n, t in enumerate(texts)))
    folder = make_run("score", {"reward_model": heads_folder, "responses": file}, name="score")
    assert run_here(folder)["metrics"]["responses"] == 2
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    served = load_reward(heads_folder).score([tuple(ask("sky"))] * 2, texts).tolist()
    assert [line["id"] for line in scores] == [0, 1]
    assert [line["reward"] for line in scores] == pytest.approx(served, abs=1e-5)
    assert all(len(line["reward_heads"]) == 3 for line in scores)
    assert not any("features" in line for line in scores)


def test_features_are_what_the_heads_read(
    make_run: MakeRun, run_here: RunHere, heads_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "responses.jsonl"
    texts = ["The sky is blue.", "My sky is green today."]
    file.write_text("".join(json.dumps({"prompt": ask("sky"), "text": text}) + "\n" for text in texts))
    inputs = {"reward_model": heads_folder, "responses": file}
    folder = make_run("score", inputs, {"features": True}, name="features")
    assert run_here(folder)["metrics"]["responses"] == 2
    told = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    reward = load_reward(heads_folder)
    features = torch.tensor([line["features"] for line in told])
    raw = features @ weights(heads_folder)["score.weight"].T - reward.offsets
    heads = (raw - reward.mean) / reward.std
    assert torch.allclose(heads, torch.tensor([line["reward_heads"] for line in told]), atol=1e-4)


def test_ppo_watches_the_spread_and_tells_where_the_heads_disagree(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, heads_folder: Path
) -> None:
    """The model's card says that the heads are usually one: whatever the policy writes, they are further apart."""
    inputs = {"snapshot": feedback, "base_model": base_folder, "reward_model": heads_folder}
    settings = {
        "iterations": 5,
        "rollout_batch": 8,
        "max_new_tokens": 6,
        "watched_completions": 4,
        "kl_budget": 0,
        "stop_on_alarm": False,
    }
    folder = make_run("ppo", inputs, settings)
    metrics = run_here(folder)["metrics"]
    assert "reward_spread" in metrics["alarms"]  # of a policy whose answers end it would stop the run
    assert metrics["reward_spread"] > 0 and metrics["reward_floor"] < metrics["score"] + 10
