"""Labels of character spans, learnt as B, I and O of tokens by an encoder, and read back as character spans.

A token belongs to a span if its characters without white space overlap it, so that a token that reaches over the end of
a span (an apostrophe, half a word) is learnt as inside. Decoding finds the best sequence in which I follows B or I of
its own label. Long texts are read in overlapping windows, each token where it has most context on both sides.
Scores are of entities: start, end and label exactly as marked, as in the CoNLL shared tasks (Tjong Kim Sang and De
Meulder 2003). Beside the model stands a structured perceptron on the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainer.context import RunContext, StageResult
from trainer.encoders import (
    IGNORED,
    Encoded,
    all_classes,
    drop_tokens,
    encode_texts,
    load_encoder_tokenizer,
    logits_of,
    make_encoder,
    one_scheme,
    room,
    windows,
)
from trainer.errors import DataUnusable, ModelCorrupt
from trainer.lora import adapt_encoder
from trainer.models import from_folder, parameters, prepare, save_model
from trainer.progress import Sample
from trainer.scores import span_figures
from trainer.seeds import seed_everything
from trainer.snapshot import Span, Spans, open_snapshot

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
        told = getattr(self.model.config, "touchstone", None)
        if not isinstance(told, dict) or "tags" not in told:
            raise ModelCorrupt(f"{path} is not a tagger: its config.json names no tags.")
        self.tags: list[str] = list(told["tags"])
        self.classes: list[str] = list(told["classes"])
        self.scheme = str(told["scheme"])
        self.max_length = int(told["max_length"])
        self.batch_size = batch_size

    def spans(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """Spans of each text: {"start", "end", "label", "text", "score"}, by start, not overlapping.

        Offsets count Unicode code points; score is the mean probability of the span's tokens, in [0, 1].
        """
        encoded = encode_texts(self.tokenizer, texts)
        found = token_logits(self.model, encoded, self.max_length, self.tokenizer.pad_token_id, self.batch_size)
        answers = []
        for text, row, logits in zip(texts, encoded, found, strict=True):
            chosen = decode(logits, self.tags, row.is_special)
            sure = torch.softmax(logits, -1)[range(len(chosen)), chosen].tolist()
            answers.append(
                [
                    {
                        "start": span.start,
                        "end": span.end,
                        "label": span.label,
                        "text": text[span.start : span.end],
                        "score": sum(sure[first:last]) / (last - first),
                    }
                    for span, first, last in read_spans(row, [self.tags[n] for n in chosen])
                ]
            )
        return answers


def run(context: RunContext) -> StageResult:
    """Learn the spans of the train split, or go on, and hand back a tagger."""
    from trainer.encoder_trainer import Visits, make_trainer, plan_visits
    from trainer.loop import Hook, go, load_best

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
    length = room(model, config.max_length)
    rows = [row for row in train for _ in range(row.count)]
    aligned = [align(tokenizer, row, tags) for row in rows]
    if not any(row.spans for row in rows):
        raise DataUnusable("No text to train on has a span.", remedy="Mark or import some.")
    context.report.metrics(0, 0, {"classes": len(classes), "spans_that_tokens_can_say": sayable(aligned, rows, tags)})
    pieces = [
        (window, labels[start : start + len(window.ids)])
        for encoded, labels in aligned
        for start, window in windows(encoded, length)
    ]
    mask_id: int = tokenizer.mask_token_id

    def look(number: int, generator: torch.Generator) -> dict[str, Any]:
        window, labels = pieces[number]
        return {"ids": drop_tokens(window, mask_id, config.token_dropout, generator), "labels": labels}

    held = {split: [align(tokenizer, row, tags) for row in some] for split, some in splits.items()}

    def judged(model: Any, split: str) -> dict[str, Any]:
        encoded = [row for row, _ in held[split]]
        found = token_logits(model, encoded, length, tokenizer.pad_token_id)
        given = [spans_of(row, logits, tags) for row, logits in zip(encoded, found, strict=True)]
        figures = span_figures(given, [row.spans for row in splits[split]], classes)
        return {"loss": token_loss(found, [labels for _, labels in held[split]]), **figures}

    def measure(model: Any) -> dict[str, float]:
        figures = judged(model, "selection")
        return {f"selection_{name}": figures[name] for name in ("loss", "f1", "precision", "recall")}

    def sample(model: Any) -> list[Sample]:
        some = (splits["selection"] or rows)[: config.samples]
        encoded = encode_texts(tokenizer, [row.text for row in some])
        found = token_logits(model, encoded, length, tokenizer.pad_token_id)
        return [
            {"prompt": row.text, "text": marked(row.text, spans_of(one, logits, tags))}
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
    lengths = [len(window.ids) for window, _ in pieces]
    batches = plan_visits(lengths, config.batch_size, config.epochs, context.seed, "tag")
    visits = Visits(len(pieces), look, context.seed, "tag")
    trainer = make_trainer(context, model, tokenizer, visits, batches, hook)
    context.report.state("training")
    steps = go(trainer, context, hook)
    best = load_best(context, hook, model)

    context.report.state("measuring")
    metrics: dict[str, Any] = {
        "steps": steps,
        "best_step": best or steps,
        "parameters": parameters(model),
        "train_texts": len(rows),
        "class_balance": dict(
            Counter(dict.fromkeys(classes, 0)) | Counter(span.label for row in rows for span in row.spans)
        ),
        "spans_that_tokens_can_say": sayable(aligned, rows, tags),
    }
    for split, some in splits.items():
        if some:
            figures = judged(model, split)
            metrics |= {f"{split}_{name}": value for name, value in figures.items()} | {f"{split}_texts": len(some)}
    if config.baseline and (asked := splits["test"] or splits["selection"]):
        context.report.state("training the baseline")
        from trainer.perceptron import perceptron_spans

        metrics["baseline"] = perceptron_spans(rows, asked, classes, context.seed)
    model.config.touchstone = {"classes": classes, "tags": tags, "scheme": scheme, "max_length": length}
    folder = context.aside("model")
    save_model(folder, model, tokenizer)
    return StageResult(metrics=metrics, model=folder, kind="tagger")


def tags_of(classes: Sequence[str]) -> list[str]:
    """O, then B and I of each class."""
    return [OUTSIDE, *(f"{mark}-{name}" for name in classes for mark in "BI")]


def align(tokenizer: Any, row: Spans, tags: Sequence[str]) -> tuple[Encoded, list[int]]:
    """A text's tokens and the tag of each; IGNORED at special tokens and at tokens of white space only."""
    [encoded] = encode_texts(tokenizer, [row.text])
    return encoded, tag_tokens(encoded, row.spans, tags)


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


