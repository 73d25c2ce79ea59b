"""Best of n: the one with the highest score, at a KL known in closed form, from seeds that nest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import MakeRun, ask

from trainer.errors import ConfigInvalid
from trainer.modeling.reward_scoring import Scores
from trainer.modeling.sampling import Drawn
from trainer.recipes.best_of_n import candidate_seed, draw_best, kl_of_best

RunHere = Callable[[Path], dict[str, Any]]


def test_kl_by_hand() -> None:
    assert kl_of_best(1) == 0
    assert kl_of_best(4) == pytest.approx(0.6362944)
    assert kl_of_best(64) == pytest.approx(3.1745081)


def test_the_highest_score_wins_but_for_one_that_was_cut() -> None:
    asked: list[tuple[int, int]] = []

    def draw(rows: list[Any], seeds: list[int]) -> list[Drawn]:
        asked.extend((row[0], seed) for row, seed in zip(rows, seeds, strict=True))
        return [Drawn([n], "length" if n == 1 else "stop") for n in range(len(rows))]

    def judge(prompts: Any, completions: Any) -> Scores:
        return Scores({"model": torch.tensor([1.0, 9.0, 2.0, 5.0, 4.0, 3.0])})

    best = draw_best(draw, judge, [[7], [8]], [70, 80], 3)
    assert [one.ids for one in best] == [[2], [3]]
    assert asked == [(7, 70), *((7, candidate_seed(70, n)) for n in (1, 2)), (8, 80)] + [
        (8, candidate_seed(80, n)) for n in (1, 2)
    ]


@pytest.fixture
def inputs(base_folder: Path, reward_folder: Path, tmp_path: Path) -> dict[str, Path]:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": ask(thing)}) + "\n" for thing in ("sky", "snow")))
    return {"base_model": base_folder, "prompts": prompts, "reward_model": reward_folder}


def test_generation_gives_the_best_of_more_a_reward_no_lower(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    rewards = []
    for n in (1, 4, 8):
        settings = {"best_of": n, "max_new_tokens": 6, "responses": 2}
        folder = make_run("generate", inputs, settings, name=f"best-{n}")
        metrics = run_here(folder)["metrics"]
        assert metrics.get("best_of_kl", 0.0) == kl_of_best(n)
        lines = [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]
        assert all(line["sampling"]["best_of"] == n for line in lines)
        # Of those that ended, the fewer are among the more.
        rewards.append([line["reward"] if line["finish_reason"] == "stop" else -99 for line in lines])
    for fewer, more in ((0, 1), (1, 2)):
        assert all(b >= a - 1e-5 for a, b in zip(rewards[fewer], rewards[more], strict=True))
    assert sum(rewards[2]) > sum(rewards[0])


def test_evaluation_of_the_best_of_n_says_what_kl_it_spends(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path], feedback: Path
) -> None:
    models = {name: inputs[name] for name in ("base_model", "reward_model")} | {"snapshot": feedback}
    made = {}
    for n in (1, 4):
        settings = {"best_of": n, "max_new_tokens": 6, "responses": 2}
        made[n] = run_here(make_run("evaluate", models, settings, name=f"best-{n}"))["metrics"]
    assert made[4]["best_of_kl"] == kl_of_best(4) and "kl" not in made[4]["policy"]
    assert made[4]["policy"]["eos_rate"] >= made[1]["policy"]["eos_rate"]


def test_without_something_to_choose_by_it_is_refused(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    models = {name: inputs[name] for name in ("base_model", "prompts")}
    with pytest.raises(ConfigInvalid, match=r"generate\.terms\.model` needs the input reward_model"):
        run_here(make_run("generate", models, {"best_of": 2, "max_new_tokens": 4}))
