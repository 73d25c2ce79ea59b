"""Reward versions that a worker can load, for tests that score with them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feedback.models import ModelVersion, Person, Project
from tests.factories import make_model
from trainer.run.checkpoints import file_sha256

MakeReward = Callable[[], ModelVersion]


@pytest.fixture(scope="session")
def reward_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained reward model with four heads, as a run of the stage leaves it."""
    import torch

    from trainer.configs.stages import PretrainConfig
    from trainer.json_types import RunRequest
    from trainer.modeling.loading import build_model, load_classifier, save_model
    from trainer.recipes.tokenizer import train_tokenizer
    from trainer.run.checkpoints import write_manifest

    base, folder = tmp_path_factory.mktemp("base") / "model", tmp_path_factory.mktemp("reward") / "model"
    tokenizer = train_tokenizer(iter(["my router is slow"]), 300, 2)
    torch.manual_seed(0)
    shape = PretrainConfig(hidden_size=16, layers=1, heads=2, intermediate_size=32, context_length=128)
    save_model(base, build_model(shape, tokenizer), tokenizer)
    model = load_classifier(base, tokenizer, 4)
    model.config.touchstone = {"reward_mean": 0.1, "reward_std": 0.7, "head_offsets": [0.0, 0.1, 0.2, 0.3]}
    save_model(folder, model, tokenizer)
    run: RunRequest = {"run": "r", "stage": "reward", "seed": 0}
    write_manifest(folder, kind="reward", run=run, config={}, inputs={})
    return folder


@pytest.fixture
def make_reward(project: Project, ada: Person, settings: Any, reward_files: Path) -> MakeReward:
    def make() -> ModelVersion:
        version = make_model(project, ada, stage="reward")
        folder = settings.DATA_DIR / version.path
        shutil.rmtree(folder)
        shutil.copytree(reward_files, folder)
        version.metrics = {"selection_accuracy": 0.7, "selection_pairs": 200, "heads": 4}
        version.manifest_sha256 = file_sha256(folder / "manifest.json")
        version.save()
        return version

    return make
