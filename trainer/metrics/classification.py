"""How good labels are: figures of classes and of spans, as pure functions on what was given and what was expected."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trainer.data.snapshot import Span

BINS = 10
PULL = 5.0  # nats: a text tells about a quarter of one on the logarithm of the temperature, squared

Figures = dict[str, Any]


def prf(right: int, given: int, expected: int) -> dict[str, float]:
    """Precision, recall and F1 of counts; 0 where nothing was given or expected."""
    precision, recall = right / max(given, 1), right / max(expected, 1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if right else 0.0,
        "support": expected,
    }


def class_figures(given: Sequence[set[str]], expected: Sequence[set[str]], classes: Sequence[str]) -> Figures:
    """Accuracy, macro and micro F1, and the figures of each class.

    Args:
        given, expected: labels of each text, one or several. classes: all names.

    Returns:
        accuracy: share of texts whose labels are exactly the expected ones.
        macro_f1: mean F1 of the classes that were expected or given anywhere. micro_f1: F1 of all labels together.
        per_class: class -> precision, recall, f1, support.
        confusion: expected class -> given class -> texts, zeros left out; of texts with one label each, else empty.
    """
    counts = {name: [0, 0, 0] for name in classes}
    for ours, truth in zip(given, expected, strict=True):
        for name in ours | truth:
            counts[name][0] += name in ours and name in truth
            counts[name][1] += name in ours
            counts[name][2] += name in truth
    per_class = {name: prf(*counts[name]) for name in classes}
    seen = [name for name in classes if counts[name][1] or counts[name][2]]
    return {
        "accuracy": sum(a == b for a, b in zip(given, expected, strict=True)) / max(len(expected), 1),
        "macro_f1": sum(per_class[name]["f1"] for name in seen) / max(len(seen), 1),
        "micro_f1": prf(*(sum(count[n] for count in counts.values()) for n in range(3)))["f1"],
        "per_class": per_class,
        "confusion": confusion(given, expected),
    }


def confusion(given: Sequence[set[str]], expected: Sequence[set[str]]) -> dict[str, dict[str, int]]:
    """Expected class -> given class -> texts. Empty where a text has no label or several: then no class is its own."""
    if any(len(labels) != 1 for labels in (*given, *expected)):
        return {}
    pairs = Counter((*truth, *ours) for truth, ours in zip(expected, given, strict=True))
    return {
        truth: {ours: count for (one, ours), count in sorted(pairs.items()) if one == truth}
        for truth in sorted({truth for truth, _ in pairs})
    }


def span_figures(
    given: Sequence[Sequence[Span]], expected: Sequence[Sequence[Span]], classes: Sequence[str]
) -> Figures:
    """Entity-level figures: a span counts as right only if start, end and label are all as expected.

    Returns:
        precision, recall, f1: of all spans together. macro_f1: mean over the classes seen. per_class: as class_figures.
        exact_texts: share of texts with exactly the expected spans.
    """
    right, ours, truth = Counter[str](), Counter[str](), Counter[str]()
    exact = 0
    for some, wanted in zip(given, expected, strict=True):
        exact += set(some) == set(wanted)
        right.update(span.label for span in set(some) & set(wanted))
        ours.update(span.label for span in set(some))
        truth.update(span.label for span in set(wanted))
    per_class = {name: prf(right[name], ours[name], truth[name]) for name in classes}
    seen = [name for name in classes if ours[name] or truth[name]]
    total = prf(right.total(), ours.total(), truth.total())
    return {
        **{name: total[name] for name in ("precision", "recall", "f1")},
        "macro_f1": sum(per_class[name]["f1"] for name in seen) / max(len(seen), 1),
        "exact_texts": exact / max(len(expected), 1),
        "per_class": per_class,
    }


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
        return [{classes[n] for n, p in enumerate(row) if p > 0.5} for row in chances.tolist()]
    return [{classes[n]} for n in chances.argmax(-1).tolist()]


def confidences(chances: torch.Tensor, truth: torch.Tensor, many: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidence of each decision and whether it was right: one a text, or one a text and class where `many`."""
    if many:
        sure, yes = torch.maximum(chances, 1 - chances), chances > 0.5
        return sure.flatten(), (yes == truth.bool()).flatten()
    best = chances.max(-1)
    return best.values, best.indices == truth.argmax(-1)
