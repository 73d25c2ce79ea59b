"""Every way a run can end early is a typed failure with a sentence and a remedy; what can be mended goes on instead."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import ONCE, MakeRun, feedback_rows, forked, progress, weights, write_snapshot
from safetensors.torch import load_file, save_file

from trainer.errors import OutOfMemory, RunDiverged, StartAgain
from trainer.run import microbatching
from trainer.run.run_trainer import RunFolderTrainer

RunHere = Callable[[Path], dict[str, Any]]
SFT = {"epochs": 1, "batch_size": 8, "evaluations": 1, "samples": 0, "learning_rate": 0.01}


def error_of(folder: Path) -> dict[str, Any]:
    error: dict[str, Any] = json.loads((folder / "result.json").read_text())["error"]
    assert error["message"].endswith(".") and error["remedy"].endswith(".")
    return error


# --- data, configuration, divergence ---------------------------------------------------------------------


def test_rows_whose_every_token_is_masked_are_refused(make_run: MakeRun, base_folder: Path, tmp_path: Path) -> None:
    long = {"kind": "demonstration", "prompt": [{"role": "user", "content": "sky " * 200}], "completion": "Blue."}
    snapshot = write_snapshot(tmp_path / "s", {"train": [long]})
    folder = make_run("sft", {"snapshot": snapshot, "base_model": base_folder}, SFT | {"max_length": 32})
    assert forked(folder) == 2
    assert error_of(folder)["kind"] == "data"
    assert "no demonstration has a completion left to learn from" in error_of(folder)["message"]
    assert not (folder / "model").exists()


def test_a_loss_that_is_no_number_ends_the_run_at_its_step(
    make_run: MakeRun, feedback: Path, base_folder: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(base_folder, tmp_path / "broken"))
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    folder = make_run("sft", {"snapshot": feedback, "base_model": broken}, SFT)
    assert forked(folder) == 2
    error = error_of(folder)
    assert (error["kind"], error["step"]) == ("diverged", 1)
    assert "nan at step 1" in error["message"] and "learning_rate" in error["remedy"]


def test_a_gradient_that_is_no_number_ends_the_run(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RunFolderTrainer.training_step

    def poisoned(self: Any, *args: Any) -> Any:
        loss = step(self, *args)
        next(p for p in self.model.parameters() if p.grad is not None).grad[0] = float("inf")
        return loss

    monkeypatch.setattr(RunFolderTrainer, "training_step", poisoned)
    folder = make_run("sft", {"snapshot": feedback, "base_model": base_folder}, SFT)
    with pytest.raises(RunDiverged, match="grad_norm") as caught:
        run_here(folder)
    assert caught.value.step == 1


# --- a full disk -----------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path
) -> None:
    """Without a disk of our own to fill: no file may grow beyond what a checkpoint's needs."""
    config = SFT | {"epochs": 3, "checkpoint_steps": 1}
    folder = make_run("sft", {"snapshot": feedback, "base_model": base_folder}, config)
    whole = (base_folder / "model.safetensors").stat().st_size

    def no_room() -> None:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (whole + 10_000, whole + 10_000)
        )  # the optimiser's moments need twice

    assert forked(folder, no_room) == 2
    error = error_of(folder)
    assert error["kind"] == "disk_full"
    assert "disk space" in error["remedy"]
    assert not list((folder / "checkpoints").glob("step-*")) and not (folder / "model").exists()
    assert run_here(folder)["ok"]


def test_the_result_of_a_full_disk_has_room_kept_for_it(make_run: MakeRun, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus})
    seen: list[int] = []

    def watch() -> None:
        import trainer.recipes.tokenizer

        def full(*_: object) -> None:
            (folder / "seen").write_text(str((folder / ".reserve").stat().st_size))
            raise OSError(28, "No space left on device")

        trainer.recipes.tokenizer.measure = full  # type: ignore[assignment]

    assert forked(folder, watch) == 2
    seen.append(int((folder / "seen").read_text()))
    assert seen == [65536]
    assert error_of(folder)["kind"] == "disk_full"
    assert not (folder / ".reserve").exists()


# --- memory ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A policy whose activations take far more room than its weights."""
    from trainer.configs.stages import PretrainConfig
    from trainer.modeling.loading import build_model, save_model

    torch.manual_seed(0)
    config = PretrainConfig(hidden_size=32, layers=1, heads=2, intermediate_size=8192, context_length=64)
    folder = tmp_path_factory.mktemp("wide") / "model"
    save_model(folder, build_model(config, tokenizer), tokenizer)
    return folder


