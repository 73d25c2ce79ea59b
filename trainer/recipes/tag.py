"""Labels of character spans, learnt as B, I and O of tokens by an encoder, and read back as character spans.

A token belongs to a span if its characters without white space overlap it, so that a token that reaches over the end of
a span (an apostrophe, half a word) is learnt as inside. What is learnt is the likelihood of a text's whole sequence of
tags, and decoding finds the best one in which I follows B or I of its own label: see `chain`. Long texts are read in
overlapping windows, each token where it has most context on both sides. At each visit of a text some of its spans are
replaced by others of the same label, so that the words around a span are learnt and not the span by heart (Dai and
Adel 2020, "mention replacement").
Scores are of entities: start, end and label exactly as marked, as in the CoNLL shared tasks (Tjong Kim Sang and De
Meulder 2003). Beside the model stands a structured perceptron on the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import nn

from trainer.data.snapshot import Span, Spans, open_snapshot
from trainer.errors import DataUnusable, ModelCorrupt
from trainer.metrics.classification import span_figures
from trainer.modeling.encoders import (
    IGNORED,
    Encoded,
    all_classes,
    drop_tokens,
    encode_texts,
    load_encoder_tokenizer,
    logits_of,
    make_encoder,
    one_scheme,
    pad,
    room,
    windows,
)
from trainer.modeling.loading import from_folder, parameters, prepare
from trainer.modeling.lora import adapt_encoder
from trainer.modeling.tag_decoder import TagDecoder
from trainer.run.context import RunContext, StageResult
from trainer.run.progress import Sample
from trainer.run.seeds import seed_everything

OUTSIDE = "O"


class Tagger:
    """A trained tagger as it is served: `Tagger(model_folder).spans(texts)`.

    Attributes:
        classes: labels of the scheme, in its order. scheme: its name.

    Raises:
        ModelCorrupt: the folder holds no tagger made by this recipe.
    """

    def __init__(self, path: Path, batch_size: int = 64) -> None:
        from transformers import AutoModelForTokenClassification

        self.tokenizer = load_encoder_tokenizer(path)
        self.model: Any = prepare(from_folder(AutoModelForTokenClassification, path), self.tokenizer).eval()
        stored = getattr(self.model.config, "touchstone", None)
        if not isinstance(stored, dict) or "tags" not in stored:
            raise ModelCorrupt(f"{path} is not a tagger: its config.json names no tags.")
        self.tags: list[str] = list(stored["tags"])
        self.chain = TagDecoder(self.tags, stored.get("follows"))
        self.classes: list[str] = list(stored["classes"])
        self.scheme = str(stored["scheme"])
        self.max_length = int(stored["max_length"])
        self.batch_size = batch_size

    def spans(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """Spans of each text: {"start", "end", "label", "text", "score"}, by start, not overlapping.

        Offsets count Unicode code points; score is the mean probability of the span's tokens, in [0, 1].
        """
        encoded = encode_texts(self.tokenizer, texts)
        found = token_logits(self.model, encoded, self.max_length, self.tokenizer.pad_token_id, self.batch_size)
        answers = []
        for text, row, logits in zip(texts, encoded, found, strict=True):
            places = tagged_places(row)
            chosen = self.chain.decode(logits, places)
            sure = self.chain.marginals(logits, places)[range(len(chosen)), chosen].tolist()
            answers.append(
                [
                    {
                        "start": span.start,
                        "end": span.end,
                        "label": span.label,
                        "text": text[span.start : span.end],
                        "score": fmean(sure[place] for place in places if first <= place < last),
                    }
                    for span, first, last in read_spans(row, [self.tags[n] for n in chosen])
                ]
            )
        return answers


def run(context: RunContext) -> StageResult:
    """Learn the spans of the train split, or go on, and hand back a tagger."""
    from trainer.modeling.encoder_trainer import Visits, make_trainer, plan_visits
    from trainer.run.finalizing import HandingBack
    from trainer.run.loop import Hook, go, prove, restore_best

    config = context.config
    base = context.inputs.get("base_model")
    tokenizer = load_encoder_tokenizer(base or context.inputs["tokenizer"])

    context.report.state("reading the marked texts")
    snapshot = open_snapshot(context.inputs["snapshot"])
    train = one_scheme(list(snapshot.rows("train", Spans)), config.scheme)
    scheme = train[0].scheme
    splits = {
        split: [row for row in snapshot.rows(split, Spans) if row.scheme == scheme] for split in ("selection", "test")
    }
    classes = all_classes([*train, *splits["selection"], *splits["test"]])
    tags = tags_of(classes)
    seed_everything(context.seed, "tag")
    context.report.state("loading the base model" if base else "making the model")
    model: Any = make_encoder(
        "TokenClassification",
        base,
        config,
        tokenizer,
        num_labels=len(tags),
        id2label=dict(enumerate(tags)),
        label2id={name: n for n, name in enumerate(tags)},
    )
    adapt_encoder(model, config.lora, base)
    chain = model.chain = TagDecoder(tags)  # a part of the model, so that checkpoints hold it
    length = room(model, config.max_length)
    rows = [row for row in train for _ in range(row.count)]
    aligned = [align(tokenizer, row, tags) for row in rows]
    if not any(row.spans for row in rows):
        raise DataUnusable("No text to train on has a span.", remedy="Mark or import some.")
    context.report.metrics(0, 0, {"classes": len(classes), "spans_that_tokens_can_say": sayable(aligned, rows, tags)})
    pieces = [
        (row, window, labels[start : start + len(window.ids)])
        for row, (encoded, labels) in zip(rows, aligned, strict=True)
        for start, window in windows(encoded, length)
    ]
    mask_id: int = tokenizer.mask_token_id
    surfaces = spans_by_label(rows)

    def look(number: int, generator: torch.Generator) -> dict[str, Any]:
        row, window, labels = pieces[number]
        varied = swap_spans(row, surfaces, config.span_swap, generator)
        if varied is not row and len(window.ids) < length:  # a whole text
            other, other_labels = align(tokenizer, varied, tags)
            if len(other.ids) <= length:
                window, labels = other, other_labels
        return {"ids": drop_tokens(window, mask_id, config.token_dropout, generator), "labels": labels}

    held = {split: [align(tokenizer, row, tags) for row in some] for split, some in splits.items()}

    def judged(model: Any, split: str) -> dict[str, Any]:
        encoded = [row for row, _ in held[split]]
        found = token_logits(model, encoded, length, tokenizer.pad_token_id)
        given = [spans_of(row, logits, chain) for row, logits in zip(encoded, found, strict=True)]
        figures = span_figures(given, [row.spans for row in splits[split]], classes)
        return {"loss": token_loss(found, [labels for _, labels in held[split]], chain), **figures}

    def figures_of(split: str) -> dict[str, Any]:
        figures = {f"{split}_{name}": value for name, value in judged(model, split).items()}
        return figures | {f"{split}_texts": len(splits[split])}

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        count = num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum()
        return chain.nats(outputs.logits, labels) / count

    def measure(model: Any) -> dict[str, float]:
        figures = judged(model, "selection")
        return {f"selection_{name}": figures[name] for name in ("loss", "f1", "precision", "recall")}

    def sample(model: Any) -> list[Sample]:
        some = (splits["selection"] or rows)[: config.samples]
        encoded = encode_texts(tokenizer, [row.text for row in some])
        found = token_logits(model, encoded, length, tokenizer.pad_token_id)
        return [
            {"prompt": row.text, "text": marked(row.text, spans_of(one, logits, chain))}
            for row, one, logits in zip(some, encoded, found, strict=True)
        ]

    measurable = bool(splits["selection"])
    hook = Hook(
        context,
        sample=sample if config.samples else None,
        measure=measure if measurable else None,
        evaluations=config.evaluations,
        better="selection_loss" if measurable and config.choose_best else None,
    )
    lengths = [len(window.ids) for _, window, _ in pieces]
    batches = plan_visits(lengths, config.batch_size, config.epochs, context.seed, "tag")
    visits = Visits(len(pieces), look, context.seed, "tag")
    trainer = make_trainer(context, model, tokenizer, visits, batches, hook, loss)
    context.report.state("training")
    steps = go(trainer, context, hook)
    back = HandingBack(context, model, tokenizer, steps)
    best = restore_best(back, hook)
    back.metrics |= {
        "steps": steps,
        "best_step": best or steps,
        "parameters": parameters(model),
        "train_texts": len(rows),
        "class_balance": dict(
            Counter(dict.fromkeys(classes, 0)) | Counter(span.label for row in rows for span in row.spans)
        ),
        "spans_that_tokens_can_say": sayable(aligned, rows, tags),
    }
    described = {"classes": classes, "tags": tags, "follows": chain.learnt(), "scheme": scheme, "max_length": length}
    model.config.touchstone = described
    del model.chain  # what it learnt stands in the config, so that the weights are those of an ordinary encoder
    back.save()
    prove(back, hook, best)
    context.report.state("measuring")
    for split, some in splits.items():
        if some:
            back.measure(f"{split}_figures", partial(figures_of, split))
    if config.baseline and (held_out := splits["test"] or splits["selection"]):
        context.report.state("training the baseline")
        from trainer.metrics.perceptron import perceptron_spans

        back.measure("baseline", lambda: {"baseline": perceptron_spans(rows, held_out, classes, context.seed)})
    return back.result("tagger")


def tags_of(classes: Sequence[str]) -> list[str]:
    """O, then B and I of each class."""
    return [OUTSIDE, *(f"{mark}-{name}" for name in classes for mark in "BI")]


def align(tokenizer: Any, row: Spans, tags: Sequence[str]) -> tuple[Encoded, list[int]]:
    """A text's tokens and the tag of each; IGNORED at special tokens and at tokens of white space only."""
    [encoded] = encode_texts(tokenizer, [row.text])
    return encoded, tag_tokens(encoded, row.spans, tags)


