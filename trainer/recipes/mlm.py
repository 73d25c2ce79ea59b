"""Masked language modeling of an encoder, from scratch or continued: a share of the tokens is to be guessed.

As in Devlin et al. 2019, section 3.1, without next-sentence prediction; masks are drawn anew at each visit (Liu et al.
2019). It learns from documents, and from the texts under classification and spans rows, whose labels it does not read,
so that an encoder can be pretrained on a classifier's own texts. Long texts are read in windows. What is reported is
the loss on held-out texts whose masks never change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from trainer.data.snapshot import Snapshot, open_snapshot
from trainer.errors import DataUnusable
from trainer.modeling.encoders import (
    IGNORED,
    Encoded,
    encode_texts,
    labels_counted,
    load_encoder_tokenizer,
    logits_of,
    make_encoder,
    mask_tokens,
    ordinary_tokens,
    room,
    token_ids,
    windows,
)
from trainer.modeling.loading import parameters
from trainer.modeling.passes import masked_logits, measuring, pad, pad_right
from trainer.run.context import RunContext, StageResult
from trainer.run.microbatching import in_batches, rows_at
from trainer.run.progress import Sample
from trainer.run.seeds import seed_everything, stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trainer.modeling.encoder_trainer import Item

HELD_OUT_EVERY = 20  # without texts in the selection split, one train text of so many is kept out of training
SHOWN_TOKENS = 40
SAMPLE_SHARE = 0.15

Masked = tuple[list[int], list[int]]


def run(context: RunContext) -> StageResult:
    """Train to `steps`, or go on, and hand back an encoder with its tokenizer."""
    from trainer.modeling.encoder_trainer import Visits, make_trainer, plan_visits
    from trainer.run.finalizing import RunFinalizer
    from trainer.run.loop import Hook, run_training, verify_best

    config = context.config
    base = context.inputs.get("base_model")
    tokenizer = load_encoder_tokenizer(base or context.inputs["tokenizer"])
    seed_everything(context.seed, "mlm")
    context.report.state("loading the base model" if base else "making the model")
    model = make_encoder("MaskedLM", base, config, tokenizer)

    context.report.state("reading the texts")
    train, heldout = texts(open_snapshot(context.inputs["snapshot"]))
    length = room(model, config.max_length)
    rows = in_windows(tokenizer, train, length)
    kept_out = spread(in_windows(tokenizer, heldout, length), config.heldout_documents)
    if not rows or not kept_out:
        raise DataUnusable("The texts of the snapshot are empty.", remedy="Freeze a snapshot of texts.")
    mask_id: int = tokenizer.mask_token_id
    ordinary = ordinary_tokens(tokenizer)

    def masked(row: Encoded, generator: torch.Generator, share: float = config.mask_share) -> Masked:
        return mask_tokens(row, mask_id, ordinary, share, generator)

    def visit(number: int, generator: torch.Generator) -> Item:
        ids, labels = masked(rows[number], generator)
        return {"ids": ids, "labels": labels}

    fixed = torch.Generator().manual_seed(stable_seed(context.seed, "mlm", "held out"))
    questions = [masked(row, fixed) for row in kept_out]
    sample = None
    if config.samples:
        sample = fillings(tokenizer, kept_out[: config.samples])
    hook = Hook(
        context,
        sample=sample,
        measure=lambda model: masked_figures(model, questions, tokenizer.pad_token_id),
        evaluations=config.evaluations,
    )
    wanted = config.steps * config.accumulate
    epochs = math.ceil(wanted / math.ceil(len(rows) / config.batch_size))
    lengths = list(map(len, token_ids(rows)))
    batches = plan_visits(lengths, config.batch_size, epochs, context.seed, "mlm")[:wanted]
    visits = Visits(len(rows), visit, context.seed, "mlm")
    trainer = make_trainer(context, model, tokenizer, visits, batches, hook)
    context.report.state("training")
    steps = run_training(trainer, context, hook)

    finalizer = RunFinalizer(context, model, tokenizer, steps)
    finalizer.metrics |= hook.figures_at(None) | {
        "steps": steps,
        "parameters": parameters(model),
        "train_documents": len(train),
        "train_tokens": sum(lengths),
        "epochs": wanted * config.batch_size / len(rows),
    }
    finalizer.save()
    verify_best(finalizer, hook, None)
    return finalizer.result("encoder")


def texts(snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """Texts to train on, as often as they occur, and texts held out for measuring.

    Raises:
        DataUnusable: there are too few.
    """
    train: list[str] = []
    for text, count in snapshot.texts("train"):
        train += [text] * count
    heldout = snapshot.distinct_texts("selection")
    if not heldout:
        heldout = train[::HELD_OUT_EVERY]
        del train[::HELD_OUT_EVERY]
    if not train or not heldout:
        raise DataUnusable("The snapshot has no texts to train on.", remedy="Freeze a corpus snapshot.")
    return train, heldout


def in_windows(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> list[Encoded]:
    """Texts in windows of at most `length` tokens, without those of special tokens only."""
    rows: list[Encoded] = []
    for text in encode_texts(tokenizer, texts):
        for _, window in windows(text, length, overlap=0):
            if not all(window.is_special):
                rows.append(window)
    return rows


def spread(rows: Sequence[Encoded], most: int) -> list[Encoded]:
    """At most `most` of the rows, evenly over all of them: of a book, not its first pages alone."""
    if len(rows) <= most:
        return list(rows)
    return [rows[number * len(rows) // most] for number in range(most)]


def masked_figures(model: PreTrainedModel, questions: Sequence[Masked], pad_id: int) -> dict[str, float]:
    """How well picked tokens are guessed.

    Returns:
        selection_masked_loss: nats a picked token. selection_masked_accuracy: share guessed right.
    """
    question_ids: list[list[int]] = []
    question_labels: list[list[int]] = []
    for masked_ids, expected in questions:
        question_ids.append(masked_ids)
        question_labels.append(expected)
    nats, right = torch.zeros(len(questions)), torch.zeros(len(questions))

    def apply(numbers: list[int]) -> None:
        ids, is_token = pad_right(rows_at(question_ids, numbers), pad_id)
        labels = pad(rows_at(question_labels, numbers), IGNORED)
        ids, labels, is_token = ids.to(model.device), labels.to(model.device), is_token.to(model.device)
        is_asked = labels != IGNORED
        rows = torch.tensor(numbers)[torch.nonzero(is_asked)[:, 0].cpu()]  # the question of each picked token
        nats[numbers] = right[numbers] = 0.0
        for some, logits in masked_logits(model, is_asked, input_ids=ids, attention_mask=is_token):
            truth = labels[is_asked][some]
            loss = nn.functional.cross_entropy(logits.float(), truth, reduction="none")
            nats.index_add_(0, rows[some.cpu()], loss.cpu())
            right.index_add_(0, rows[some.cpu()], (logits.argmax(-1) == truth).float().cpu())

    with measuring(model):
        in_batches(list(map(len, question_ids)), apply)
    masked = max(1, labels_counted(question_labels))
    return {
        "selection_masked_loss": float(nats.sum()) / masked,
        "selection_masked_accuracy": float(right.sum()) / masked,
    }


def fillings(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Encoded]) -> Callable[[PreTrainedModel], list[Sample]]:
    """A sampler: openings of held-out texts with every seventh token masked, and what the model puts there in [ ]."""
    shown: list[Encoded] = []
    gaps: list[set[int]] = []
    questions: list[list[int]] = []
    for whole in rows:
        row = whole.cut(0, SHOWN_TOKENS)
        gap = gaps_of(row)
        ids = list(row.ids)
        for place in gap:
            ids[place] = tokenizer.mask_token_id
        shown.append(row)
        gaps.append(gap)
        questions.append(ids)

    def sample(model: PreTrainedModel) -> list[Sample]:
        samples: list[Sample] = []
        found = logits_of(model, questions, tokenizer.pad_token_id)
        for row, gap, ids, logits in zip(shown, gaps, questions, found, strict=True):
            guesses = logits.argmax(-1).tolist()
            ordinary = row.ordinary_places()
            text = ""
            for place in ordinary:
                if place in gap:
                    text += f"[{tokenizer.decode([guesses[place]])}]"
                else:
                    text += str(tokenizer.decode([row.ids[place]]))
            prompt = str(tokenizer.decode(rows_at(ids, ordinary)))
            samples.append({"prompt": prompt, "text": text})
        return samples

    return sample


def gaps_of(row: Encoded) -> set[int]:
    """Places of a text that are masked to show what the model puts there: every seventh, or the first there is."""
    every = round(1 / SAMPLE_SHARE)
    ordinary = row.ordinary_places()
    return {place for place in ordinary if place % every == every // 2} or set(ordinary[:1])
