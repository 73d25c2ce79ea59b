"""An evaluation as its page shows it: what was measured, beside what people among themselves reach."""

import math
from dataclasses import dataclass
from typing import Any

from feedback.models import Evaluation, ModelVersion, Person
from feedback.rules.collection.preference import STRENGTHS
from feedback.rules.evaluation.intervals import FEWEST, not_enough, wilson
from feedback.rules.quality.agreement import Agreement
from feedback.rules.training import run_figures

STRENGTH_NAMES = {str(strength): name for strength, name in STRENGTHS.items()}  # a report is JSON
OF_POLICY = ("reward", "kl", "entropy", "eos_rate", "length", "repetition", "distinct")
OPINIONS = (
    ("reward_model_win_rate", "Against {opponent}"),
    ("length_controlled_win_rate", "Against {opponent}, at equal length"),
    ("reward_model_win_rate_over_reference", "Against {reference} (reference)"),
)
SORTS = {"demonstrations": "Demonstrations", "documents": "Corpus documents"}
READERS = {"policy": "Candidate", "incumbent": "{opponent}", "pretrained": "Pretrained model"}
MOST_ANNOTATORS = 40  # drawn; all of them are in the JSON


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval, None where it was not measured; `untold` then says why."""

    label: str
    value: float
    low: float | None
    high: float | None
    n: int | None = None
    untold: str = ""


@dataclass(frozen=True)
class ByAnnotator:
    """Accuracy of the reward model by who judged: `groups` of people it never met and of those who taught it, and each
    of them, (who, whether held out, rate), those held out first; `more` are not drawn."""

    groups: list[Rate]
    people: list[tuple[Person | None, bool, Rate]]
    held_out: int
    more: int


@dataclass(frozen=True)
class Read:
    """What models make of one sort of held-out text: (label, perplexity, bits per byte) of each."""

    label: str
    texts: int
    rows: list[tuple[str, float, float]]


@dataclass(frozen=True)
class Report:
    """What the page draws; parts that were not measured are empty.

    Attributes:
        accuracy: of the reward model on held-out pairs. strengths: the same by strength.
        ceiling: what knowing the truth would reach on such labels, from how often two people say the same.
        reliability: bins of stated and observed chances. error: their expected calibration error.
        judge: the reward model. pleased: whether the candidate was trained to please it.
        opponent, reference: what it was compared with, and the policy that it began as where that is another.
        opinions: how often the reward model prefers the candidate, which is no evidence.
        policies: (label, unit, share, the figures of candidate, opponent and perhaps reference).
        lengths: (label, bins) of candidate and opponent.
        annotators: None where an evaluation cannot tell. texts: of each sort that was read.
    """

    accuracy: Rate | None
    strengths: list[Rate]
    ceiling: float | None
    same: float | None
    reliability: list[dict[str, float]]
    error: float | None
    judge: ModelVersion | None
    pleased: bool
    opponent: str
    reference: str
    opinions: list[Rate]
    policies: list[tuple[str, str, bool, list[Any]]]
    lengths: list[tuple[str, list[dict[str, int]]]]
    annotators: ByAnnotator | None
    texts: list[Read]


def report(evaluation: Evaluation, people: Agreement | None) -> Report:
    """`people`: how the project's annotators agree on comparisons, if that is known."""
    metrics = evaluation.metrics
    judge = metrics.get("reward_model") or {}
    same = people.raw if people else None
    compared = [metrics.get(name) or {} for name in ("policy", "incumbent", "reference")]
    compared = compared if compared[-1] else compared[:-1]
    pairs = judge.get("pairs_by_strength") or {}
    names = {
        "opponent": str(evaluation.incumbent) if evaluation.incumbent else "the serving model",
        "reference": str(evaluation.candidate.parent) if evaluation.candidate.parent else "the reference model",
    }
    measured_by = evaluation.run.reward_model if evaluation.run else None
    trained = evaluation.candidate.run
    return Report(
        accuracy=_rate("Accuracy", judge.get("accuracy"), judge, "accuracy", judge.get("pairs")),
        strengths=[
            Rate(STRENGTH_NAMES.get(strength, strength), value, *wilson(value * n, n), n)
            for strength, value in sorted((judge.get("accuracy_by_strength") or {}).items())
            for n in [pairs.get(strength, 0)]
        ],
        ceiling=ceiling(same),
        same=same,
        reliability=judge.get("reliability") or [],
        error=judge.get("calibration_error"),
        judge=measured_by,
        pleased=measured_by is not None and trained is not None and trained.reward_model_id == measured_by.pk,
        opponent=names["opponent"],
        reference=names["reference"],
        opinions=[
            _opinion(label.format_map(names), found)
            for name, label in OPINIONS
            if isinstance(found := metrics.get(name), dict) and "value" in found
        ],
        policies=[
            (about.label, about.unit, about.share, [one.get(name) for one in compared])
            for name in OF_POLICY
            for about in [run_figures.evaluated(name, compared[0])]
            if any(name in one for one in compared)
        ],
        lengths=[
            (label, found["lengths"])
            for label, found in zip(("Candidate", names["opponent"]), compared[:2], strict=True)
            if found.get("lengths")
        ],
        annotators=_by_annotator(judge.get("by_annotator") or {}),
        texts=[
            Read(
                label,
                max(one["texts"] for one in found.values()),
                [
                    (reader.format_map(names), found[name]["perplexity"], found[name]["bits_per_byte"])
                    for name, reader in READERS.items()
                    if name in found
                ],
            )
            for sort, label in SORTS.items()
            if (found := (metrics.get("held_out_texts") or {}).get(sort))
        ],
    )