def tagged_places(encoded: Encoded) -> list[int]:
    """Tokens that bear a tag: neither special nor of white space only."""
    marks = zip(encoded.offsets, encoded.is_special, strict=True)
    return [place for place, ((start, end), special) in enumerate(marks) if not special and start < end]


def spans_by_label(rows: Sequence[Spans]) -> dict[str, list[str]]:
    """What is marked with each label, as often as it is."""
    surfaces: dict[str, list[str]] = {}
    for row in rows:
        for span in row.spans:
            surfaces.setdefault(span.label, []).append(row.text[span.start : span.end])
    return surfaces


def swap_spans(row: Spans, surfaces: Mapping[str, Sequence[str]], share: float, generator: torch.Generator) -> Spans:
    """The row with a share of its spans replaced by others of their label; the row itself if none is, or some overlap.

    Args:
        surfaces: characters to draw from, by label.
    """
    spans = sorted(row.spans, key=lambda span: span.start)
    chosen = (torch.rand(len(spans), generator=generator) < share).tolist()
    if not any(chosen) or any(after.start < span.end for span, after in pairwise(spans)):
        return row
    text, at, moved = "", 0, []
    for span, swapped in zip(spans, chosen, strict=True):
        text += row.text[at : span.start]
        others = surfaces[span.label]
        piece = row.text[span.start : span.end]
        if swapped:
            piece = others[int(torch.randint(len(others), (), generator=generator))]
        moved.append(Span(len(text), len(text) + len(piece), span.label))
        text, at = text + piece, span.end
    return replace(row, text=text + row.text[at:], spans=tuple(moved))


