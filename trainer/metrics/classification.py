"""How good labels are: figures of classes and of spans, as pure functions on what was given and what was expected."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from trainer.data.snapshot import Span
from trainer.json_types import Metrics
from trainer.run.microbatching import rows_at

BINS = 10
PULL = 5.0  # nats: a text tells about a quarter of one on the logarithm of the temperature, squared


def prf(right: int, given: int, expected: int) -> dict[str, float]:
    """Precision, recall and F1 of counts; 0 where nothing was given or expected."""
    precision, recall = right / max(given, 1), right / max(expected, 1)
    f1 = 0.0
    if right:
        f1 = 2 * precision * recall / (precision + recall)
    return {"precision": precision, "recall": recall, "f1": f1, "support": expected}


class LabelCounts:
    """How often each label was given, expected, and both."""

    def __init__(self) -> None:
        self.given, self.expected, self.right = Counter[str](), Counter[str](), Counter[str]()

    def add(self, given: Iterable[str], expected: Iterable[str], right: Iterable[str]) -> None:
        """Count the labels of one text."""
        self.given.update(given)
        self.expected.update(expected)
        self.right.update(right)

    def of_label(self, name: str) -> dict[str, float]:
        return prf(self.right[name], self.given[name], self.expected[name])

    def per_class(self, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        return {name: self.of_label(name) for name in classes}

    def total(self) -> dict[str, float]:
        """Of all labels together."""
        return prf(self.right.total(), self.given.total(), self.expected.total())

    def macro_f1(self, classes: Sequence[str]) -> float:
        """Mean F1 of the classes that were given or expected anywhere."""
        seen = [self.of_label(name)["f1"] for name in classes if self.given[name] or self.expected[name]]
        return sum(seen) / max(len(seen), 1)


def class_figures(given: Sequence[set[str]], expected: Sequence[set[str]], classes: Sequence[str]) -> Metrics:
    """Accuracy, macro and micro F1, and the figures of each class.

    Args:
        given, expected: labels of each text, one or several. classes: all names.

    Returns:
        accuracy: share of texts whose labels are exactly the expected ones.
        macro_f1: mean F1 of the classes that were expected or given anywhere. micro_f1: F1 of all labels together.
        per_class: class -> precision, recall, f1, support.
        confusion: expected class -> given class -> texts, zeros left out; of texts with one label each, else empty.
    """
    counts = LabelCounts()
    exact = 0
    for ours, truth in zip(given, expected, strict=True):
        exact += ours == truth
        counts.add(ours, truth, ours & truth)
    return {
        "accuracy": exact / max(len(expected), 1),
        "macro_f1": counts.macro_f1(classes),
        "micro_f1": counts.total()["f1"],
        "per_class": counts.per_class(classes),
        "confusion": confusion(given, expected),
    }


def confusion(given: Sequence[set[str]], expected: Sequence[set[str]]) -> dict[str, dict[str, int]]:
    """Expected class -> given class -> texts. Empty where a text has no label or several: then no class is its own."""
    pairs: Counter[tuple[str, str]] = Counter()
    for truth, ours in zip(expected, given, strict=True):
        if len(truth) != 1 or len(ours) != 1:
            return {}
        [true_class], [given_class] = truth, ours
        pairs[true_class, given_class] += 1
    table: dict[str, dict[str, int]] = {}
    for (true_class, given_class), count in sorted(pairs.items()):
        table.setdefault(true_class, {})[given_class] = count
    return table


def span_figures(
    given: Sequence[Sequence[Span]], expected: Sequence[Sequence[Span]], classes: Sequence[str]
) -> Metrics:
    """Entity-level figures: a span counts as right only if start, end and label are all as expected.

    Returns:
        precision, recall, f1: of all spans together. macro_f1: mean over the classes seen. per_class: as class_figures.
        exact_texts: share of texts with exactly the expected spans.
    """
    counts = LabelCounts()
    exact = 0
    for some, wanted in zip(map(set, given), map(set, expected), strict=True):
        exact += some == wanted
        counts.add(labels_of(some), labels_of(wanted), labels_of(some & wanted))
    total = counts.total()
    return {
        "precision": total["precision"],
        "recall": total["recall"],
        "f1": total["f1"],
        "macro_f1": counts.macro_f1(classes),
        "exact_texts": exact / max(len(expected), 1),
        "per_class": counts.per_class(classes),
    }


def labels_of(spans: Iterable[Span]) -> list[str]:
    return [span.label for span in spans]


def calibration_error(confidence: torch.Tensor, right: torch.Tensor) -> float:
    """Expected calibration error: mean gap between confidence and share right, ten bins of equal width, both (N,).

    Source: Guo et al. 2017, equation 3.
    """
    bins = (confidence * BINS).long().clamp(0, BINS - 1)
    error = 0.0
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            gap = (right[inside].float().mean() - confidence[inside].mean()).abs()
            error += float(gap * inside.float().mean())
    return error


def probabilities(logits: torch.Tensor, many: bool, temperature: float = 1.0) -> torch.Tensor:
    """Probabilities of classes, (N, C): a softmax over them, or of each on its own where `many` is allowed."""
    scaled = logits.float() / temperature
    return torch.sigmoid(scaled) if many else torch.softmax(scaled, -1)


def mean_loss(logits: torch.Tensor, truth: torch.Tensor, many: bool, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the expected labels, nats a text (a text and class where `many`).

    Args:
        logits: (N, C). truth: 0 and 1, (N, C); one 1 in each row unless `many`.
    """
    scaled = logits.float() / temperature
    if many:
        return float(nn.functional.binary_cross_entropy_with_logits(scaled, truth.float()))
    return float(nn.functional.cross_entropy(scaled, truth.argmax(-1)))