def _opinion(label: str, found: dict[str, Any]) -> Rate:
    prompts = found.get("prompts") or 0
    if prompts < FEWEST:  # an interval from so few would claim what nobody knows
        return Rate(label, found["value"], None, None, prompts, not_enough(prompts))
    return Rate(label, found["value"], found.get("low"), found.get("high"), prompts)


def _by_annotator(figures: dict[str, Any]) -> ByAnnotator | None:
    if not figures:
        return None
    each = sorted(figures["annotators"], key=lambda one: (not one["held_out"], -one["pairs"]))
    drawn = each[:MOST_ANNOTATORS]
    people = {
        str(person.public_id): person
        for person in Person.objects.filter(public_id__in=[one["annotator"] for one in drawn])
    }
    groups = (("held_out", "Held-out annotators"), ("others", "Annotators in the training data"))
    return ByAnnotator(
        groups=[
            _of_people(f"{label} ({found['annotators']})", found)
            for name, label in groups
            if (found := figures.get(name))
        ],
        people=[
            (
                person,
                one["held_out"],
                _of_people(str(person or "Gone"), one),
            )
            for one in drawn
            for person in [people.get(one["annotator"])]
        ],
        held_out=sum(one["held_out"] for one in each),
        more=len(each) - len(drawn),
    )


def _of_people(label: str, one: dict[str, Any]) -> Rate:
    untold = "" if one["low"] is not None else not_enough(one.get("prompts", 0))
    return Rate(label, one["accuracy"], one["low"], one["high"], one["pairs"], untold)


def ceiling(same: float | None) -> float | None:
    """The accuracy on one person's labels of somebody who knows the truth.

    Two people who err independently, each right with chance q, say the same with chance q² + (1 - q)²; so
    q = (1 + sqrt(2 same - 1)) / 2. None where they agree no oftener than a coin.
    """
    if same is None or same <= 0.5:
        return None
    return (1 + math.sqrt(2 * same - 1)) / 2


def _rate(label: str, value: Any, metrics: dict[str, Any], name: str, n: int | None) -> Rate | None:
    if value is None:
        return None
    groups = metrics.get("prompts", n or 0)
    if groups < FEWEST:
        return Rate(label, value, None, None, n, not_enough(groups))
    return Rate(label, value, metrics.get(f"{name}_low"), metrics.get(f"{name}_high"), n)