def tag_tokens(encoded: Encoded, spans: Sequence[Span], tags: Sequence[str]) -> list[int]:
    """Tags of tokens, numbers into `tags`. Of spans that overlap one another the first, then the longest, counts."""
    number = {name: n for n, name in enumerate(tags)}
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or kept[-1].end <= span.start:
            kept.append(span)
    labels = []
    begun: set[Span] = set()
    for (start, end), special in zip(encoded.offsets, encoded.is_special, strict=True):
        if special or start == end:
            labels.append(IGNORED)
            continue
        around = next((span for span in kept if start < span.end and end > span.start), None)
        if around is None:
            labels.append(number[OUTSIDE])
        else:
            labels.append(number[f"{'I' if around in begun else 'B'}-{around.label}"])
            begun.add(around)
    return labels


def read_spans(encoded: Encoded, chosen: Sequence[str]) -> list[tuple[Span, int, int]]:
    """Character spans of a sequence of tags, with their first and last token (exclusive), by start.

    I after another label, or after O, begins a span. Tokens of white space only neither end nor lengthen one.
    """
    found: list[tuple[Span, int, int]] = []
    current: tuple[Span, int, int] | None = None
    for place, ((start, end), special, tag) in enumerate(zip(encoded.offsets, encoded.is_special, chosen, strict=True)):
        if special or start == end:
            continue
        mark, _, label = tag.partition("-")
        if current and mark == "I" and label == current[0].label:
            current = (Span(current[0].start, max(end, current[0].end), label), current[1], place + 1)
            continue
        if current:
            found.append(current)
        current = None if mark == OUTSIDE else (Span(start, end, label), place, place + 1)
    return [*found, current] if current else found