M_MMAP_THRESHOLD = -3  # as in malloc.h


def limited_to(more: int) -> Callable[[], None]:
    """For a fork: no more than `more` MiB beside what this process has now.

    What this process has freed counts as had, so what no one refers to any more is given back first, and large blocks
    are asked of the system anew (mallopt M_MMAP_THRESHOLD).
    """

    def limit() -> None:
        import trainer.recipes.sft  # noqa: F401 - what is loaded is not counted

        gc.collect()
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        assert libc.mallopt(M_MMAP_THRESHOLD, 64 * 1024) == 1
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return limit


def test_memory_that_runs_out_halves_what_is_done_at_once_and_nothing_else(
    make_run: MakeRun, run_here: RunHere, wide_folder: Path, tmp_path: Path
) -> None:
    """A limit of the operating system in the child: 256 rows do not fit, 128 do, and the batch is 256 all the same."""
    rows = [row for row in feedback_rows() if row["kind"] == "demonstration"]
    snapshot = write_snapshot(tmp_path / "s", {"train": rows * 22})
    config = SFT | {"batch_size": 256, "epochs": 1}
    inputs = {"snapshot": snapshot, "base_model": wide_folder}
    free, tight = make_run("sft", inputs, config, name="free"), make_run("sft", inputs, config, name="tight")
    assert forked(tight, limited_to(900)) == 0
    (alarm,) = progress(tight, "alarm")
    assert alarm["text"] == (
        "Memory ran out with 256 rows at once. Going on with 128 at once from the start; a batch of 256 stays the same."
    )
    assert run_here(free)["metrics"]["steps"] == 2
    made = json.loads((tight / "result.json").read_text())["metrics"]
    assert (made["steps"], made["pieces"]) == (2, 2)
    one, other = weights(free / "model"), weights(tight / "model")
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5


def test_a_row_that_does_not_fit_alone_is_told_with_what_it_would_take(
    make_run: MakeRun, feedback: Path, wide_folder: Path
) -> None:
    folder = make_run("sft", {"snapshot": feedback, "base_model": wide_folder}, SFT | {"batch_size": 2})
    assert forked(folder, limited_to(2)) == 2
    error = error_of(folder)
    assert error["kind"] == "out_of_memory"
    assert "activations of one row 12.5 MiB" in error["remedy"]
    assert float(re.search(r"this machine has ([0-9.]+) [KM]iB free", error["remedy"])[1]) > 0  # type: ignore[index]
    assert len(progress(folder, "alarm")) <= 1


