"""Causal language modelling from scratch, or continued: documents in packed blocks, next-token cross-entropy.

Whole documents, each closed by the end token, share blocks of equal length. Unlike GPT-2 and GPT-3, tokens do not
attend across the boundary of two documents, and documents are not cut where a block ends.
What is reported is bits per byte on held-out documents, which compares across tokenizers as perplexity does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from trainer.columns import decode_completion, encode_documents
from trainer.context import RunContext, StageResult
from trainer.errors import DataUnusable
from trainer.loop import Hook, RunFolderTrainer, common_arguments, continue_rows, go, plan_batches
from trainer.models import build_model, load_policy, load_tokenizer, parameters, prepare, save_model
from trainer.progress import Sample
from trainer.seeds import seed_everything, stable_seed
from trainer.snapshot import Document, Snapshot, open_snapshot

SAMPLES = 3
SAMPLE_TOKENS = 40
OPENING_TOKENS = 8
HELD_OUT_EVERY = 20  # without documents in the selection split, one train document of so many is kept out of training
IGNORED = -100


@dataclass(frozen=True)
class Block:
    """One packed block.

    Attributes:
        input_ids: length block_size.
        labels: the same, but IGNORED at the first token of each document, which nothing precedes.
        position_ids: start anew with each document, which also keeps documents from attending to one another.
    """

    input_ids: list[int]
    labels: list[int]
    position_ids: list[int]

    def columns(self) -> dict[str, list[int]]:
        return {"input_ids": self.input_ids, "labels": self.labels, "position_ids": self.position_ids}


class PretrainTrainer(RunFolderTrainer, Trainer):
    """transformers' Trainer on planned batches of blocks."""


def run(context: RunContext) -> StageResult:
    """Train to `steps`, or go on, and hand back a policy with its tokenizer."""
    config = context.config
    base = context.inputs.get("base_model")
    tokenizer = load_tokenizer(base or context.inputs["tokenizer"])
    seed_everything(context.seed, "pretrain")
    if base is not None:
        context.report.state("loading the base model")
        model: Any = load_policy(base, tokenizer)
    else:
        model = prepare(build_model(config, tokenizer), tokenizer)

    model.config.use_cache = False  # with a cache, transformers does not take positions that start anew for documents

    context.report.state("packing documents into blocks")
    train, heldout = documents(open_snapshot(context.inputs["snapshot"]))
    rows = encode_documents(tokenizer, train)
    blocks = pack(rows, config.block_size, tokenizer.pad_token_id)
    heldout_rows = [row[: config.context_length] for row in encode_documents(tokenizer, heldout)]
    heldout_rows = [row for row in heldout_rows if len(row) > 1][: config.heldout_documents]

    hook = Hook(
        context,
        sample=openings(tokenizer, heldout_rows[:SAMPLES], stable_seed(context.seed, "pretrain", "samples")),
        measure=lambda model: {"selection_bits_per_byte": bits_per_byte(model, tokenizer, heldout_rows)},
        evaluations=config.evaluations,
    )
    trainer = PretrainTrainer(
        model=model,
        args=TrainingArguments(
            **common_arguments(context)
            | {
                "max_steps": config.steps,
                "per_device_train_batch_size": config.batch_size,
                "gradient_accumulation_steps": config.accumulate,
                "learning_rate": config.learning_rate,
                "lr_scheduler_type": "cosine_with_min_lr",
                "lr_scheduler_kwargs": {"min_lr_rate": 0.1},
                "warmup_steps": math.ceil(config.warmup_ratio * config.steps),
                "weight_decay": config.weight_decay,
                "max_grad_norm": config.max_grad_norm,
            }
        ),
        train_dataset=[block.columns() for block in blocks],
        data_collator=stack,
        callbacks=[hook],
    )
    wanted = config.steps * config.accumulate
    per_epoch = math.ceil(len(blocks) / config.batch_size)
    trainer.batches = plan_batches(
        [[n] for n in range(len(blocks))], config.batch_size, math.ceil(wanted / per_epoch), context.seed, "pretrain"
    )[:wanted]
    context.report.state("training")
    steps = go(trainer, context, hook)

    folder = context.aside("model")
    model.config.use_cache = True
    save_model(folder, model, tokenizer)
    tokens = sum(map(len, rows))
    metrics = hook.measured[-1][1] | {
        "steps": steps,
        "parameters": parameters(model),
        "train_documents": len(train),
        "train_tokens": tokens,
        "epochs": steps * config.accumulate * config.batch_size / len(blocks),
    }
    return StageResult(metrics=metrics, model=folder, kind="policy")


def documents(snapshot: Snapshot) -> tuple[list[Document], list[Document]]:
    """Documents to train on, as often as they occur, and documents held out for measuring.

    Raises:
        DataUnusable: there are too few.
    """
    train = [row for row in snapshot.rows("train", Document) for _ in range(row.count)]
    heldout = list(snapshot.rows("selection", Document))
    if not heldout:
        heldout = train[::HELD_OUT_EVERY]
        train = [row for number, row in enumerate(train) if number % HELD_OUT_EVERY]
    if not train or not heldout:
        raise DataUnusable("The snapshot has no documents to train on.", remedy="Freeze a corpus snapshot.")
    return train, heldout


def pack(rows: Sequence[list[int]], block_size: int, pad_id: int) -> list[Block]:
    """Fill blocks with whole documents, in order; only a document longer than a block is cut, and goes on in the next.

    A document cut in two would teach its second half without what it answers, and here most documents are answers to
    something. What is left of a block that the next document does not fit into is padding, outside the loss.
    """
    pieces = [row[start : start + block_size] for row in rows for start in range(0, len(row), block_size)]
    blocks: list[Block] = []
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    for piece in [*pieces, None]:
        if ids and (piece is None or len(ids) + len(piece) > block_size):
            room = block_size - len(ids)
            blocks.append(Block(ids + [pad_id] * room, labels + [IGNORED] * room, positions + list(range(room))))
            ids, labels, positions = [], [], []
        if piece is not None:
            ids = ids + piece
            labels = [*labels, IGNORED, *piece[1:]]
            positions = positions + list(range(len(piece)))
    return blocks


def stack(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Blocks are of one length, so a batch is a stack: each value (B, T)."""
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def bits_per_byte(
    model: Any, tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]], batch_size: int = 64
) -> float:
    """Cross-entropy of held-out documents in bits, divided by the bytes of text that were predicted.

    The first token of a document is not predicted, and its bytes are not counted; neither are special tokens' bytes.
    """
    nats, bytes_ = 0.0, 0
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        width = max(map(len, batch))
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in batch])
        is_token = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch])
        ids, is_token = ids.to(model.device), is_token.to(model.device)
        logits = model(input_ids=ids, attention_mask=is_token).logits[:, :-1].float()  # (B, T-1, V)
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # (B, T-1)
        nats += float((loss * is_token[:, 1:]).sum())
        bytes_ += sum(len(decode_completion(tokenizer, row[1:]).encode()) for row in batch)
    return nats / math.log(2) / max(bytes_, 1)


def openings(tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]], seed: int) -> Callable[[Any], list[Sample]]:
    """A sampler that lets the model go on from the first tokens of held-out documents, at temperature 1."""
    starts = [row[:OPENING_TOKENS] for row in rows]

    def sample(model: Any) -> list[Sample]:
        written = continue_rows(model, tokenizer, starts, SAMPLE_TOKENS, seed)
        return [
            {"prompt": str(tokenizer.decode(start)), "text": decode_completion(tokenizer, row)}
            for start, row in zip(starts, written, strict=True)
        ]

    return sample
