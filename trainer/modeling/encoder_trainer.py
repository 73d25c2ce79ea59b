"""transformers' Trainer on texts of unequal length, with chance drawn for each visit of a text from the run's seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from trainer.modeling.encoders import IGNORED
from trainer.modeling.passes import pad, pad_right
from trainer.run.context import RunContext
from trainer.run.loop import Hook, common_arguments
from trainer.run.run_trainer import RunFolderTrainer
from trainer.run.seeds import stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput

POOL_BATCHES = 16  # so many batches are drawn together and sorted by length, which saves padding


class Item(TypedDict):
    """One text at one visit: its tokens, and what is learned of it (see `collate`)."""

    ids: list[int]
    labels: Any  # a token's class each, one class, or a vector of 0. and 1.


class Visits(Dataset[Item]):
    """Rows as they look at one visit: number v is row v % rows at its visit v // rows, with a generator of its own.

    A resumed run asks for the same numbers, so it sees the same noise without any state to restore.
    """

    def __init__(self, rows: int, look: Callable[[int, torch.Generator], Item], *seed: object) -> None:
        self.rows = rows
        self.look = look
        self.seed = seed

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, number: int) -> Item:
        generator = torch.Generator().manual_seed(stable_seed(*self.seed, "visit", number))
        return self.look(number % self.rows, generator)


def plan_visits(lengths: Sequence[int], batch_size: int, epochs: float, *seed: object) -> list[list[int]]:
    """Batches of visits, each row once an epoch, texts of like length together, the order of batches shuffled.

    Args:
        lengths: of each row, tokens.
        batch_size: rows in a batch, but for the last of an epoch.
        epochs: passes, > 0; a fraction ends within a pass, after one batch at least.
        seed: parts of a stable seed.
    """
    rows = len(lengths)
    planned: list[list[int]] = []
    for epoch in range(math.ceil(epochs)):
        rng = random.Random(stable_seed(*seed, "order", epoch))
        order = rng.sample(range(rows), rows)
        batches = []
        for start in range(0, rows, batch_size * POOL_BATCHES):
            pool = sorted(order[start : start + batch_size * POOL_BATCHES], key=lambda row: lengths[row])
            batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
        rng.shuffle(batches)
        kept = len(batches)
        if epochs < epoch + 1:
            kept = max(1, round(len(batches) * (epochs - epoch)))
        for batch in batches[:kept]:
            planned.append([epoch * rows + row for row in batch])
    return planned


def collate(pad_id: int) -> Callable[[list[Item]], dict[str, torch.Tensor]]:
    """Items {"ids", "labels"} as one padded batch. Labels are a list a token, one class, or a vector of 0. and 1."""

    def together(items: list[Item]) -> dict[str, torch.Tensor]:
        rows: list[list[int]] = []
        labels: list[Any] = []
        for item in items:
            rows.append(item["ids"])
            labels.append(item["labels"])
        ids, is_token = pad_right(rows, pad_id)
        per_token = isinstance(labels[0], list) and isinstance(labels[0][0], int)
        batch = {"input_ids": ids, "attention_mask": is_token}
        if per_token:
            batch["labels"] = pad(labels, IGNORED)
        else:
            batch["labels"] = torch.tensor(labels)
        return batch

    return together


def label_loss(
    outputs: SequenceClassifierOutput | MaskedLMOutput,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """Mean loss over the labels of a whole optimizer step, however it is cut into micro-batches, nats.

    Args:
        outputs: with `logits`, (B, C) or (B, T, C).
        labels: classes, (B,) or (B, T) with IGNORED outside the loss: cross-entropy. Or 0. and 1., (B, C): binary
            cross-entropy of each class on its own.
        num_items_in_batch: labels in the optimizer step, IGNORED ones not counted; None counts those at hand.
    """
    assert outputs.logits is not None
    logits = outputs.logits.float()
    if labels.is_floating_point():
        total = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    else:
        total = nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=IGNORED, reduction="sum"
        )
    if num_items_in_batch is None:
        num_items_in_batch = (labels != IGNORED).sum()
    return total / num_items_in_batch


class EncoderTrainer(RunFolderTrainer, Trainer):
    """transformers' Trainer on planned visits."""


def make_trainer(
    context: RunContext,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    visits: Visits,
    batches: list[list[int]],
    hook: Hook,
    loss: Callable[..., torch.Tensor] = label_loss,
) -> EncoderTrainer:
    """The trainer, ready to go; the run's config is an EncoderTraining. `loss` is called as `label_loss` is."""
    config = context.config
    steps = math.ceil(len(batches) / config.accumulate)
    trainer = EncoderTrainer(
        model=model,
        args=TrainingArguments(
            **common_arguments(context)
            | {
                "max_steps": steps,
                "per_device_train_batch_size": config.batch_size,
                "gradient_accumulation_steps": config.accumulate,
                "learning_rate": config.learning_rate,
                "lr_scheduler_type": "linear",
                "warmup_steps": math.ceil(config.warmup_ratio * steps),
                "weight_decay": config.weight_decay,
                "max_grad_norm": config.max_grad_norm,
            }
        ),
        train_dataset=visits,
        data_collator=collate(tokenizer.pad_token_id),
        compute_loss_func=loss,
        callbacks=[hook],
    )
    trainer.batches = batches
    return trainer
