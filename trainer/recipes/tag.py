"""Labels of character spans, learned as B, I and O of tokens by an encoder, and read back as character spans.

A token belongs to a span if its characters without white space overlap it, so that a token that reaches over the end of
a span (an apostrophe, half a word) counts as inside. What is learned is the likelihood of a text's whole sequence of
tags, and decoding finds the best one in which I follows B or I of its own label: see `tag_decoder`. Long texts are
read in overlapping windows, each token where it has most context on both sides. At each visit of a text some of its
spans are replaced by others of the same label, so that the words around a span are learned and not the span by heart
(Dai and Adel 2020, "mention replacement").
Scores are of entities: start, end and label exactly as marked, as in the CoNLL shared tasks (Tjong Kim Sang and De
Meulder 2003). Beside the model stands a structured perceptron on the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import torch
from torch import nn

from trainer.data.snapshot import Span, Spans
from trainer.data.span_tags import OUTSIDE, numbered, tag_pieces, tags_of
from trainer.errors import DataUnusable
from trainer.json_types import Metrics
from trainer.metrics.classification import labels_of, span_figures
from trainer.metrics.naming import only, with_prefix
from trainer.modeling.encoders import (
    IGNORED,
    Encoded,
    drop_tokens,
    encode_texts,
    labels_counted,
    load_encoder_tokenizer,
    logits_of,
    room,
    windows,
)
from trainer.modeling.passes import pad
from trainer.modeling.tag_decoder import TagDecoder
from trainer.recipes.label_training import (
    LabeledTexts,
    LabelTask,
    finalize_labeller,
    load_labeller,
    new_labeller,
    read_labeled_texts,
    train_labeller,
)
from trainer.run.context import RunContext, StageResult
from trainer.run.microbatching import rows_at
from trainer.run.progress import Sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.modeling_outputs import TokenClassifierOutput

    from trainer.modeling.encoder_trainer import Item

Aligned = tuple[Encoded, list[int]]  # a text's tokens and the tag of each


class Piece(NamedTuple):
    """What is learned at one visit: a window of a text, its tags, and the whole row."""

    row: Spans
    window: Encoded
    labels: list[int]


class FoundSpan(NamedTuple):
    """A span read from tags, with the numbers of its first token and of the one behind its last."""

    span: Span
    first: int
    last: int


class TaggedSpan(TypedDict):
    """A span that a tagger found; see `Tagger.spans`."""

    start: int
    end: int
    label: str
    text: str
    score: float


class Tagger:
    """A trained tagger as it is served: `Tagger(model_folder).spans(texts)`.

    Attributes:
        classes: labels of the scheme, in its order. scheme: its name.

    Raises:
        ModelCorrupt: the folder holds no tagger made by this recipe.
    """

    def __init__(self, path: Path, batch_size: int = 64) -> None:
        from transformers import AutoModelForTokenClassification

        self.tokenizer, self.model, stored = load_labeller(path, AutoModelForTokenClassification, "tagger", "tags")
        self.tags: list[str] = list(stored["tags"])
        self.decoder = TagDecoder(self.tags, stored.get("follows"))
        self.classes: list[str] = list(stored["classes"])
        self.scheme = str(stored["scheme"])
        self.max_length = int(stored["max_length"])
        self.batch_size = batch_size

    def spans(self, texts: Sequence[str]) -> list[list[TaggedSpan]]:
        """Spans of each text: {"start", "end", "label", "text", "score"}, by start, not overlapping.

        Offsets count Unicode code points; score is the mean probability of the span's tokens, in [0, 1].
        """
        encoded = encode_texts(self.tokenizer, texts)
        found = token_logits(self.model, encoded, self.max_length, self.tokenizer.pad_token_id, self.batch_size)
        return list(map(self._spans_of, texts, encoded, found))

    def _spans_of(self, text: str, row: Encoded, logits: torch.Tensor) -> list[TaggedSpan]:
        places = tagged_places(row)
        chosen = self.decoder.decode(logits, places)
        probability = self.decoder.marginals(logits, places)[range(len(chosen)), chosen].tolist()
        found: list[TaggedSpan] = []
        for span, first, last in read_spans(row, rows_at(self.tags, chosen)):
            score = fmean(probability[place] for place in places if first <= place < last)
            words = text[span.start : span.end]
            found.append({"start": span.start, "end": span.end, "label": span.label, "text": words, "score": score})
        return found


def run(context: RunContext) -> StageResult:
    """Learn the spans of the train split, or go on, and hand back a tagger."""
    from trainer.metrics.perceptron import perceptron_spans

    tokenizer = load_encoder_tokenizer(context.inputs.get("base_model") or context.inputs["tokenizer"])
    context.report.state("reading the marked texts")
    texts = read_labeled_texts(context, Spans)
    classes = texts.classes
    tags = tags_of(classes)
    model = new_labeller(context, "TokenClassification", tags, tokenizer)
    decoder = model.chain = TagDecoder(tags)  # a part of the model, so that checkpoints hold it
    class_balance = balance(texts.train)
    if not class_balance:
        raise DataUnusable("No text to train on has a span.", remedy="Mark or import some.")
    task = TaggingTask(context, tokenizer, texts, decoder, room(model, context.config.max_length))
    recoverable = recoverable_spans(task.train, texts.train, tags)
    context.report.metrics(0, 0, {"classes": len(classes), "spans_that_tokens_can_say": recoverable})
    trained = train_labeller(context, model, tokenizer, texts, task.as_label_task())

    trained.finalizer.metrics |= {"class_balance": class_balance, "spans_that_tokens_can_say": recoverable}
    model.config.touchstone = {
        "classes": classes,
        "tags": tags,
        "follows": decoder.learned(),
        "scheme": texts.scheme,
        "max_length": task.length,
    }
    del model.chain  # what it learned stands in the config, so that the weights are those of an ordinary encoder
    return finalize_labeller(
        trained,
        texts,
        "tagger",
        lambda rows: task.figures_of(model, rows),
        lambda rows: perceptron_spans(texts.train, rows, classes, context.seed),
    )


class TaggingTask:
    """The texts of a run as tokens with tags, and what is learned and measured of them.

    Attributes:
        length: tokens that are read at once. train: every text to train on. pieces: these texts in windows.
    """

    def __init__(
        self,
        context: RunContext,
        tokenizer: PreTrainedTokenizerBase,
        texts: LabeledTexts[Spans],
        decoder: TagDecoder,
        length: int,
    ) -> None:
        self.config, self.tokenizer, self.texts = context.config, tokenizer, texts
        self.decoder, self.length = decoder, length
        self.train = self.aligned(texts.train)
        self.selection = self.aligned(texts.selection)
        self.surfaces = spans_by_label(texts.train)
        self.pieces: list[Piece] = []
        for row, (encoded, labels) in zip(texts.train, self.train, strict=True):
            for start, window in windows(encoded, length):
                self.pieces.append(Piece(row, window, labels[start : start + len(window.ids)]))

    def as_label_task(self) -> LabelTask:
        lengths = [len(piece.window.ids) for piece in self.pieces]
        return LabelTask(lengths, self.visit, self.loss, self.measure, self.sample)

    def aligned(self, rows: Sequence[Spans]) -> list[Aligned]:
        return [align(self.tokenizer, row, self.decoder.tags) for row in rows]

    def logits(self, model: PreTrainedModel, rows: Sequence[Encoded]) -> list[torch.Tensor]:
        """(T, C) of each text."""
        return token_logits(model, rows, self.length, self.tokenizer.pad_token_id)

    def visit(self, number: int, generator: torch.Generator) -> Item:
        row, window, labels = self.pieces[number]
        varied = swap_spans(row, self.surfaces, self.config.span_swap, generator)
        if varied is not row and len(window.ids) < self.length:  # a whole text
            other, other_labels = align(self.tokenizer, varied, self.decoder.tags)
            if len(other.ids) <= self.length:
                window, labels = other, other_labels
        mask_id: int = self.tokenizer.mask_token_id
        return {"ids": drop_tokens(window, mask_id, self.config.token_dropout, generator), "labels": labels}

    def loss(
        self,
        outputs: TokenClassifierOutput,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Negative log-likelihood of the tags, nats a token that bears one; see `label_loss`."""
        assert outputs.logits is not None
        if num_items_in_batch is None:
            num_items_in_batch = (labels != IGNORED).sum()
        return self.decoder.nats(outputs.logits, labels) / num_items_in_batch

    def measure(self, model: PreTrainedModel) -> dict[str, float]:
        figures = self.judged(model, self.texts.selection, self.selection)
        return with_prefix("selection", only(figures, ("loss", "f1", "precision", "recall")))

    def figures_of(self, model: PreTrainedModel, rows: list[Spans]) -> Metrics:
        return self.judged(model, rows, self.aligned(rows))

    def judged(self, model: PreTrainedModel, rows: Sequence[Spans], aligned: Sequence[Aligned]) -> Metrics:
        """Loss and the figures of `span_figures`."""
        encoded: list[Encoded] = []
        labels: list[list[int]] = []
        for tokens, tags in aligned:
            encoded.append(tokens)
            labels.append(tags)
        logits = self.logits(model, encoded)
        given: list[list[Span]] = []
        for tokens, found in zip(encoded, logits, strict=True):
            given.append(spans_of(tokens, found, self.decoder))
        expected = [row.spans for row in rows]
        loss = token_loss(logits, labels, self.decoder)
        return {"loss": loss, **span_figures(given, expected, self.texts.classes)}

    def sample(self, model: PreTrainedModel) -> list[Sample]:
        rows = (self.texts.selection or self.texts.train)[: self.config.samples]
        encoded = encode_texts(self.tokenizer, [row.text for row in rows])
        samples: list[Sample] = []
        for row, tokens, logits in zip(rows, encoded, self.logits(model, encoded), strict=True):
            found = spans_of(tokens, logits, self.decoder)
            samples.append({"prompt": row.text, "text": marked(row.text, found)})
        return samples


