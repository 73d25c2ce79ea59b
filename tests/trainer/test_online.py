"""RLOO and GRPO raise the reward they are given, judge what was sampled, and are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from micro import MakeRun, forked, progress, write_snapshot

from trainer.configs import parsing
from trainer.errors import ConfigInvalid, DataUnusable, NothingToLearn
from trainer.modeling.reward_scoring import Scores
from trainer.recipes.online import Rollouts, penalized, plan_rollouts, reward_function

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {
    "batch_size": 16,
    "num_generations": 4,
    "max_new_tokens": 8,
    "samples": 1,
    "evaluations": 3,
    "stop_on_alarm": False,
}


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
    judged = Scores({"model": torch.full((3,), 9.0)})
    settings: Any = SimpleNamespace(missing_eos_penalty=3.0)
    assert penalized(judged, [[7, 1], [7, 8], []], [1], settings).tolist() == [9.0, -3.0, -3.0]


def test_the_reward_model_is_given_the_ids_that_were_sampled(tokenizer: Any) -> None:
    from trainer.data.columns import encode_prompts

    seen: list[Any] = []

    def judge(prompts: Any, completions: Any) -> Scores:
        seen.extend(zip(prompts, completions, strict=True))
        return Scores({"model": torch.full((1,), 0.5), "length": torch.full((1,), -2.0)})

    logged: dict[str, float] = {}
    messages = [{"role": "user", "content": "Hi <|end|>"}]
    settings: Any = SimpleNamespace(missing_eos_penalty=3.0, num_generations=1, max_new_tokens=8, stop_on_alarm=False)
    reward = reward_function(tokenizer, judge, settings, watched(settings)[0])
    ended = [4, 5, tokenizer.eos_token_id]
    state = SimpleNamespace(global_step=3)
    assert reward([messages], [ended], log_metric=logged.__setitem__, trainer_state=state) == [-1.5]
    assert seen == [(encode_prompts(tokenizer, [tuple(messages)])[0], ended)]
    figures = {"reward_model": 0.5, "reward_length": -2.0}
    assert logged == {**figures, "rollout_eos_rate": 1.0, "flat_groups": 1.0}


def watched(settings: Any) -> tuple[Rollouts, list[str], Any]:
    """What looks at rollouts, the alarms it has sounded, and the hook that it can stop a run by."""
    alarms: list[str] = []
    report = SimpleNamespace(alarm=lambda step, name, text: alarms.append(name))
    hook = SimpleNamespace(wants_stop=False)
    return Rollouts(SimpleNamespace(config=settings, report=report), hook), alarms, hook  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rewards", "ends", "name"),
    [
        ([-3.0, -3.0, -3.0, -3.0], [False] * 4, "no_ends"),
        ([1.0, 2.0, -3.0, -3.0], [True, False, False, False], "no_ends"),
        ([1.0, 1.0, 2.0, 2.0], [True] * 4, "flat_reward"),  # apart only between prompts
    ],
)
def test_a_first_rollout_that_teaches_nothing_fails_the_run(rewards: list[float], ends: list[bool], name: str) -> None:
    settings = SimpleNamespace(num_generations=2, max_new_tokens=8, stop_on_alarm=True)
    rollouts, alarms, _ = watched(settings)
    with pytest.raises(NothingToLearn) as caught:
        rollouts.check(torch.tensor(rewards), torch.tensor(ends), 0)
    assert caught.value.remedy and alarms == [name]
    settings.stop_on_alarm = False
    rollouts.check(torch.tensor(rewards), torch.tensor(ends), 0)  # told only


def test_rollouts_without_variance_end_a_run_that_has_learned_something() -> None:
    rollouts, alarms, hook = watched(SimpleNamespace(num_generations=2, max_new_tokens=8, stop_on_alarm=True))
    ends, flat = torch.ones(4, dtype=torch.bool), torch.tensor([1.0, 1.0, 2.0, 2.0])
    apart = torch.tensor([1.0, 0.0, 2.0, 2.0])
    assert rollouts.check(apart, ends, 0) == {"rollout_eos_rate": 1.0, "flat_groups": 0.5}
    for step, rewards in enumerate((flat, flat, apart, flat, flat), start=1):
        rollouts.check(rewards, ends, step)
    assert alarms == [] and hook.wants_stop is False
    rollouts.check(flat, ends, 6)
    assert alarms == ["flat_reward"] and hook.wants_stop is True


@pytest.mark.parametrize("stage", ["rloo", "grpo", "ppo"])
def test_a_run_whose_answers_are_all_cut_does_not_succeed(
    stage: str, make_run: MakeRun, feedback: Path, base_folder: Path, reward_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder, "reward_model": reward_folder}
    sizes = {"iterations": 2, "rollout_batch": 8} if stage == "ppo" else {"steps": 2, "batch_size": 8}
    folder = make_run(stage, inputs, {**sizes, "max_new_tokens": 2, "samples": 0})
    assert forked(folder) == 2
    error = json.loads((folder / "result.json").read_text())["error"]
    assert error["kind"] == "config" and "within 2 tokens" in error["message"]
    assert "max_new_tokens" in error["remedy"]
    assert "no_ends" in [line["name"] for line in progress(folder, "alarm")]
    assert not (folder / "model").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"beta": 0.0},
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
        {"loss_type": "dapo", "scale_rewards": "batch", "clip_high": 0.28},
    ],
)
def test_grpo_as_it_is_practised_now(
    changed: dict[str, Any],
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    base_folder: Path,
    reward_folder: Path,
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder, "reward_model": reward_folder}
    folder = make_run("grpo", inputs, {**MICRO, "steps": 2, "evaluations": 1, "samples": 0, **changed})
    metrics = run_here(folder)["metrics"]
    assert metrics["steps"] == 2 and "not_measured" not in metrics
    assert metrics["selection_kl"] >= -1e-4  # measured at a weight of zero, too


def test_rollouts_hold_whole_groups_and_every_prompt_as_often() -> None:
    settings: Any = SimpleNamespace(batch_size=4, accumulate=2, num_generations=4, steps=6)
    planned = plan_rollouts(3, settings, 0, "rloo")
    assert len(planned) == 12
    assert planned[0::2] == planned[1::2]  # one for each backward of the step
    assert all(rollout[at : at + 4] == [rollout[at]] * 4 for rollout in planned for at in (0, 4))
    asked = [rollout[at] for rollout in planned[0::2] for at in (0, 4)]
    assert sorted(asked) == [0] * 4 + [1] * 4 + [2] * 4
    assert planned == plan_rollouts(3, settings, 0, "rloo")


def test_what_cannot_be_learned_is_refused(
    make_run: MakeRun, run_here: RunHere, base_folder: Path, reward_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match=r"rloo\.num_generations"):
        parsing.parse("rloo", {"batch_size": 10, "num_generations": 4})
    with pytest.raises(ConfigInvalid, match=r"grpo\.beta"):
        parsing.parse("grpo", {"beta": -0.1})
    with pytest.raises(ConfigInvalid, match=r"grpo\.loss_type"):
        parsing.parse("grpo", {"loss_type": "ppo"})
    snapshot = write_snapshot(tmp_path / "s", {"train": []})
    inputs = {"snapshot": snapshot, "base_model": base_folder, "reward_model": reward_folder}
    with pytest.raises(DataUnusable, match="no prompts"):
        run_here(make_run("rloo", inputs, {**MICRO, "steps": 1}))