def calibrated(logits: torch.Tensor, truth: torch.Tensor, many: bool) -> float:
    """The temperature, in [1/8, 8], with the lowest loss; golden section over its logarithm, in which it is unimodal.

    A few texts that are all distinguished would ask for a temperature of nearly zero, and so for certainty. Its
    logarithm is therefore drawn toward zero, by as much as some twenty texts weigh.

    Source: Guo et al. 2017, section 4.2; the pull is ours, measured in docs/results.md.
    """
    if not len(logits):
        return 1.0
    low, high = math.log(1 / 8), math.log(8)
    ratio = (math.sqrt(5) - 1) / 2

    def cost(at: float) -> float:
        return len(logits) * mean_loss(logits, truth, many, math.exp(at)) + 0.5 * PULL * at**2

    for _ in range(30):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if cost(a) < cost(b):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


def cross_fitted(logits: torch.Tensor, truth: torch.Tensor, many: bool) -> torch.Tensor:
    """Logits of each half of the texts, divided by the temperature that the other half asks for, (N, C).

    What is measured on them says how good a fitted temperature is on texts that it was not fitted on.
    """
    scaled = logits.float().clone()
    places = torch.arange(len(logits))
    for half in (0, 1):
        mine, other = places[places % 2 == half], places[places % 2 != half]
        if len(mine) and len(other):
            scaled[mine] /= calibrated(logits[other], truth[other], many)
    return scaled


def decided(chances: torch.Tensor, classes: Sequence[str], many: bool) -> list[set[str]]:
    """Labels of each text: those of probability over a half where `many`, else the likeliest one. chances: (N, C)."""
    if many:
        return labels_where(chances > 0.5, classes)
    return [{classes[n]} for n in chances.argmax(-1).tolist()]


def labels_where(is_label: torch.Tensor, classes: Sequence[str]) -> list[set[str]]:
    """The classes of each text at which `is_label`, (N, C), is true."""
    found: list[set[str]] = []
    for row in is_label:
        found.append(set(rows_at(classes, row.nonzero().flatten().tolist())))
    return found


def confidences(chances: torch.Tensor, truth: torch.Tensor, many: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidence of each decision and whether it was right: one a text, or one a text and class where `many`."""
    if many:
        sure, yes = torch.maximum(chances, 1 - chances), chances > 0.5
        return sure.flatten(), (yes == truth.bool()).flatten()
    best = chances.max(-1)
    return best.values, best.indices == truth.argmax(-1)
