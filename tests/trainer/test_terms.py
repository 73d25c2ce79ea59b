"""What a completion is scored by: each term by hand and apart, a guard that steers a policy, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import COLOURS, MakeRun, progress, write_snapshot

from trainer.configs import parsing
from trainer.configs.online import FormatTerm, GuardTerm, LengthTerm, ModelTerm, Terms
from trainer.data.columns import encode_completions, encode_prompts
from trainer.errors import ConfigInvalid
from trainer.json_types import RunRequest
from trainer.modeling.reward_model import load_reward
from trainer.modeling.reward_scoring import judge

RunHere = Callable[[Path], dict[str, Any]]
SKY = ({"role": "user", "content": "What colour is the sky?"},)
PPO = {"iterations": 3, "rollout_batch": 8, "max_new_tokens": 8, "evaluate_every": 3, "watched_completions": 4}


class Guard:
    """Says "blue" of every text with that word."""

    classes = ("blue", "other")

    def scores(self, texts: list[str]) -> list[dict[str, float]]:
        return [{"blue": 0.9, "other": 0.1} if "blue" in text else {"blue": 0.2, "other": 0.8} for text in texts]


@pytest.fixture(scope="module")
def guard_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A classifier that was hardly trained; what it says matters to no test, only that it is asked."""
    from trainer.__main__ import finish, run_stage
    from trainer.run.progress import Reporter

    more = {"kind": "classification", "scheme": "colour", "classes": sorted(COLOURS.values()), "many": False}
    rows = [{"text": f"The {t} is {c}, {n}.", "labels": [c], **more} for n in range(4) for t, c in COLOURS.items()]
    folder = tmp_path_factory.mktemp("guard")
    snapshot = write_snapshot(folder / "s", {"train": rows})
    settings = {"hidden_size": 32, "layers": 1, "heads": 2, "context_length": 32, "max_length": 32, "baseline": False}
    run: RunRequest = {"schema": 1, "stage": "classify", "seed": 0, "config": {**settings, "epochs": 1}}
    run["inputs"] = {
        name: {"path": str(path), "manifest_sha256": None}
        for name, path in (("snapshot", snapshot), ("tokenizer", tokenizer_folder))
    }
    (folder / "checkpoints").mkdir()
    finish(folder, run, 1, run_stage(folder, run, Reporter(folder / "progress.jsonl"), threading.Event()))
    return folder / "model"


def test_the_score_is_the_weighted_sum_of_the_terms_by_hand(tokenizer: Any, reward_folder: Path) -> None:
    terms = Terms(
        model=ModelTerm(2.0), guard=GuardTerm(3.0, "blue"), length=LengthTerm(0.5, 4), format=FormatTerm(1.5, r"\.$")
    )
    reward: Any = load_reward(reward_folder)
    guard: Any = Guard()
    texts = ["The sky is blue.", "Green", "  "]
    prompts = encode_prompts(tokenizer, [SKY] * 4)
    completions = [*encode_completions(tokenizer, texts), encode_completions(tokenizer, ["Blue."])[0][:-1]]
    scores = judge(terms, tokenizer, reward, guard)(prompts, completions)
    alone = reward.score_ids([p + c for p, c in zip(prompts, completions, strict=True)])
    assert torch.allclose(scores.parts["model"], 2 * alone)
    assert scores.parts["guard"].tolist() == pytest.approx([2.7, 0.6, 0.6, 0.6])
    assert scores.parts["length"].tolist() == [-0.5 * max(0, len(ids) - 4) for ids in completions]
    assert scores.parts["format"].tolist() == [1.5, 0, 0, 0]  # no stop, blank, no end token
    assert torch.allclose(scores.total, sum(scores.parts.values(), torch.zeros(4)))
    assert scores.apart().keys() == {"model", "guard", "length", "format"}


def test_a_term_that_is_null_is_not_asked(tokenizer: Any) -> None:
    scores = judge(Terms(model=None, length=LengthTerm(1.0, 0)), tokenizer)([[5]], [[6, 7]])
    assert scores.total.tolist() == [-2.0]
    assert scores.parts.keys() == {"length"}


@pytest.mark.parametrize("stage", ["ppo", "rloo"])
def test_each_term_is_logged_apart(
    stage: str,
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    base_folder: Path,
    reward_folder: Path,
    guard_folder: Path,
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder, "reward_model": reward_folder, "guard": guard_folder}
    terms = {"guard": {"weight": 2.0, "label": "blue"}, "length": {"weight": 0.1, "target": 2}}
    own = PPO if stage == "ppo" else {"steps": 2, "batch_size": 8, "max_new_tokens": 8, "samples": 0, "evaluations": 1}
    config = {**own, "terms": terms, "missing_eos_penalty": 0.5, "stop_on_alarm": False}  # eight tokens end nothing
    folder = make_run(stage, inputs, config)
    run_here(folder)
    lines = [line["metrics"] for line in progress(folder, "metrics")]
    logged = [line for line in lines if "reward_guard" in line]
    assert logged and all({"reward_model", "reward_guard", "reward_length"} <= line.keys() for line in logged)
    assert all(0 <= line["reward_guard"] <= 2 and line["reward_length"] <= 0 for line in logged)
    assert any("selection_reward_guard" in line for line in lines)


def test_terms_and_inputs_that_do_not_fit_are_refused(
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    base_folder: Path,
    reward_folder: Path,
    guard_folder: Path,
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder, "reward_model": reward_folder}
    with pytest.raises(ConfigInvalid, match="belong together"):
        run_here(make_run("ppo", inputs, {**PPO, "terms": {"guard": {"label": "blue"}}}, name="a"))
    with pytest.raises(ConfigInvalid, match="belong together"):
        run_here(make_run("ppo", {**inputs, "guard": guard_folder}, PPO, name="b"))
    with pytest.raises(ConfigInvalid, match="'safe', which the guard does not know") as refused:
        run_here(make_run("ppo", {**inputs, "guard": guard_folder}, {**PPO, "terms": {"guard": {}}}, name="c"))
    assert "black, blue" in refused.value.remedy


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"model": None}, r"ppo\.terms"),
        ({"guard": {"weights": 1}}, r"ppo\.terms\.guard: weights"),
        ({"length": {"target": -1}}, r"ppo\.terms\.length\.target"),
        ({"format": {"pattern": "("}}, r"ppo\.terms\.format\.pattern"),
        ({"length": 3}, r"ppo\.terms\.length` must be an object"),
    ],
)
def test_wrong_terms_are_refused_by_name(terms: Any, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says):
        parsing.parse("ppo", {"terms": terms})
