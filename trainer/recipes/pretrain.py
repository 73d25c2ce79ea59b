"""Causal language modeling from scratch, or continued: documents in packed blocks, next-token cross-entropy.

Whole documents, each closed by the end token, share blocks of equal length. Unlike GPT-2 and GPT-3, tokens do not
attend across the boundary of two documents, and documents are not cut where a block ends; one longer than a block is
cut elsewhere at each pass. What is reported is bits per byte on held-out documents, all of each, which compares across
tokenizers as perplexity does not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, starmap
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from trainer.data.columns import decode_completion, decode_document, encode_documents
from trainer.data.packing import keeps_apart
from trainer.data.snapshot import Document, Snapshot, open_snapshot
from trainer.errors import DataUnusable
from trainer.modeling.loading import build_model, load_policy, load_tokenizer, parameters, prepare
from trainer.modeling.passes import continuations, counted_from, summed_nats
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.loop import Hook, common_arguments, plan_rows, run_training, verify_best
from trainer.run.milestones import MilestoneKeeper, kept_milestones
from trainer.run.progress import Sample
from trainer.run.run_trainer import RunFolderTrainer
from trainer.run.seeds import seed_everything, stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from trainer.configs.stages import PretrainConfig

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
        labels: the same, but IGNORED at the first token of each piece, which nothing precedes.
        position_ids: start anew with each piece, which also keeps documents from attending to one another.
    """

    input_ids: list[int]
    labels: list[int]
    position_ids: list[int]

    def columns(self) -> dict[str, list[int]]:
        return {"input_ids": self.input_ids, "labels": self.labels, "position_ids": self.position_ids}


Piece = tuple[int, int, int]  # row, start, end
Part = tuple[list[int], int]  # token ids, and the place of the first that counts, >= 1


class Blocks:
    """Blocks of several passes over the rows, made when requested: item n of pass p is number p x passes[0] + n.

    Args:
        rows: token ids of each document.
        plans: for each pass, the pieces of each of its blocks.
    """

    def __init__(self, rows: Sequence[list[int]], plans: Sequence[list[list[Piece]]], size: int, pad_id: int) -> None:
        self.rows, self.size, self.pad_id = rows, size, pad_id
        self.blocks = list(chain.from_iterable(plans))

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        pieces = [self.rows[row][start:end] for row, start, end in self.blocks[number]]
        return fill(pieces, self.size, self.pad_id).columns()


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
        model = load_policy(base, tokenizer)
    else:
        model = prepare(build_model(config, tokenizer), tokenizer)

    model.config.use_cache = False  # with a cache, transformers does not take positions that start anew for documents

    context.report.state("packing documents into blocks")
    train, heldout = documents(open_snapshot(context.inputs["snapshot"]))
    rows = encode_documents(tokenizer, train)
    heldout_rows = [row for row in encode_documents(tokenizer, heldout) if len(row) > 1][: config.heldout_documents]
    wanted = config.steps * config.accumulate
    alone = not keeps_apart(model)
    if alone:
        context.report.state("giving each document a block of its own: this model would read across their boundary")
    sizes = list(map(len, rows))
    plans, batches = plan_passes(sizes, config.block_size, config.batch_size, wanted, context.seed, alone=alone)
    blocks = Blocks(rows, plans, config.block_size, tokenizer.pad_token_id)

    hook = Hook(
        context,
        sample=openings(tokenizer, heldout_rows[:SAMPLES], stable_seed(context.seed, "pretrain", "samples")),
        measure=lambda model: {
            "selection_bits_per_byte": bits_per_byte(model, tokenizer, heldout_rows, context_of(model, config))
        },
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
        train_dataset=blocks,
        data_collator=stack,
        callbacks=[hook, MilestoneKeeper(context)],
    )
    trainer.batches = batches
    context.report.state("training")
    steps = run_training(trainer, context, hook)

    model.config.use_cache = True
    tokens = sum(map(len, rows))
    finalizer = RunFinalizer(context, model, tokenizer, steps)
    finalizer.metrics |= hook.figures_at(None) | {
        "steps": steps,
        "parameters": parameters(model),
        "train_documents": len(train),
        "train_tokens": tokens,
        "epochs": steps * config.accumulate / math.ceil(len(plans[0]) / config.batch_size),
        "milestones": kept_milestones(context.folder),
    }
    finalizer.save()
    verify_best(finalizer, hook, None)
    return finalizer.result()


def documents(snapshot: Snapshot) -> tuple[list[Document], list[Document]]:
    """Documents to train on, as often as they occur, and documents held out for measuring.

    Raises:
        DataUnusable: there are too few.
    """
    train: list[Document] = []
    for row in snapshot.rows("train", Document):
        train += [row] * row.count
    heldout = list(snapshot.rows("selection", Document))
    if not heldout:
        heldout = train[::HELD_OUT_EVERY]
        del train[::HELD_OUT_EVERY]
    if not train or not heldout:
        raise DataUnusable("The snapshot has no documents to train on.", remedy="Freeze a corpus snapshot.")
    return train, heldout


def context_of(model: PreTrainedModel, config: PretrainConfig) -> int:
    """Tokens that the model reads at once when it is measured: what it was made for, at most `context_length`."""
    made_for = getattr(model.config, "max_position_embeddings", None) or config.context_length
    return int(min(made_for, config.context_length))


