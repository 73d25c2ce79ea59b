"""A micro world for the trainer's tests: four things with colors, a tokenizer, a model of some 10,000 parameters.

Nothing here needs Django, a network or an accelerator. What is slow is made once a session.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from micro import ROOT, MakeRun, corpus_rows, feedback_rows, write_snapshot


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The same arithmetic in this process as in the trainers it starts."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_rounds() -> None:
    """Collections look at what this test makes alone.

    Stages collect whenever they give memory back. A round through all that the libraries hold costs more than most of
    what the stages compute here.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = corpus_rows()
    return write_snapshot(
        tmp_path_factory.mktemp("corpus") / "s", {"train": rows[:140], "selection": rows[140:]}, "corpus"
    )


@pytest.fixture(scope="session")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = feedback_rows()
    splits = {"train": rows, "selection": rows[1::5], "test": rows[2::5]}
    return write_snapshot(tmp_path_factory.mktemp("feedback") / "s", splits)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainer.recipes.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer") / "model"
    train_tokenizer((row["text"] for row in corpus_rows()), 360, 2).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Any:
    from trainer.modeling.loading import load_tokenizer

    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """An untrained policy with its tokenizer and no manifest, as a model from elsewhere would be."""
    import torch

    from trainer.configs.stages import PretrainConfig
    from trainer.modeling.loading import build_model, save_model

    torch.manual_seed(0)
    config = PretrainConfig(hidden_size=32, layers=1, heads=2, intermediate_size=64, context_length=64)
    folder = tmp_path_factory.mktemp("base") / "model"
    save_model(folder, build_model(config, tokenizer), tokenizer)
    return folder


@pytest.fixture(scope="session")
def reward_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any, base_folder: Path) -> Path:
    """An untrained reward model on the policy's trunk, with constants as the stage `reward` writes them."""
    import torch

    from trainer.modeling.loading import load_classifier, save_model

    torch.manual_seed(1)
    model = load_classifier(base_folder, tokenizer)
    torch.nn.init.normal_(cast(torch.nn.Linear, model.score).weight, std=0.5)
    model.config.touchstone = {"reward_mean": 0.1, "reward_std": 0.7}
    folder = tmp_path_factory.mktemp("reward") / "model"
    save_model(folder, model, tokenizer)
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder: make_run("sft", inputs={"snapshot": path}, config={...}, name="run", seed=0, attempt=1)."""

    def make(stage: str, inputs: Mapping[str, Path], config: Mapping[str, Any] | None = None, **more: Any) -> Path:
        folder = tmp_path / more.pop("name", "run")
        folder.mkdir(exist_ok=True)
        entries = {name: {"path": str(path), "manifest_sha256": None} for name, path in inputs.items()}
        run = {"schema": 1, "run": "micro", "attempt": 1, "stage": stage, "seed": 0, "config": dict(config or {})}
        (folder / "run.json").write_text(json.dumps({**run, "inputs": entries, **more}))
        return folder

    return make


@pytest.fixture
def run_here() -> Callable[[Path], dict[str, Any]]:
    """Carry out a run in this process, as the command does, but for lock, signals and priority. Returns result.json."""

    def carry_out(folder: Path) -> dict[str, Any]:
        from trainer.__main__ import finish, run_stage
        from trainer.run.progress import Reporter
        from trainer.run.run_folder import plan_sha256, read_run, start_afresh_if_changed

        run = read_run(folder)
        start_afresh_if_changed(folder, plan_sha256(run))
        result = run_stage(folder, run, Reporter(folder / "progress.jsonl"), threading.Event())
        finish(folder, run, 1, result)
        made: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return made

    return carry_out


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m trainer FOLDER` as a process; `before` is Python run first in it, for a kill at an exact step."""

    def start(folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
        script = f"{before}\nimport sys\nfrom trainer.__main__ import main\nsys.exit(main([{str(folder)!r}]))"
        return subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
        )

    return start
