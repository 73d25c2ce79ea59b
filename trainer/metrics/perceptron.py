"""An averaged structured perceptron over words: what a tagger has to beat, without a network or a library.

Features of a word, its neighbours, its shape and its ends, and of the tag before; decoding by Viterbi; weights averaged
over all updates. Source: Collins 2002, figure 2. Linear-chain, as a conditional random field is.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Sequence

from trainer.data.snapshot import Span, Spans
from trainer.json_types import Metrics
from trainer.metrics.classification import span_figures
from trainer.run.seeds import stable_seed

WORDS = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
EPOCHS = 8

Word = tuple[int, int, str]


def perceptron_spans(
    train: Sequence[Spans], held: Sequence[Spans], classes: Sequence[str], seed: int = 0, epochs: int = EPOCHS
) -> Metrics:
    """Train on rows and score on held-out ones. Returns name, cpu_seconds and the figures of `span_figures`."""
    start = time.process_time()
    tags = ["O", *(f"{mark}-{name}" for name in classes for mark in "BI")]
    model = Perceptron(tags)
    model.fit([(words(row.text), row.spans) for row in train], epochs, seed)
    given = []
    for row in held:
        cut = words(row.text)
        given.append(spans_of(cut, model.tag(features(cut))))
    return {
        "name": "structured perceptron",
        "cpu_seconds": time.process_time() - start,
        **span_figures(given, [row.spans for row in held], classes),
    }


def allowed(before: str, tag: str) -> float:
    """0 where `tag` may follow `before`, else a weight that outweighs all others: I follows B or I of its label."""
    if tag.startswith("I-") and before[1:] != tag[1:]:
        return -1e9
    return 0.0


class Perceptron:
    """Weights of features and of neighbouring tags.

    Args:
        tags: names, O first.
    """

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = list(tags)
        count = len(tags)
        self.weights: dict[str, list[float]] = defaultdict(lambda: [0.0] * count)
        self.follows = [[allowed(before, tag) for tag in tags] for before in tags]
        self.first = [allowed("O", tag) for tag in tags]

    def fit(self, rows: Sequence[tuple[list[Word], Sequence[Span]]], epochs: int, seed: int) -> None:
        """Learn, and leave the average of the weights over all visits."""
        number = {tag: n for n, tag in enumerate(self.tags)}
        ready = [(features(cut), [number[tag] for tag in tags_of(cut, spans)]) for cut, spans in rows if cut]
        count = len(self.tags)
        summed: dict[str, list[float]] = defaultdict(lambda: [0.0] * count)
        summed_follows = [[0.0] * count for _ in self.tags]
        visit = 1
        for epoch in range(epochs):
            random.Random(stable_seed(seed, "perceptron", epoch)).shuffle(ready)
            for seen, truth in ready:
                guess = self.best(seen)
                visit += 1
                if guess == truth:
                    continue
                before = (-1, -1)
                for names, right, wrong in zip(seen, truth, guess, strict=True):
                    if right != wrong:
                        for name in names:
                            self.weights[name][right] += 1
                            self.weights[name][wrong] -= 1
                            summed[name][right] += visit
                            summed[name][wrong] -= visit
                    if before[0] >= 0 and (before[0], right) != (before[1], wrong):
                        self.follows[before[0]][right] += 1
                        self.follows[before[1]][wrong] -= 1
                        summed_follows[before[0]][right] += visit
                        summed_follows[before[1]][wrong] -= visit
                    before = (right, wrong)
        for name, row in self.weights.items():
            self.weights[name] = [w - s / visit for w, s in zip(row, summed[name], strict=True)]
        self.follows = [
            [w - s / visit for w, s in zip(row, sums, strict=True)]
            for row, sums in zip(self.follows, summed_follows, strict=True)
        ]

    def tag(self, seen: Sequence[Sequence[str]]) -> list[str]:
        """The best sequence of tags for the features of each word."""
        return [self.tags[n] for n in self.best(seen)]

    def best(self, seen: Sequence[Sequence[str]]) -> list[int]:
        if not seen:
            return []
        count = range(len(self.tags))
        total = [a + b for a, b in zip(self.score(seen[0]), self.first, strict=True)]
        back: list[list[int]] = []
        for names in seen[1:]:
            came, value = [], []
            for tag, own in enumerate(self.score(names)):
                before = max(count, key=lambda n: total[n] + self.follows[n][tag])
                came.append(before)
                value.append(total[before] + self.follows[before][tag] + own)
            total = value
            back.append(came)
        tag = max(count, key=lambda n: total[n])
        path = [tag]
        for came in reversed(back):
            tag = came[tag]
            path.append(tag)
        return path[::-1]

    def score(self, names: Sequence[str]) -> list[float]:
        rows = [self.weights[name] for name in names if name in self.weights]
        return [sum(column) for column in zip(*rows, strict=True)] if rows else [0.0] * len(self.tags)


def words(text: str) -> list[Word]:
    """Runs of letters, runs of digits, and single other characters, with their offsets."""
    return [(found.start(), found.end(), found.group()) for found in WORDS.finditer(text)]


def features(cut: Sequence[Word]) -> list[list[str]]:
    """Names of what is seen at each word."""
    plain = ["<", "<", *(word.lower() for _, _, word in cut), ">", ">"]
    seen = []
    for place, (_, _, word) in enumerate(cut):
        low = word.lower()
        around = plain[place : place + 5]
        seen.append(
            [
                "bias",
                *(f"{n}={near}" for n, near in enumerate(around)),
                f"12={around[1]} {around[2]}",
                f"23={around[2]} {around[3]}",
                f"01={around[0]} {around[1]}",
                f"s={low[-3:]}",
                f"p={low[:3]}",
                f"shape={shape(word)}",
                f"start={place == 0} {shape(word)}",
            ]
        )
    return seen


def shape(word: str) -> str:
    """Capitals, letters and digits, as in "Xx", "d4" (four digits) or "."."""
    if word.isdigit():
        return f"d{min(len(word), 5)}"
    if not word.isalpha():
        return word
    return "XX" if word.isupper() and len(word) > 1 else "Xx" if word[0].isupper() else "x"


def tags_of(cut: Sequence[Word], spans: Sequence[Span]) -> list[str]:
    """B, I and O of words; a word that overlaps a span is inside it."""
    tags, begun = [], set()
    for start, end, _ in cut:
        span = next((span for span in spans if start < span.end and end > span.start), None)
        tags.append("O" if span is None else f"{'I' if span in begun else 'B'}-{span.label}")
        begun.add(span)
    return tags


def spans_of(cut: Sequence[Word], tags: Sequence[str]) -> list[Span]:
    """Character spans of a sequence of tags."""
    found: list[Span] = []
    before = "O"
    for (start, end, _), tag in zip(cut, tags, strict=True):
        if tag.startswith("I-") and before != "O":
            found[-1] = Span(found[-1].start, end, found[-1].label)
        elif tag != "O":
            found.append(Span(start, end, tag[2:]))
        before = tag
    return found
