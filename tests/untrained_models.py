"""Untrained models of every kind, made once in a process and put into the registry as runs would leave them."""

import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.models import ModelVersion, Person, Project
from feedback.services.data import tokenizers
from tests.factories import make_model

LABELS = ("work", "personal", "promotions")
SPANS = ("person", "place", "date")
TEXTS = ("My router is offline.", "The sky is blue.", "Meet Anna in Graz on Friday.", "I love AI")
SHAPE: dict[str, Any] = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 32, "context_length": 128}


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from trainer.recipes.tokenizer import train_tokenizer

    return train_tokenizer(iter(TEXTS * 5), 320, 2)


def _policy(folder: Path) -> str:
    from trainer.configs.stages import PretrainConfig
    from trainer.modeling.loading import build_model, save_model

    save_model(folder, build_model(PretrainConfig(**SHAPE), _tokenizer()), _tokenizer())
    return "policy"


def _reward(folder: Path) -> str:
    import torch

    from trainer.modeling.loading import load_classifier, save_model

    model: Any = load_classifier(made("pretrain"), _tokenizer())
    torch.nn.init.normal_(model.score.weight, std=0.5)
    model.config.touchstone = {"reward_mean": 0.1, "reward_std": 0.7}
    save_model(folder, model, _tokenizer())
    return "reward"


def _encoder_of(task: str, kind: str, stored: dict[str, Any], labels: int) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        from trainer.configs.encoders import MLMConfig
        from trainer.modeling.encoders import make_encoder
        from trainer.modeling.loading import save_model

        more = {"num_labels": labels} if labels else {}
        model = make_encoder(task, None, MLMConfig(**SHAPE), _tokenizer(), **more)
        if stored:
            model.config.touchstone = {**stored, "scheme": kind, "max_length": 64}
        save_model(folder, model, _tokenizer())
        return kind

    return make


def _tags() -> list[str]:
    return ["O", *(f"{mark}-{label}" for label in SPANS for mark in "BI")]


CLASSIFIER = {"classes": list(LABELS), "many": False, "temperature": 1.0}
MAKERS: dict[str, Callable[[Path], str]] = {
    "pretrain": _policy,
    "sft": _policy,
    "reward": _reward,
    "mlm": _encoder_of("MaskedLM", "encoder", {}, 0),
    "classify": _encoder_of(
        "SequenceClassification",
        "classifier",
        {"classes": list(LABELS), "many": False, "temperature": 1.0},
        len(LABELS),
    ),
    "tag": _encoder_of(
        "TokenClassification", "tagger", {"classes": list(SPANS), "tags": _tags(), "follows": None}, len(_tags())
    ),
}


@lru_cache(maxsize=8)
def made(stage: str) -> Path:
    """The folder of an untrained model of a stage, with its manifest."""
    import torch

    from trainer.run.checkpoints import write_manifest

    torch.manual_seed(0)
    folder = Path(tempfile.mkdtemp(prefix=f"untrained-{stage}-")) / "model"
    kind = MAKERS[stage](folder)
    write_manifest(folder, kind=kind, run={"run": "r", "stage": stage, "seed": 0}, config={}, inputs={})
    return folder


def register(project: Project, by: Person, stage: str, **metrics: Any) -> ModelVersion:
    """An untrained model of a stage, in the registry."""
    import json

    from trainer.run.checkpoints import file_sha256

    version = make_model(project, by, stage=stage)
    folder = Path(settings.DATA_DIR) / version.path
    shutil.rmtree(folder)
    shutil.copytree(made(stage), folder)
    version.manifest = json.loads((folder / "manifest.json").read_text())
    version.manifest_sha256 = file_sha256(folder / "manifest.json")
    version.metrics = {**version.metrics, **metrics}
    version.save()
    tokenizers.keep(folder)
    return version