def decode(logits: torch.Tensor, tags: Sequence[str], is_special: Sequence[int]) -> list[int]:
    """The likeliest sequence of tags in which I-x follows B-x or I-x only; O at special tokens. logits: (T, C)."""
    scores = torch.log_softmax(logits, -1)
    allowed = torch.tensor(
        [[not tag.startswith("I-") or before[1:] == tag[1:] for tag in tags] for before in tags]
    )  # (before, tag)
    forbidden = torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf)
    first = torch.tensor([-torch.inf if tag.startswith("I-") else 0.0 for tag in tags])
    places = [place for place, special in enumerate(is_special) if not special]
    best = [0] * len(is_special)
    if not places:
        return best
    total = scores[places[0]] + first
    back = []
    for place in places[1:]:
        value, came = (total[:, None] + forbidden).max(0)
        total = value + scores[place]
        back.append(came.tolist())
    tag = int(total.argmax())
    best[places[-1]] = tag
    for place, came in zip(reversed(places[:-1]), reversed(back), strict=True):
        tag = came[tag]
        best[place] = tag
    return best


def spans_of(encoded: Encoded, logits: torch.Tensor, tags: Sequence[str]) -> list[Span]:
    """Spans that logits (T, C) say."""
    chosen = [tags[n] for n in decode(logits, tags, encoded.is_special)]
    return [span for span, _, _ in read_spans(encoded, chosen)]


def token_logits(
    model: Any, encoded: Sequence[Encoded], length: int, pad_id: int, batch_size: int = 64
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


def token_loss(found: Sequence[torch.Tensor], labels: Sequence[Sequence[int]]) -> float:
    """Mean cross-entropy of tags, nats a token; special tokens are not counted."""
    truth = torch.tensor([label for row in labels for label in row])
    return float(nn.functional.cross_entropy(torch.cat(list(found)), truth, ignore_index=IGNORED))


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
