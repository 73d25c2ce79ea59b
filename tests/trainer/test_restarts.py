"""A reward model is trained several times with other seeds, long enough, and the best of them is handed back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from micro import ONCE, MakeRun, feedback_rows, forked, progress, weights, write_snapshot
from test_resume import same_weights

from trainer.configs.parsing import parse
from trainer.run.checkpoints import last_step
from trainer.run.progress import Reporter
from trainer.run.restarts import Ended, RestartReporter, best_of, seed_of

RunHere = Callable[[Path], dict[str, Any]]
THRICE: dict[str, Any] = {
    "epochs": 2,
    "min_steps": 0,
    "restarts": 3,
    "batch_size": 8,
    "evaluations": 4,
    "normalise_samples": 8,
    "learning_rate": 0.02,
    "max_length": 64,
}


@pytest.fixture(scope="module")
def inputs(feedback: Path, base_folder: Path) -> dict[str, Path]:
    return {"snapshot": feedback, "base_model": base_folder}


@pytest.fixture
def unbroken(make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]) -> tuple[Path, dict[str, Any]]:
    folder = make_run("reward", inputs, {**THRICE, "checkpoint_steps": 4}, name="unbroken")
    return folder, run_here(folder)["metrics"]


def dies(restart: int, step: int) -> Callable[[], None]:
    """For a fork: kill -9 at the start of the hook of one step of one restart."""

    def plant() -> None:
        import os
        import signal

        from trainer.run.loop import Hook

        hook = Hook.on_step_end

        def on_step_end(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            if self.context.checkpoints.name == f"restart-{restart}" and state.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)
            hook(self, args, state, control, **more)

        Hook.on_step_end = on_step_end  # type: ignore[assignment, method-assign]

    return plant


def test_each_restart_has_a_seed_and_the_first_has_the_runs_own() -> None:
    assert seed_of(7, 1) == 7
    assert len({seed_of(seed, number) for seed in (7, 8) for number in (1, 2, 3)}) == 6


def test_the_lowest_loss_wins_and_what_could_not_be_measured_comes_last() -> None:
    results = [Ended(number, 9, 3, {"selection_loss": loss}) for number, loss in ((1, 0.6), (2, 0.5), (3, 0.5))]
    assert best_of(results, "selection_loss").number == 2
    assert best_of([Ended(1, 9, 0, {}), *results[:1]], "selection_loss").number == 1
    assert best_of([Ended(1, 9, 0, {}), Ended(2, 9, 0, {})], "selection_loss").number == 1
    assert Ended(1, 9, 0, {}).kept_step == 9 and Ended(1, 9, 3, {}).kept_step == 3


def test_progress_of_a_restart_goes_on_behind_those_before(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    report = RestartReporter(Reporter(file), 2, 3, before=12, total=36)
    report.state("training")
    report.step(3, 12)
    report.metrics(4, 12, {"loss": 0.5})
    report.alarm(5, "name", "A sentence.")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0]["text"] == "training (restart 2 of 3)"
    assert [(line["step"], line.get("of")) for line in lines[1:]] == [(15, 36), (16, 36), (17, None)]


def test_the_best_of_three_is_handed_back_with_its_figure(
    unbroken: tuple[Path, dict[str, Any]], make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    folder, metrics = unbroken
    losses = list(metrics["restart_losses"].values())
    assert metrics["restarts"] == 3 and len(set(losses)) == 3
    assert metrics["selection_loss"] == pytest.approx(min(losses), abs=1e-5)
    assert losses[metrics["best_restart"] - 1] == min(losses)
    assert "faults" not in json.loads((folder / "model" / "manifest.json").read_text()), (
        "measured again, it is the same"
    )
    points = progress(folder, "metrics")
    steps = [line["step"] for line in points]
    assert steps == sorted(steps) and steps[-1] == metrics["steps"] and {line["of"] for line in points} == {steps[-1]}
    of_points = {point["step"]: point["metrics"].get("selection_loss") for point in points}
    measured = {step: loss for step, loss in of_points.items() if loss is not None}
    assert len(measured) == 12 and measured[metrics["best_step"]] == min(measured.values()) == min(losses)
    assert losses == [min(list(measured.values())[4 * n : 4 * n + 4]) for n in range(3)]
    said = [line["text"] for line in progress(folder, "state")]
    assert [text for text in said if text.startswith("training")] == [f"training (restart {n} of 3)" for n in (1, 2, 3)]

    alone = make_run("reward", inputs, {**THRICE, "restarts": 1}, name="alone")
    once = run_here(alone)["metrics"]
    assert once["selection_loss"] == pytest.approx(losses[0], abs=1e-5), "the first restart is the run without restarts"
    assert "restarts" not in once and same_weights(alone / "model", folder / "model") == (metrics["best_restart"] == 1)


@pytest.mark.parametrize(("restart", "step", "goes_on"), [(2, 7, "going on from step 4 (restart 2 of 3)"), (3, 1, "")])
def test_a_run_killed_in_a_restart_goes_on_with_that_restart(
    restart: int,
    step: int,
    goes_on: str,
    unbroken: tuple[Path, dict[str, Any]],
    make_run: MakeRun,
    run_here: RunHere,
    inputs: dict[str, Path],
) -> None:
    whole, made = unbroken
    killed = make_run("reward", inputs, {**THRICE, "checkpoint_steps": 4}, name="killed")
    assert forked(killed, dies(restart, step)) == -9
    checkpoints = killed / "checkpoints"
    assert len(list(checkpoints.glob("restart-*/ended.json"))) == restart - 1
    ended = [path.parent.parent.name for path in checkpoints.glob("restart-*/best-*/model.safetensors")]
    assert len({name for name in ended if name != f"restart-{restart}"}) == 1, "of the restarts that ended, one is kept"
    assert not list((checkpoints / "restart-1").glob("step-*"))
    assert last_step(checkpoints) == (4 if goes_on else 0), "it has begun, so nothing is checked again"

    before = len(progress(killed, "state"))
    assert run_here(killed)["metrics"] == made
    assert same_weights(whole / "model", killed / "model")
    said = [line["text"] for line in progress(killed, "state")][before:]
    assert not any(f"restart {number} of" in text for text in said for number in range(1, restart))
    assert not goes_on or goes_on in said
    assert not list(checkpoints.glob("restart-*"))


def test_a_run_killed_after_its_last_restart_only_finishes(
    unbroken: tuple[Path, dict[str, Any]], make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path]
) -> None:
    def plant() -> None:
        import os
        import signal

        import trainer.recipes.reward as recipe

        recipe.normalize = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]

    whole, made = unbroken
    killed = make_run("reward", inputs, {**THRICE, "checkpoint_steps": 4}, name="killed")
    assert forked(killed, plant) == -9
    before = len(progress(killed, "metrics"))
    assert run_here(killed)["metrics"] == made
    assert len(progress(killed, "metrics")) == before, "nothing was trained again"
    assert same_weights(whole / "model", killed / "model")


def test_few_pairs_are_passed_over_until_there_are_enough_steps() -> None:
    config = parse("reward", {"epochs": 2, "batch_size": 64, "min_steps": 320})
    assert config.passes(2000) == pytest.approx(10.24)
    assert config.passes(64_000) == 2.0, "many pairs have the steps by themselves"
    assert config.passes(100) == 40.0, "nobody learns from a pair a thousand times"
    assert parse("reward", {"epochs": 2, "accumulate": 2}).passes(2000) == pytest.approx(20.48), "of the optimizer"
    assert parse("reward", {"epochs": 2, "min_steps": 0}).passes(2000) == 2.0
    assert parse("reward", {"preset": "tiny"}).restarts == 1


def test_a_floor_of_steps_holds_where_a_selection_split_chooses(
    make_run: MakeRun, run_here: RunHere, inputs: dict[str, Path], base_folder: Path, tmp_path: Path
) -> None:
    settings = {**THRICE, "restarts": 1, "min_steps": 30, "epochs": 1}
    folder = make_run("reward", inputs, settings, name="floor")
    assert 30 <= run_here(folder)["metrics"]["steps"] < 40

    without = write_snapshot(tmp_path / "s", {"train": feedback_rows()})
    folder = make_run(
        "reward", {"snapshot": without, "base_model": base_folder}, {**settings, "restarts": 3}, name="without"
    )
    metrics = run_here(folder)["metrics"]
    assert metrics["steps"] < 12 and "restarts" not in metrics, "nothing tells which weights are good"
    assert weights(folder / "model")


def test_preflight_counts_every_restart(make_run: MakeRun, inputs: dict[str, Path]) -> None:
    from trainer.preflight.preflight import run_preflight
    from trainer.run.run_folder import read_run

    counted = []
    for name, settings in (("once", ONCE), ("thrice", {"min_steps": 24, "restarts": 3})):
        folder = make_run("reward", inputs, {"batch_size": 8, "epochs": 1, "max_length": 64, **settings}, name=name)
        counted.append(run_preflight(folder, read_run(folder)).seconds["steps"])
    assert counted == [6, 72]