MICRO: dict[str, dict[str, Any]] = {
    "pretrain": {"steps": 3, "batch_size": 8, "block_size": 32, "evaluations": 1},
    "mlm": {"steps": 3, "batch_size": 8, "max_length": 32, "evaluations": 1, "samples": 0},
    "classify": {"epochs": 2, "batch_size": 8, "max_length": 32, "evaluations": 1, "samples": 0, "baseline": False},
    "sft": SFT,
    "reward": {**ONCE, "epochs": 1, "batch_size": 8, "evaluations": 1, "normalise_samples": 0, "learning_rate": 0.01},
    "dpo": {"batch_size": 8, "evaluations": 1, "samples": 0, "learning_rate": 0.01},
    "kto": {"batch_size": 8, "evaluations": 1, "samples": 0, "learning_rate": 0.01},
    "rloo": {
        "steps": 2,
        "batch_size": 8,
        "num_generations": 2,
        "max_new_tokens": 6,
        "evaluations": 1,
        "samples": 0,
        "stop_on_alarm": False,
    },
    "grpo": {
        "steps": 2,
        "batch_size": 8,
        "num_generations": 2,
        "max_new_tokens": 6,
        "evaluations": 1,
        "samples": 0,
        "stop_on_alarm": False,
    },
    "ppo": {
        "iterations": 2,
        "rollout_batch": 16,
        "micro_batch": 8,
        "max_new_tokens": 6,
        "evaluate_every": 0,
        "stop_on_alarm": False,
    },
}
SHAPE = {"hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 64, "context_length": 64}


@pytest.mark.parametrize("stage", MICRO)
def test_each_stage_goes_on_in_smaller_pieces(
    stage: str,
    make_run: MakeRun,
    run_here: RunHere,
    corpus: Path,
    feedback: Path,
    tokenizer_folder: Path,
    base_folder: Path,
    reward_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than four sequences (of pairs: eight) in a backward do not fit; what comes out is as if they did."""
    from_scratch = stage in ("pretrain", "mlm", "classify")
    texts = [
        {"kind": "classification", "text": f"{word} sky", "labels": [word], "scheme": "s", "many": False}
        for word in "ab"
    ]
    labeled = write_snapshot(tmp_path / "s", {"train": [row | {"classes": ["a", "b"]} for row in texts * 8]})
    inputs = {"snapshot": labeled if stage == "classify" else corpus if from_scratch else feedback}
    inputs |= {"tokenizer": tokenizer_folder} if from_scratch else {"base_model": base_folder}
    inputs |= {"reward_model": reward_folder} if stage in ("rloo", "grpo", "ppo") else {}
    config = MICRO[stage] | (SHAPE if from_scratch else {})
    whole, cut = make_run(stage, inputs, config, name="whole"), make_run(stage, inputs, config, name="cut")
    run_here(whole)

    most = 8 if stage in ("reward", "dpo") else 4
    largest: list[int] = []
    forward = torch.nn.Embedding.forward

    def only_so_many(self: Any, ids: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and self.weight.requires_grad and ids.dim() == 2 and ids.shape[0] > 1:
            largest.append(ids.shape[0])
            if ids.shape[0] > most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return forward(self, ids)

    monkeypatch.setattr(torch.nn.Embedding, "forward", only_so_many)
    made = run_here(cut)
    assert made["metrics"]["pieces"] == 2 and max(largest) > most
    names = [line["name"] for line in progress(cut, "alarm")]
    assert [name for name in names if name != "no_ends"] == ["out_of_memory_4"]  # six tokens end no response
    one, other = weights(whole / "model"), weights(cut / "model")
    # KTO takes its reference point from what goes through the model at once, so smaller pieces make it noisier.
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < (0.05 if stage == "kto" else 2e-4)


def test_it_stays_cut_for_the_next_attempt_and_several_processes_begin_again(tmp_path: Path) -> None:
    assert microbatching.micro_batches(tmp_path) == 1
    assert [microbatching.halve(tmp_path, 6) for _ in range(4)] == [3, 2, 1, None]
    assert microbatching.micro_batches(tmp_path) == 8
    assert microbatching.cut(list(range(6)), 4) == [[0], [1, 2], [3], [4, 5]]
    assert microbatching.cut([1], 8) == [[1]]


def test_several_processes_leave_together_when_memory_runs_out(
    make_run: MakeRun, corpus: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setenv("WORLD_SIZE", "2")
    folder = make_run("pretrain", {"snapshot": corpus, "tokenizer": corpus}, {"batch_size": 4})
    monkeypatch.setattr("trainer.__main__.open_inputs", lambda folder, inputs: {})
    monkeypatch.setattr("trainer.recipes.pretrain.run", full)
    with pytest.raises(StartAgain):
        run_here(folder)
    assert microbatching.micro_batches(folder / "checkpoints") == 2


def test_what_says_that_memory_ran_out() -> None:
    from_cuda = type("OutOfMemoryError", (RuntimeError,), {})
    assert microbatching.ran_out(MemoryError()) and microbatching.ran_out(from_cuda("CUDA out of memory."))
    behind = RuntimeError("the trainer stopped")
    behind.__cause__ = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    assert microbatching.ran_out(behind)
    assert not microbatching.ran_out(RuntimeError("shapes differ")) and not microbatching.ran_out(
        ValueError("out of memory")
    )
    assert OutOfMemory("x").kind == "out_of_memory"


# --- killed and cancelled --------------------------------------------------------------------------------


def test_canceled_while_it_loads_it_leaves_without_training(
    make_run: MakeRun, feedback: Path, base_folder: Path
) -> None:
    folder = make_run("sft", {"snapshot": feedback, "base_model": base_folder}, SFT | {"epochs": 50})

    def at_once() -> None:
        import trainer.recipes.sft

        load = trainer.recipes.sft.load_policy

        def loading(*args: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return load(*args)

        trainer.recipes.sft.load_policy = loading  # type: ignore[assignment]

    assert forked(folder, at_once) == 3
    steps = [line["step"] for line in progress(folder, "metrics")]
    assert max(steps, default=0) <= 1
    assert not (folder / "result.json").exists()
