"""Models that a worker keeps loaded between jobs, each kind once in a process.

Every folder is verified against the hash of its version before it is loaded.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trainer.modeling.reward_model import RewardModel
    from trainer.recipes.generate import Generator

Model = TypeVar("Model")


@lru_cache(maxsize=2)  # one of a batch, and one of a talk that comes between
def generator(path: str, manifest_sha256: str) -> "Generator":
    from trainer.recipes.generate import Generator

    return Generator(settings.DATA_DIR / path, manifest_sha256)


@lru_cache(maxsize=1)
def reward_model(path: str, manifest_sha256: str) -> "RewardModel":
    from trainer.modeling.reward_model import load_reward
    from trainer.run.checkpoints import open_model

    open_model(settings.DATA_DIR / path, manifest_sha256)
    return load_reward(settings.DATA_DIR / path)


@lru_cache(maxsize=4)
def labeller(make: Callable[[Path], Model], path: str, manifest_sha256: str) -> Model:
    """A classifier or a tagger, as `make` loads it."""
    from trainer.run.checkpoints import open_model

    folder = settings.DATA_DIR / path
    open_model(folder, manifest_sha256)
    return make(folder)


@lru_cache(maxsize=1)
def encoder(path: str, manifest_sha256: str) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """An encoder with its head for hidden tokens."""
    from transformers import AutoModelForMaskedLM

    from trainer.modeling.encoders import load_encoder_tokenizer
    from trainer.modeling.loading import from_folder, prepare
    from trainer.run.checkpoints import open_model

    folder = settings.DATA_DIR / path
    open_model(folder, manifest_sha256)
    tokenizer = load_encoder_tokenizer(folder)
    return prepare(from_folder(AutoModelForMaskedLM, folder), tokenizer).eval(), tokenizer


@lru_cache(maxsize=6)  # milestones are small, and somebody moves a slider over them
def at_milestone(path: str, manifest_sha256: str, run_folder: str, step: int) -> "Generator":
    """A policy with the weights that it had at a step of its own run."""
    from trainer.modeling.weights import load_weights
    from trainer.recipes.generate import Generator
    from trainer.run.milestones import milestone

    made = Generator(settings.DATA_DIR / path, manifest_sha256)
    load_weights(made.model, milestone(settings.DATA_DIR / run_folder, step))
    return made
