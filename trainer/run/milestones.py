"""Weights of a run at a few of its steps, kept beside it: how a small model came to be what it is.

They are for looking at, not for going on from; `checkpoints` are for that, and go when the run ends.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.modeling.loading import sharded
from trainer.modeling.weights import own_weights, write_weights
from trainer.run.checkpoints import newest_checkpoint
from trainer.run.context import RunContext

FOLDER = "milestones"
MOST_BYTES = 64 * 2**20  # of one; larger models keep none
SHARES = (0.02, 0.1, 0.3, 0.6)  # of the run, beside its first step


class MilestoneKeeper(TrainerCallback):
    """Keeps the weights after the first step and at SHARES of the run in `milestones/step-N.safetensors`."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        if context.leads and newest_checkpoint(context.checkpoints) is None:
            shutil.rmtree(context.folder / FOLDER, ignore_errors=True)  # of a run with another plan

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **kwargs: object,
    ) -> None:
        if model is None or not self.context.leads or state.global_step not in milestone_steps(state.max_steps):
            return
        if sharded(model):
            return
        weights = own_weights(model)
        if sum(value.numel() * value.element_size() for value in weights.values()) > MOST_BYTES:
            return
        target = milestone(self.context.folder, state.global_step)
        target.parent.mkdir(exist_ok=True)
        part = target.with_suffix(".partial")
        write_weights(part, weights)
        part.replace(target)


def milestone_steps(steps: int) -> set[int]:
    """The steps of a run whose weights are kept."""
    return {1, *(max(1, round(share * steps)) for share in SHARES)} - {steps}


def milestone(folder: Path, step: int) -> Path:
    """Where the weights of a step of a run lie."""
    return folder / FOLDER / f"step-{step}.safetensors"


def kept_milestones(folder: Path) -> list[int]:
    """Steps of a run whose weights are there, in order."""
    found = []
    for path in (folder / FOLDER).glob("step-*.safetensors"):
        found.append(int(path.stem.removeprefix("step-")))
    return sorted(found)
