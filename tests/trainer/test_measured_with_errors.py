"""An evaluation and a preflight check of a reward model take votes of unreliable annotators as training does."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from trainer.configs.stages import EvaluateConfig
from trainer.data.snapshot import Preference, Snapshot
from trainer.losses.temperatures import ERRORS, Temperatures, as_error, remembered, with_errors
from trainer.modeling.loading import load_classifier
from trainer.modeling.reward_model import RewardModel
from trainer.preflight import preflight
from trainer.preflight.report import Preflight
from trainer.recipes import reward as reward_recipe
from trainer.recipes.evaluate import judge_figures
from trainer.run.context import RunContext
from trainer.run.progress import Reporter

PROMPTS, VOTES = 10, 6  # of each prompt; the last third by somebody who is wrong 9 times of 10
WRONG = 0.9


def votes(error: float) -> list[Preference]:
    """Careful votes prefer the good text; those of the third person prefer the bad one."""
    rows = []
    for prompt in range(PROMPTS):
        asked = ({"role": "user", "content": f"What colour is number {prompt}?"},)
        for vote in range(VOTES):
            good, bad = f"It is blue {vote}.", f"Red red red {vote}."
            inverted = vote >= 4
            chosen, rejected = (bad, good) if inverted else (good, bad)
            named = f"{prompt}-{vote}"
            rows.append(Preference(asked, chosen, rejected, vote % 4, hash=named, error=error if inverted else 0.0))
    return rows


@pytest.fixture
def reward(base_folder: Path, tokenizer: Any) -> RewardModel:
    """A reward model that knows what is good."""
    made = RewardModel(load_classifier(base_folder, tokenizer), tokenizer)

    def score_ids(rows: Any, *_: Any, **__: Any) -> torch.Tensor:
        return torch.tensor([2.0 * ("blue" in tokenizer.decode(row)) for row in rows])

    made.score_ids = score_ids  # type: ignore[method-assign]
    return made


def evaluated(reward: RewardModel, rows: list[Preference], folder: Path) -> dict[str, Any]:
    report = Reporter(folder / "progress.jsonl")
    context = RunContext(
        folder, cast("Any", {"stage": "evaluate"}), EvaluateConfig(), {}, report, lambda: False, folder
    )
    return cast("dict[str, Any]", judge_figures(context, reward, rows))


def test_an_evaluation_estimates_what_careful_votes_would_show(reward: RewardModel, tmp_path: Path) -> None:
    plain, doubted = evaluated(reward, votes(0.0), tmp_path), evaluated(reward, votes(WRONG), tmp_path)
    assert plain["accuracy"] == pytest.approx(4 / 6), "inverted votes count as the model's faults"
    slope = 1 - 2 * WRONG
    by_hand = (4 + 2 * slope * (0 - WRONG)) / (4 + 2 * slope**2)
    assert doubted["accuracy"] == pytest.approx(min(1.0, by_hand))
    assert doubted["accuracy"] == 1.0 and 0.5 < doubted["accuracy_low"] < doubted["accuracy_high"] == 1.0
    right, wrong = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))
    losses = 4 * -math.log(right) + 2 * -math.log((1 - WRONG) * wrong + WRONG * right)
    assert doubted["loss"] == pytest.approx(losses / 6, rel=1e-4)
    assert doubted["calibration_error"] < plain["calibration_error"]
    assert (doubted["pairs"], doubted["prompts"]) == (plain["pairs"], plain["prompts"]) == (60, 10)
    by_strength = doubted["accuracy_by_strength"]
    assert sum(doubted["pairs_by_strength"].values()) == 60 and by_strength["3"] == 1.0


def test_each_pair_tells_the_vote_as_it_was_cast_and_its_error(reward: RewardModel, tmp_path: Path) -> None:
    evaluated(reward, votes(WRONG), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert len(lines) == PROMPTS * VOTES
    for line in lines:
        inverted = int(line["hash"].split("-")[1]) >= 4
        assert line["right"] == float(not inverted), "by this the service tells whose votes the model agrees with"
        assert line.get("error") == (WRONG if inverted else None)


@pytest.mark.parametrize(("error", "share", "blocked"), [(0.0, "66.7%", True), (WRONG, "100.0%", False)])
def test_the_preflight_check_of_the_floor_does_so_too(
    error: float, share: str, blocked: bool, reward: RewardModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.modeling.reward_model.load_reward", lambda path: reward)
    (tmp_path / "config.json").write_text("{}")
    found, config = Preflight("ppo"), SimpleNamespace(reward_floor=0.7)
    rows = cast("Snapshot", SimpleNamespace(rows=lambda split, kind: votes(error)))
    preflight.check_reward_model(found, config, tmp_path, rows)
    assert f"agrees with {share} of 60 selection pairs" in found.notes[0]
    assert [one.name for one in found.blocking] == ["reward_floor"] * blocked


@pytest.mark.parametrize(
    ("temperature", "error"), [(1.0, 0.0), (1.4, 0.0), (0.0, 0.5), (-1.0, 0.98), (-0.56, 0.795), (0.3269, 0.325)]
)
def test_a_temperature_is_read_as_an_error(temperature: float, error: float) -> None:
    assert as_error(temperature) == pytest.approx(error, abs=1e-3)


@pytest.mark.parametrize(("own", "share", "blocked"), [(True, "100.0%", False), (False, "66.7%", True)])
def test_temperatures_tell_in_their_own_snapshot_whose_votes_are_wrong(
    own: bool, share: str, blocked: bool, reward: RewardModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While too few votes are shared to estimate errors, the reward model alone knows who votes the wrong way round."""
    monkeypatch.setattr("trainer.modeling.reward_model.load_reward", lambda path: reward)
    rows = [replace(row, annotator=int(row.hash.split("-")[1]) // 2) for row in votes(0.0)]
    (tmp_path / "manifest.json").write_text('{"hash": "this one"}')
    snapshot = cast("Snapshot", SimpleNamespace(path=tmp_path, rows=lambda split, kind: rows))
    people = Temperatures([0, 1, 2])
    with torch.no_grad():
        people.raw.copy_(torch.tensor([1.2, 1.1, -0.7]))
    kept = remembered(people, snapshot)
    assert kept["errors"] == {"0": 0.0, "1": 0.0, "2": 0.86}
    if not own:
        kept["snapshot"] = "another, in which the third annotator is somebody else"
    (tmp_path / "config.json").write_text(json.dumps({"touchstone": {ERRORS: kept}}))
    found = Preflight("ppo")
    preflight.check_reward_model(found, SimpleNamespace(reward_floor=0.7), tmp_path, snapshot)
    assert f"agrees with {share} of 60 selection pairs" in found.notes[0]
    assert [one.name for one in found.blocking] == ["reward_floor"] * blocked
    measured = evaluated(reward, with_errors(rows, snapshot, tmp_path), tmp_path)
    assert measured["accuracy"] == pytest.approx(1.0 if own else 4 / 6)


@pytest.mark.parametrize(
    ("applied", "variable", "learns", "told"),
    [
        ("temperature", "", True, []),
        ("temperature", "ACCELERATE_USE_FSDP", False, ["no_temperatures"]),
        ("temperature", "ACCELERATE_USE_DEEPSPEED", False, ["no_temperatures"]),
        ("errors", "ACCELERATE_USE_FSDP", False, []),
        ("nothing", "", False, []),
    ],
)
def test_sharded_weights_learn_no_temperatures_and_say_so(
    applied: str, variable: str, learns: bool, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, "true")
    snapshot = cast("Snapshot", SimpleNamespace(manifest={"reliability": {"applied": applied}}))
    assert reward_recipe.learned_from(snapshot, Reporter(tmp_path / "progress.jsonl")) == learns
    file = tmp_path / "progress.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    assert [line["name"] for line in lines if line["kind"] == "alarm"] == told
