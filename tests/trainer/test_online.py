"""RLOO and GRPO raise the reward they are given, judge what was sampled, and are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from micro import MakeRun, progress, write_snapshot

from trainer import config
from trainer.errors import ConfigInvalid, DataUnusable
from trainer.online import penalised, plan_rollouts, reward_function
from trainer.scoring import Scores

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {"batch_size": 16, "num_generations": 4, "max_new_tokens": 8, "samples": 1, "evaluations": 3}


@pytest.mark.parametrize("stage", ["rloo", "grpo"])
def test_it_runs_and_raises_the_reward(
    stage: str, make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, reward_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder, "reward_model": reward_folder}
    settings = {**MICRO, "steps": 24, "learning_rate": 0.01, "beta": 0.001, "missing_eos_penalty": 0.0}
    folder = make_run(stage, inputs, settings)
    metrics = run_here(folder)["metrics"]
    seen = [line["metrics"] for line in progress(folder, "metrics")]
    scores = [line["selection_score"] for line in seen if "selection_score" in line]
    assert len(scores) == 3
    assert scores[-1] > scores[0]
    assert metrics["selection_kl"] > 0
    assert any("reward" in line and "kl" in line for line in seen)


def test_a_completion_without_an_end_gets_the_penalty_whatever_the_model_says() -> None:
    judged, settings = Scores({"model": torch.full((3,), 9.0)}), SimpleNamespace(missing_eos_penalty=3.0)
    assert penalised(judged, [[7, 1], [7, 8], []], [1], settings).tolist() == [9.0, -3.0, -3.0]


def test_the_reward_model_is_given_the_ids_that_were_sampled(tokenizer: Any) -> None:
    from trainer.columns import encode_prompts

    seen: list[Any] = []

    def judge(prompts: Any, completions: Any) -> Scores:
        seen.extend(zip(prompts, completions, strict=True))
        return Scores({"model": torch.full((1,), 0.5), "length": torch.full((1,), -2.0)})

    logged: dict[str, float] = {}
    messages = [{"role": "user", "content": "Hi <|end|>"}]
    reward = reward_function(tokenizer, judge, SimpleNamespace(missing_eos_penalty=3.0))
    ended = [4, 5, tokenizer.eos_token_id]
    assert reward([messages], [ended], log_metric=logged.__setitem__) == [-1.5]
    assert seen == [(encode_prompts(tokenizer, [tuple(messages)])[0], ended)]
    assert logged == {"reward_model": 0.5, "reward_length": -2.0}


def test_rollouts_hold_whole_groups_and_every_prompt_as_often() -> None:
    settings = SimpleNamespace(batch_size=4, accumulate=2, num_generations=4, steps=6)
    planned = plan_rollouts(3, settings, 0, "rloo")
    assert len(planned) == 12
    assert planned[0::2] == planned[1::2]  # one for each backward of the step
    assert all(rollout[at : at + 4] == [rollout[at]] * 4 for rollout in planned for at in (0, 4))
    asked = [rollout[at] for rollout in planned[0::2] for at in (0, 4)]
    assert sorted(asked) == [0] * 4 + [1] * 4 + [2] * 4
    assert planned == plan_rollouts(3, settings, 0, "rloo")


def test_what_cannot_be_learnt_is_refused(
    make_run: MakeRun, run_here: RunHere, base_folder: Path, reward_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match=r"rloo\.num_generations"):
        config.parse("rloo", {"batch_size": 10, "num_generations": 4})
    with pytest.raises(ConfigInvalid, match=r"grpo\.beta"):
        config.parse("grpo", {"beta": 0})
    snapshot = write_snapshot(tmp_path / "s", {"train": []})
    inputs = {"snapshot": snapshot, "base_model": base_folder, "reward_model": reward_folder}
    with pytest.raises(DataUnusable, match="no prompts"):
        run_here(make_run("rloo", inputs, {**MICRO, "steps": 1}))