def plan_passes(
    lengths: Sequence[int], block_size: int, batch_size: int, wanted: int, seed: int, *, alone: bool = False
) -> tuple[list[list[list[Piece]]], list[list[int]]]:
    """What each pass over the rows packs into its blocks, and the first `wanted` batches of block numbers.

    Long documents are cut at other places in each pass, so that no token is always the first of its piece, and a
    corpus of one book is not the same few blocks over and over. `alone` gives each piece a block of its own.
    """
    plans: list[list[list[Piece]]] = []
    batches: list[list[int]] = []
    first = 0
    while len(batches) < wanted:
        number = len(plans)
        phase = 0
        if number:
            phase = random.Random(stable_seed(seed, "pretrain", "phase", number)).randrange(block_size)
        plan = plan_blocks(lengths, block_size, phase, alone=alone)
        order = plan_rows(range(first, first + len(plan)), batch_size, 1, seed, "pretrain", number)
        plans.append(plan)
        batches += order
        first += len(plan)
    return plans, batches[:wanted]


def plan_blocks(lengths: Sequence[int], block_size: int, phase: int = 0, *, alone: bool = False) -> list[list[Piece]]:
    """Fill blocks with whole documents, in order; only a document longer than a block is cut, and goes on in the next.

    A document cut in two would teach its second half without what it answers, and here most documents are answers to
    something. `phase` is the length of a long document's first piece; 0 is a whole block.
    """
    blocks: list[list[Piece]] = []
    block: list[Piece] = []
    room = block_size
    for row, length in enumerate(lengths):
        starts = [*range(0, length, block_size)]
        if phase and length > block_size:
            starts = [0, *range(phase, length, block_size)]
        for start, end in pairwise([*starts, length]):
            if block and (alone or end - start > room):
                blocks.append(block)
                block, room = [], block_size
            block.append((row, start, end))
            room -= end - start
    if block:
        blocks.append(block)
    return blocks


def fill(pieces: Sequence[list[int]], block_size: int, pad_id: int) -> Block:
    """Pieces as one block. What is left of it is padding, outside the loss."""
    room = block_size - sum(map(len, pieces))
    block = Block([], [], [])
    for piece in pieces:
        block.input_ids.extend(piece)
        block.labels.extend([IGNORED, *piece[1:]])
        block.position_ids.extend(range(len(piece)))
    block.input_ids.extend([pad_id] * room)
    block.labels.extend([IGNORED] * room)
    block.position_ids.extend(range(room))
    return block


def stack(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Blocks are of one length, so a batch is a stack: each value (B, T)."""
    batch: dict[str, torch.Tensor] = {}
    for name in rows[0]:
        batch[name] = torch.tensor([row[name] for row in rows])
    return batch


def bits_per_byte(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]], context: int
) -> float:
    """Cross-entropy of held-out documents in bits, divided by the bytes of text that were predicted.

    The first token of a document is not predicted, and its bytes are not counted; neither are special tokens' bytes.
    Documents longer than `context` are read in windows that overlap by half, each token predicted once and, the first
    half window apart, from at least `context` / 2 tokens.
    """
    parts: list[Part] = []
    bytes_ = 0
    for row in rows:
        parts += read_windows(row, context)
        bytes_ += predicted_bytes(tokenizer, row)
    nats = nats_of(model, tokenizer.pad_token_id, parts)
    return nats / math.log(2) / max(bytes_, 1)


def predicted_bytes(tokenizer: PreTrainedTokenizerBase, row: Sequence[int]) -> int:
    """Bytes of a document's text but those of its first token, which nothing predicts.

    Decoding the rest alone would count a character that begins in the first token as the three bytes of U+FFFD.
    """
    return max(0, len(decode_document(tokenizer, row).encode()) - token_bytes(tokenizer, row[0]))


def token_bytes(tokenizer: PreTrainedTokenizerBase, token: int) -> int:
    """Bytes of text that a token stands for; 0 of a special one."""
    text = decode_document(tokenizer, [token])
    if "\ufffd" not in text:
        return len(text.encode())
    piece = str(tokenizer.convert_ids_to_tokens([token])[0])
    return 1 if piece.startswith("<0x") else len(piece)  # in the alphabet of byte-level tokenizers one sign is a byte


def nats_of(model: PreTrainedModel, pad_id: int, parts: Sequence[Part]) -> float:
    """Cross-entropy, nats in all, of each part's tokens from its first that counts."""
    rows = list(starmap(counted_from, parts))
    return float(summed_nats(model, rows, pad_id)[0].double().sum())


def read_windows(row: list[int], context: int) -> list[Part]:
    """A row in windows of at most `context` tokens, each with the place of its first token that none before scored."""
    windows, start, scored = [], 0, 1
    while True:
        end = min(start + context, len(row))
        windows.append((row[start:end], scored - start))
        if end == len(row):
            return windows
        start, scored = start + context // 2, end


def openings(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]], seed: int
) -> Callable[[PreTrainedModel], list[Sample]]:
    """A sampler that lets the model go on from the first tokens of held-out documents, at temperature 1."""
    starts = [row[:OPENING_TOKENS] for row in rows]

    def sample(model: PreTrainedModel) -> list[Sample]:
        written = continuations(model, starts, SAMPLE_TOKENS, seed)
        samples: list[Sample] = []
        for start, row in zip(starts, written, strict=True):
            samples.append({"prompt": str(tokenizer.decode(start)), "text": decode_completion(tokenizer, row)})
        return samples

    return sample
