"""Several processes do what one does: the same batches, the same weights. What is shipped for GPUs is understood."""

# ruff: noqa: F811 - a fixture of another file is imported by its name

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import ONCE, ROOT, MakeRun, progress, weights
from test_ppo_run import sft_folder  # noqa: F401

from trainer.errors import ConfigInvalid
from trainer.ppo.trainer import PPOTrainer
from trainer.run import launch
from trainer.run.run_trainer import no_smaller

RunHere = Callable[[Path], dict[str, Any]]
SFT = {"epochs": 3, "batch_size": 6, "evaluations": 2, "samples": 1, "learning_rate": 0.01, "checkpoint_steps": 2}
REWARD = {**ONCE, "epochs": 2, "batch_size": 7, "evaluations": 2, "normalise_samples": 8, "learning_rate": 0.01}
PPO = {"iterations": 3, "rollout_batch": 16, "minibatches": 1, "max_new_tokens": 12, "learning_rate": 0.01}
PPO |= {"evaluate_every": 0, "kl_budget": 0, "samples": 0}
LIVE = PPO | {"iterations": 10, "rollout_batch": 32, "minibatches": 2}


def farthest(one: Path, other: Path) -> float:
    a, b = weights(one / "model"), weights(other / "model")
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def result(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return made


def test_the_command_trains_with_two_processes_as_with_one(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder}
    one, two = make_run("sft", inputs, SFT, name="one"), make_run("sft", inputs, SFT, name="two")
    run_here(one)
    command = [sys.executable, "-m", "trainer", str(two), "--launch", "torchrun", "--processes", "2"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    assert result(two)["metrics"]["steps"] == result(one)["metrics"]["steps"] == 6
    assert farthest(one, two) < 1e-4
    assert not [path.name for path in two.iterdir() if "partial" in path.name]
    seen = [line["metrics"]["loss"] for line in progress(two, "metrics") if "loss" in line["metrics"]]
    assert seen[-1] < seen[0]


def test_reward_and_ppo_with_two_processes_are_as_with_one_and_ppo_learns(
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    base_folder: Path,
    sft_folder: Path,
    reward_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = {"snapshot": feedback, "base_model": base_folder}
    rollouts = {"snapshot": feedback, "base_model": sft_folder, "reward_model": reward_folder}
    reward = [make_run("reward", pairs, REWARD, name=f"reward-{number}") for number in ("one", "two")]
    ppo = [make_run("ppo", rollouts, PPO, name=f"stored-{number}") for number in ("one", "two")]
    live = make_run("ppo", rollouts, LIVE, name="live-two")
    run_here(reward[0])
    stored: dict[int, list[int]] = {}
    sample = PPOTrainer.sample

    def storing(self: Any, prompts: Any, seeds: Any) -> list[list[int]]:
        drawn = sample(self, prompts, seeds)
        stored.update(zip(seeds, drawn, strict=True))
        return drawn

    monkeypatch.setattr(PPOTrainer, "sample", storing)
    run_here(ppo[0])
    assert len(stored) == 48
    (tmp_path / "stored.json").write_text(json.dumps(stored))
    script = [str(ROOT / "tests" / "trainer" / "two_processes.py"), str(tmp_path / "stored.json")]
    ended = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *script]
        + [str(folder) for folder in (reward[1], ppo[1], live)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert farthest(*reward) < 1e-4
    assert farthest(*ppo) < 1e-4
    assert farthest(ppo[0], ppo[0].parent / "live-two") > 1e-3  # what does differ is seen
    scores = [line["metrics"]["score"] for line in progress(live, "metrics")]
    assert sum(scores[-3:]) > sum(scores[:3])


def test_a_run_with_other_processes_than_asked_for_is_refused(
    make_run: MakeRun, feedback: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate starts one process where two were requested on CPUs, and reports nothing."""
    from trainer import __main__

    monkeypatch.setattr(__main__, "limit_resources", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv(launch.REQUESTED_PROCESSES, "2")
    folder = make_run("sft", {"snapshot": feedback, "base_model": base_folder}, SFT)
    assert __main__.carry_out(folder, leads=True) == 2
    error = result(folder)["error"]
    assert error["kind"] == "config" and error["message"] == "2 processes were requested, but 1 are available."
    with pytest.raises(ConfigInvalid, match="3 processes"):
        monkeypatch.setenv(launch.REQUESTED_PROCESSES, "3")
        launch.assert_as_many(2)


def test_every_process_gets_a_row_of_every_batch() -> None:
    assert no_smaller([[1, 2, 3], [4], [5, 6]], 2) == [[1, 2, 3, 4], [5, 6]]
    assert no_smaller([[1], [2]], 1) == [[1], [2]]


# --- shipped configs -------------------------------------------------------------------------------------


def environment_of(name: str) -> dict[str, str]:
    """What `accelerate launch` gives its processes for a shipped config."""
    from accelerate.commands.launch import _validate_launch_command
    from accelerate.utils.launch import (
        prepare_deepspeed_cmd_env,
        prepare_multi_gpu_env,
        prepare_simple_launcher_cmd_env,
    )

    arguments = launch.accelerate_arguments(
        Path("/runs/1"), launch.CONFIGS / f"{name}.yaml", 1 if name == "one_gpu" else 4
    )
    arguments, defaults, _ = _validate_launch_command(arguments)
    assert arguments.module and arguments.training_script == "trainer"
    assert arguments.training_script_args == ["/runs/1"]
    assert arguments.num_processes == (1 if name == "one_gpu" else 4)
    if arguments.use_deepspeed:
        arguments.deepspeed_fields_from_accelerate_config = ",".join(
            defaults.deepspeed_config
        )  # as launch_command does
        environment: dict[str, str] = prepare_deepspeed_cmd_env(arguments)[1]
    elif name == "one_gpu":
        environment = prepare_simple_launcher_cmd_env(arguments)[1]
    else:
        environment = prepare_multi_gpu_env(arguments)
    return environment


@pytest.mark.parametrize("name", [name for name in launch.names() if name != launch.TORCHRUN])
def test_each_shipped_config_is_read_by_accelerate_and_means_what_its_name_says(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
    from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    read = load_config_from_file(str(launch.CONFIGS / f"{name}.yaml"))
    assert isinstance(read, ClusterConfig) and not read.use_cpu
    environment = environment_of(name)
    assert environment["ACCELERATE_MIXED_PRECISION"] == "bf16"
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    if name.startswith("zero"):
        plugin = DeepSpeedPlugin()
        assert plugin.zero_stage == int(name[-1])
        assert plugin.deepspeed_config["zero_optimization"]["stage"] == int(name[-1])
        assert environment["ACCELERATE_USE_DEEPSPEED"] == "true"
    elif name == "fsdp2":
        sharding = FullyShardedDataParallelPlugin()
        assert (sharding.fsdp_version, sharding.reshard_after_forward) == (2, True)
        assert sharding.state_dict_type.name == "FULL_STATE_DICT"
    else:
        assert "ACCELERATE_USE_FSDP" not in environment and "ACCELERATE_USE_DEEPSPEED" not in environment


def test_the_five_that_are_shipped() -> None:
    assert launch.names() == ["torchrun", "ddp", "fsdp2", "one_gpu", "zero2", "zero3"]
    for path in launch.CONFIGS.glob("*.yaml"):
        assert "Not run" in path.read_text().splitlines()[0]
