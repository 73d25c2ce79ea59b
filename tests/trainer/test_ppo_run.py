"""The stage `ppo` as a run: what it reads, what it hands back, when it stops, and that going on is exact."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import MakeRun, ask, feedback_rows, forked, progress, weights, write_snapshot

from trainer.configs import parsing
from trainer.errors import ConfigInvalid, RunDiverged

CONFIG: dict[str, Any] = {
    "iterations": 6,
    "rollout_batch": 8,
    "max_new_tokens": 16,
    "learning_rate": 0.01,
    "evaluate_every": 2,
    "samples": 2,
    "checkpoint_steps": 2,
    "checkpoint_seconds": 1000,
    "kl_budget": 0,
    "stop_on_alarm": False,
    "watched_completions": 8,
}

RunHere = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module")
def sft_folder(tmp_path_factory: pytest.TempPathFactory, base_folder: Path, tokenizer: Any) -> Path:
    """A policy that has seen the demonstrations often enough to end its answers most of the time."""
    from trainer.data.columns import encode_completions, encode_prompts
    from trainer.modeling.loading import load_policy, save_model

    rows = [row for row in feedback_rows() if row["kind"] == "demonstration"]
    prompts = encode_prompts(tokenizer, [row["prompt"] for row in rows])
    completions = encode_completions(tokenizer, [row["completion"] for row in rows])
    width = max(len(p) + len(c) for p, c in zip(prompts, completions, strict=True))
    ids, labels = torch.zeros(2, len(rows), width, dtype=torch.long)
    labels -= 100
    for n, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        both = torch.tensor(prompt + completion)
        ids[n, : len(both)] = both
        labels[n, len(prompt) : len(both)] = both[len(prompt) :]
    model = load_policy(base_folder, tokenizer)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("sft") / "model"
    save_model(folder, model, tokenizer)
    return folder


@pytest.fixture
def inputs(feedback: Path, sft_folder: Path, reward_folder: Path) -> dict[str, Path]:
    return {"snapshot": feedback, "base_model": sft_folder, "reward_model": reward_folder}


def after(last: int, number: signal.Signals) -> Callable[[], None]:
    """For a fork: the signal comes when an iteration has ended, before anything is noted of it."""

    def plant() -> None:
        from trainer.recipes import ppo

        noted = ppo.PPOMonitor.after_iteration

        def after_iteration(self: ppo.PPOMonitor, iteration: int, figures: dict[str, float]) -> None:
            if iteration == last:
                os.kill(os.getpid(), number)
            noted(self, iteration, figures)

        ppo.PPOMonitor.after_iteration = after_iteration  # type: ignore[method-assign]

    return plant


def figures(folder: Path) -> dict[int, dict[str, Any]]:
    """Figures of each iteration, without times; of one done twice, those of the last time."""
    lines = {line["step"]: line["metrics"] for line in progress(folder, "metrics")}
    return {n: {k: v for k, v in m.items() if not k.endswith("seconds")} for n, m in lines.items()}


def test_a_run_says_how_it_goes_and_makes_a_policy(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    folder = make_run("ppo", inputs, CONFIG)
    made = run_here(folder)
    assert made["ok"] and made["metrics"]["train_prompts"] == 4
    assert sorted(figures(folder)) == [1, 2, 3, 4, 5, 6]
    wanted = {"score", "kl", "entropy", "policy_loss", "value_loss", "clip_fraction", "approx_kl", "explained_variance"}
    assert wanted | {"eos_rate", "length", "grad_norm", "reward"} <= set(figures(folder)[3])
    assert {"selection_reward", "selection_kl", "selection_repetition"} <= set(figures(folder)[4])
    shown = progress(folder, "samples")
    assert [line["step"] for line in shown] == [1, 2, 4, 6]
    assert len({tuple(sample["prompt"] for sample in line["samples"]) for line in shown}) == 1
    assert weights(folder / "model").keys() == weights(inputs["base_model"]).keys()
    assert not any("critic" in name for name in weights(folder / "model"))
    assert json.loads((folder / "model" / "manifest.json").read_text())["kind"] == "policy"


@pytest.mark.parametrize("killed_at", [4, 5])
def test_20_killed_run_goes_on_exactly(
    killed_at: int, make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    """Weights, the adapted KL coefficient and every figure on the way, as if nothing had happened."""
    settings = CONFIG | {"choose_best": False, "kl_target": 0.05, "kl_gain": 0.5}
    unbroken = make_run("ppo", inputs, settings, name="unbroken")
    killed = make_run("ppo", inputs, settings, name="killed")
    made = run_here(unbroken)
    assert forked(killed, after(killed_at, signal.SIGKILL)) == -9
    assert list((killed / "checkpoints").glob("step-*"))
    went_on = run_here(killed)
    assert any("going on from step" in line["text"] for line in progress(killed, "state"))
    assert went_on["metrics"]["chosen_iteration"] == made["metrics"]["chosen_iteration"]
    one, other = weights(unbroken / "model"), weights(killed / "model")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert figures(killed) == figures(unbroken)


def test_a_run_asked_to_leave_checkpoints_and_goes_on(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    settings = CONFIG | {"choose_best": False}
    folder = make_run("ppo", inputs, settings, name="asked")
    unbroken = make_run("ppo", inputs, settings, name="unbroken")
    run_here(unbroken)
    assert forked(folder, after(3, signal.SIGTERM)) == 3
    assert not (folder / "result.json").exists()
    assert (folder / "checkpoints" / "step-12").is_dir()  # three iterations of 2 x 2 steps
    run_here(folder)
    one, other = weights(unbroken / "model"), weights(folder / "model")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_beyond_the_kl_budget_the_run_says_so_stops_and_keeps_a_policy_within(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    settings = {"learning_rate": 0.001, "iterations": 40, "kl_budget": 0.5, "evaluate_every": 1, "stop_on_alarm": True}
    folder = make_run("ppo", inputs, CONFIG | settings)
    made = run_here(folder)
    alarms = progress(folder, "alarm")
    assert "kl_budget" in {line["name"] for line in alarms}
    last = max(figures(folder))
    assert last < 40
    assert figures(folder)[last]["selection_kl"] > 0.5
    chosen = made["metrics"]["chosen_iteration"]
    assert chosen < last and figures(folder)[chosen]["selection_kl"] <= 0.5
    assert made["metrics"]["selection_kl"] <= 0.5
    assert made["metrics"]["kl_budget"] == 0.5, "what the check of the policy goes by"


def test_without_a_stated_budget_the_length_of_the_base_model_s_completions_gives_one(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    folder = make_run("ppo", inputs, CONFIG | {"iterations": 1, "kl_budget": None})
    made = run_here(folder)
    assert made["metrics"]["kl_budget"] == pytest.approx(max(3.0, figures(folder)[1]["length"] / 3))


def test_06_kl_that_cannot_be_ends_the_run(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.ppo.trainer import PPOTrainer

    honest = PPOTrainer.iteration_metrics
    monkeypatch.setattr(PPOTrainer, "iteration_metrics", lambda self: honest(self) | {"kl": -0.6})
    with pytest.raises(RunDiverged, match="cannot be negative") as ended:
        run_here(make_run("ppo", inputs, CONFIG))
    assert ended.value.step == 1


@pytest.mark.parametrize("key", ["top_p", "top_k", "min_length", "repetition_penalty"])
def test_07_what_would_make_sampling_another_distribution_cannot_be_set(key: str) -> None:
    with pytest.raises(ConfigInvalid, match=key):
        parsing.parse("ppo", {key: 1})


def test_03_a_reward_model_that_pads_with_its_end_is_refused(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path], tmp_path: Path
) -> None:
    padded = tmp_path / "reward"
    shutil.copytree(inputs["reward_model"], padded)
    settings = json.loads((padded / "tokenizer_config.json").read_text())
    (padded / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": settings["eos_token"]}))
    with pytest.raises(ConfigInvalid, match="pads with its end token"):
        run_here(make_run("ppo", inputs | {"reward_model": padded}, CONFIG))


def test_21_a_run_does_not_depend_on_what_ran_before_it(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    made = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        random.seed(noise)
        folder = make_run("ppo", inputs, CONFIG | {"iterations": 2}, name=f"after-{noise}")
        run_here(folder)
        made.append(weights(folder / "model"))
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def test_every_look_leaves_its_answers_for_a_better_judge(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    folder = make_run("ppo", inputs, CONFIG | {"iterations": 2})
    run_here(folder)
    for step in (1, 2):
        lines = [json.loads(line) for line in (folder / "looks" / f"step-{step}.jsonl").read_text().splitlines()]
        assert len(lines) == 8
        assert lines[0]["prompt"][0]["role"] == "user" and lines[0]["finish_reason"] in ("stop", "length")
        told = figures(folder)[step]
        assert sum(line["reward"] for line in lines) / 8 == pytest.approx(told["selection_score"], abs=1e-3)
        assert sum(line["kl"] for line in lines) / 8 == pytest.approx(told["selection_kl"], abs=1e-3)


def test_only_prompts_of_the_train_split_are_trained_on(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.recipes import ppo

    seen: list[int] = []
    made = ppo.PPOTrainer.__init__

    def watched(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        seen.extend(map(len, [self.prompts]))

    monkeypatch.setattr(ppo.PPOTrainer, "__init__", watched)
    prompt_rows = [{"kind": "prompt", "prompt": ask(thing)} for thing in ("sea", "sun", "moon")]
    snapshot = write_snapshot(tmp_path / "s", {"train": prompt_rows[:1], "selection": prompt_rows[1:]})
    run_here(make_run("ppo", inputs | {"snapshot": snapshot}, CONFIG | {"iterations": 1}))
    assert seen == [1]


def test_looks_tell_each_answer_with_the_prompt_that_it_answers(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path], tmp_path: Path, tokenizer: Any
) -> None:
    """A selection prompt too long to be answered is left out with its words, not with its words alone."""
    things = [{"kind": "prompt", "prompt": ask(thing)} for thing in ("sea", "sun", "moon")]
    things.insert(1, {"kind": "prompt", "prompt": ask("very " * 60 + "sea")})
    snapshot = write_snapshot(tmp_path / "s", {"train": feedback_rows(), "selection": things})
    folder = make_run("ppo", inputs | {"snapshot": snapshot}, CONFIG | {"iterations": 1, "watched_completions": 6})
    run_here(folder)
    lines = [json.loads(line) for line in (folder / "looks" / "step-1.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    asked = [line["prompt"][-1]["content"] for line in lines]
    assert sorted(set(asked)) == sorted(ask(thing)[0]["content"] for thing in ("sea", "sun", "moon"))
    assert asked[:3] == asked[3:]


def test_a_snapshot_without_prompts_lends_those_of_its_preferences(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path], tmp_path: Path
) -> None:
    rows = [row for row in feedback_rows() if row["kind"] == "preference"]
    snapshot = write_snapshot(tmp_path / "s", {"train": rows})
    made = run_here(make_run("ppo", inputs | {"snapshot": snapshot}, CONFIG | {"iterations": 1}))
    assert made["metrics"]["train_prompts"] == 4


def test_no_prompts_is_a_data_failure(make_run: MakeRun, inputs: dict[str, Path], tmp_path: Path) -> None:
    snapshot = write_snapshot(tmp_path / "s", {"selection": feedback_rows()})
    folder = make_run("ppo", inputs | {"snapshot": snapshot}, CONFIG)
    assert forked(folder) == 2
    error = json.loads((folder / "result.json").read_text())["error"]
    assert error["kind"] == "data" and "no prompts" in error["message"]


def test_a_reward_model_of_another_tokenizer_is_refused(
    make_run: MakeRun, inputs: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "reward"
    shutil.copytree(inputs["reward_model"], other)
    vocabulary = json.loads((other / "tokenizer.json").read_text())
    pieces = vocabulary["model"]["vocab"]
    last, before = sorted(pieces, key=pieces.get)[-1:-3:-1]
    pieces[last], pieces[before] = pieces[before], pieces[last]
    (other / "tokenizer.json").write_text(json.dumps(vocabulary))
    folder = make_run("ppo", inputs | {"reward_model": other}, CONFIG)
    assert forked(folder) == 2
    error = json.loads((folder / "result.json").read_text())["error"]
    assert error["kind"] == "config" and "tokenizer" in error["message"]