def align(tokenizer: PreTrainedTokenizerBase, row: Spans, tags: Sequence[str]) -> tuple[Encoded, list[int]]:
    """A text's tokens and the tag of each; IGNORED at special tokens and at tokens of white space only."""
    [encoded] = encode_texts(tokenizer, [row.text])
    return encoded, tag_tokens(encoded, row.spans, tags)


def balance(rows: Sequence[Spans]) -> dict[str, int]:
    """How many spans have each label that occurs."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(labels_of(row.spans))
    return dict(counts)


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
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or kept[-1].end <= span.start:
            kept.append(span)
    number = numbered(tags)
    labels = [IGNORED] * len(encoded.ids)
    places = tagged_places(encoded)
    for place, tag in zip(places, tag_pieces(rows_at(encoded.offsets, places), kept), strict=True):
        labels[place] = number[tag]
    return labels


def read_spans(encoded: Encoded, chosen: Sequence[str]) -> list[FoundSpan]:
    """Character spans of a sequence of tags, by start.

    I after another label, or after O, begins a span. Tokens of white space only neither end nor lengthen one.
    """
    found: list[FoundSpan] = []
    is_open = False  # whether a token with I goes on with the last span
    for place, (tag, special) in enumerate(zip(chosen, encoded.is_special, strict=True)):
        start, end = encoded.offsets[place]
        if special or start == end:
            continue
        mark, _, label = tag.partition("-")
        if is_open and mark == "I" and label == found[-1].span.label:
            span = found[-1].span
            found[-1] = FoundSpan(replace(span, end=max(end, span.end)), found[-1].first, place + 1)
            continue
        is_open = mark != OUTSIDE
        if is_open:
            found.append(FoundSpan(Span(start, end, label), place, place + 1))
    return found


def spans_of(encoded: Encoded, logits: torch.Tensor, decoder: TagDecoder) -> list[Span]:
    """Spans that logits (T, C) say."""
    return plain_spans(encoded, rows_at(decoder.tags, decoder.decode(logits, tagged_places(encoded))))


def plain_spans(encoded: Encoded, chosen: Sequence[str]) -> list[Span]:
    """`read_spans` without the numbers of tokens."""
    return [found.span for found in read_spans(encoded, chosen)]


def token_logits(
    model: PreTrainedModel, encoded: Sequence[Encoded], length: int, pad_id: int, batch_size: int | None = None
) -> list[torch.Tensor]:
    """Logits (T, C) of each whole text; where windows overlap, those from the window with more context around."""
    labels = int(model.config.num_labels or 0)
    cut: list[tuple[int, int]] = []  # number of the text and first token of each window
    ids: list[list[int]] = []
    whole: list[torch.Tensor] = []
    margin: list[torch.Tensor] = []
    for number, row in enumerate(encoded):
        for start, window in windows(row, length):
            cut.append((number, start))
            ids.append(window.ids)
        whole.append(torch.zeros(len(row.ids), labels))
        margin.append(torch.full((len(row.ids),), -1))
    found = logits_of(model, ids, pad_id, batch_size)
    for (number, start), logits in zip(cut, found, strict=True):
        inside = torch.arange(len(logits))
        room_around = torch.minimum(inside, len(logits) - 1 - inside)  # to the nearer edge of the window
        if start == 0:
            room_around = len(logits) - 1 - inside  # nothing stands before the text
        if start + len(logits) == len(encoded[number].ids):
            room_around = inside
            if start == 0:
                room_around = inside + len(logits)
        better = room_around > margin[number][start : start + len(logits)]
        whole[number][start : start + len(logits)][better] = logits[better]
        margin[number][start : start + len(logits)][better] = room_around[better]
    return whole


def token_loss(
    found: Sequence[torch.Tensor], labels: Sequence[Sequence[int]], decoder: TagDecoder, batch_size: int = 256
) -> float:
    """Negative log-likelihood of the sequences of tags, nats a token that bears one."""
    device = decoder.weight.device
    nats, order = 0.0, sorted(range(len(found)), key=lambda number: len(found[number]))
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            logits = nn.utils.rnn.pad_sequence(rows_at(found, numbers), batch_first=True)
            tags = pad(rows_at(labels, numbers), IGNORED)
            nats += float(decoder.nats(logits.to(device), tags.to(device)))
    return nats / max(1, labels_counted(labels))


def recoverable_spans(aligned: Sequence[Aligned], rows: Sequence[Spans], tags: Sequence[str]) -> float:
    """Share of the marked spans that come back exactly from their own tags: the ceiling the tokenizer sets."""
    names = {IGNORED: OUTSIDE, **dict(enumerate(tags))}
    right = total = 0
    for (encoded, labels), row in zip(aligned, rows, strict=True):
        chosen = [names[label] for label in labels]
        expected = set(row.spans)
        right += len(expected.intersection(plain_spans(encoded, chosen)))
        total += len(expected)
    return right / max(total, 1)


def marked(text: str, spans: Sequence[Span]) -> str:
    """The text with its spans as [characters: label]."""
    for span in sorted(spans, key=lambda span: -span.start):
        text = f"{text[: span.start]}[{text[span.start : span.end]}: {span.label}]{text[span.end :]}"
    return text
