"""An averaged structured perceptron over words: what a tagger has to beat, without a network or a library.

Features of a word, its neighbors, its shape and its ends, and of the tag before; decoding by Viterbi; weights averaged
over all updates. Source: Collins 2002, figure 2. Linear-chain, as a conditional random field is.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from operator import add

from trainer.data.snapshot import Span, Spans
from trainer.data.span_tags import OUTSIDE, may_follow, numbered, tag_pieces, tags_of
from trainer.json_types import Metrics
from trainer.metrics.classification import span_figures
from trainer.run.microbatching import rows_at
from trainer.run.seeds import stable_seed

WORDS = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
EPOCHS = 8

Word = tuple[int, int, str]


def perceptron_spans(
    train: Sequence[Spans], held: Sequence[Spans], classes: Sequence[str], seed: int = 0, epochs: int = EPOCHS
) -> Metrics:
    """Train on rows and score on held-out ones. Returns name, cpu_seconds and the figures of `span_figures`."""
    start = time.process_time()
    model = Perceptron(tags_of(classes))
    model.fit([(words(row.text), row.spans) for row in train], epochs, seed)
    given: list[list[Span]] = []
    expected: list[Sequence[Span]] = []
    for row in held:
        cut = words(row.text)
        given.append(spans_of(cut, model.tag(features(cut))))
        expected.append(row.spans)
    return {
        "name": "structured perceptron",
        "cpu_seconds": time.process_time() - start,
        **span_figures(given, expected, classes),
    }


def allowed(before: str, tag: str) -> float:
    """0 where `tag` may follow `before`, else a weight that outweighs all others: I follows B or I of its label."""
    if may_follow(before, tag):
        return 0.0
    return -1e9


class Perceptron:
    """Weights of features and of neighboring tags.

    Args:
        tags: names, O first.
    """

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = list(tags)
        count = len(tags)
        self.weights: dict[str, list[float]] = defaultdict(lambda: [0.0] * count)
        self.follows = list(map(self.allowed_after, self.tags))
        self.first = self.allowed_after(OUTSIDE)

    def allowed_after(self, before: str) -> list[float]:
        """For each tag whether it may follow `before`, see `allowed`."""
        return [allowed(before, tag) for tag in self.tags]

    def fit(self, rows: Sequence[tuple[list[Word], Sequence[Span]]], epochs: int, seed: int) -> None:
        """Learn, and leave the average of the weights over all visits."""
        number = numbered(self.tags)
        ready: list[tuple[list[list[str]], list[int]]] = []
        for cut, spans in rows:
            if cut:
                tags = tag_pieces([word[:2] for word in cut], spans)
                ready.append((features(cut), [number[tag] for tag in tags]))
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
            self.weights[name] = averaged(row, summed[name], visit)
        for before_tag, row in enumerate(self.follows):
            self.follows[before_tag] = averaged(row, summed_follows[before_tag], visit)

    def tag(self, seen: Sequence[Sequence[str]]) -> list[str]:
        """The best sequence of tags for the features of each word."""
        return rows_at(self.tags, self.best(seen))

    def best(self, seen: Sequence[Sequence[str]]) -> list[int]:
        if not seen:
            return []
        count = range(len(self.tags))
        total = list(map(add, self.score(seen[0]), self.first))
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
        if not rows:
            return [0.0] * len(self.tags)
        return list(map(sum, zip(*rows, strict=True)))


def averaged(weights: Sequence[float], summed: Sequence[float], visits: int) -> list[float]:
    """Weights averaged over all visits; `summed` are their changes, each times the visit at which it was made."""
    return [weight - total / visits for weight, total in zip(weights, summed, strict=True)]


def words(text: str) -> list[Word]:
    """Runs of letters, runs of digits, and single other characters, with their offsets."""
    return [(found.start(), found.end(), found.group()) for found in WORDS.finditer(text)]


def features(cut: Sequence[Word]) -> list[list[str]]:
    """Names of what is seen at each word."""
    lowered = [word.lower() for _, _, word in cut]
    plain = ["<", "<", *lowered, ">", ">"]
    seen: list[list[str]] = []
    for place, (_, _, word) in enumerate(cut):
        low = lowered[place]
        around = plain[place : place + 5]
        names = ["bias"]
        for number, near in enumerate(around):
            names.append(f"{number}={near}")
        names += [
            f"12={around[1]} {around[2]}",
            f"23={around[2]} {around[3]}",
            f"01={around[0]} {around[1]}",
            f"s={low[-3:]}",
            f"p={low[:3]}",
            f"shape={shape(word)}",
            f"start={place == 0} {shape(word)}",
        ]
        seen.append(names)
    return seen


def shape(word: str) -> str:
    """Capitals, letters and digits, as in "Xx", "d4" (four digits) or "."."""
    if word.isdigit():
        return f"d{min(len(word), 5)}"
    if not word.isalpha():
        return word
    return "XX" if word.isupper() and len(word) > 1 else "Xx" if word[0].isupper() else "x"


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