def spans_of(encoded: Encoded, logits: torch.Tensor, chain: TagDecoder) -> list[Span]:
    """Spans that logits (T, C) say."""
    chosen = [chain.tags[n] for n in chain.decode(logits, tagged_places(encoded))]
    return [span for span, _, _ in read_spans(encoded, chosen)]


def token_logits(
    model: Any, encoded: Sequence[Encoded], length: int, pad_id: int, batch_size: int | None = None
) -> list[torch.Tensor]:
    """Logits (T, C) of each whole text; where windows overlap, those from the window with more context around."""
    cut = [(number, *window) for number, row in enumerate(encoded) for window in windows(row, length)]
    found = logits_of(model, [window.ids for _, _, window in cut], pad_id, batch_size)
    whole = [torch.zeros(len(row.ids), model.config.num_labels) for row in encoded]
    margin = [torch.full((len(row.ids),), -1) for row in encoded]
    for (number, start, _), logits in zip(cut, found, strict=True):
        inside = torch.arange(len(logits))
        room_around = torch.minimum(inside, len(logits) - 1 - inside)  # to the nearer edge of the window
        if start == 0:
            room_around = len(logits) - 1 - inside  # nothing stands before the text
        if start + len(logits) == len(encoded[number].ids):
            room_around = inside if start else inside + len(logits)
        better = room_around > margin[number][start : start + len(logits)]
        whole[number][start : start + len(logits)][better] = logits[better]
        margin[number][start : start + len(logits)][better] = room_around[better]
    return whole


def token_loss(
    found: Sequence[torch.Tensor], labels: Sequence[Sequence[int]], chain: TagDecoder, batch_size: int = 256
) -> float:
    """Negative log-likelihood of the sequences of tags, nats a token that bears one."""
    device = chain.weight.device
    nats, order = 0.0, sorted(range(len(found)), key=lambda number: len(found[number]))
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            logits = nn.utils.rnn.pad_sequence([found[number] for number in numbers], batch_first=True)
            nats += float(
                chain.nats(logits.to(device), pad([labels[number] for number in numbers], IGNORED).to(device))
            )
    return nats / max(1, sum(label != IGNORED for row in labels for label in row))


def sayable(aligned: Sequence[tuple[Encoded, list[int]]], rows: Sequence[Spans], tags: Sequence[str]) -> float:
    """Share of the marked spans that come back exactly from their own tags: the ceiling the tokenizer sets."""
    right = marked_ = 0
    for (encoded, labels), row in zip(aligned, rows, strict=True):
        chosen = [OUTSIDE if label == IGNORED else tags[label] for label in labels]
        right += len({span for span, _, _ in read_spans(encoded, chosen)} & set(row.spans))
        marked_ += len(set(row.spans))
    return right / max(marked_, 1)


def marked(text: str, spans: Sequence[Span]) -> str:
    """The text with its spans as [characters: label]."""
    for span in sorted(spans, key=lambda span: -span.start):
        text = f"{text[: span.start]}[{text[span.start : span.end]}: {span.label}]{text[span.end :]}"
    return text
