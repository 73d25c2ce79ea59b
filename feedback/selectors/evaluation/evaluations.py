"""An evaluation as its page shows it, with the agreement of annotators for comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from feedback.models import Evaluation, ModelVersion, Person
from feedback.rules.collection.preferences import STRENGTHS
from feedback.rules.evaluation.intervals import FEWEST, not_enough, wilson
from feedback.rules.json_types import JsonObject
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


class AnnotatorRate(NamedTuple):
    person: Person | None  # None: erased
    held_out: bool
    rate: Rate


class PolicyRow(NamedTuple):
    """A metric of candidate, opponent and perhaps reference."""

    label: str
    unit: str
    is_share: bool
    values: list[object]


class Lengths(NamedTuple):
    """A histogram of response lengths."""

    label: str
    bins: list[dict[str, int]]


class Reading(NamedTuple):
    label: str
    perplexity: float
    bits_per_byte: float


@dataclass(frozen=True)
class ByAnnotator:
    """Accuracy of the reward model by annotator: of held-out annotators together, of the others together, and of each.

    Held-out annotators come first; `more` are not listed.
    """

    groups: list[Rate]
    people: list[AnnotatorRate]
    held_out: int
    more: int


@dataclass(frozen=True)
class Read:
    """How well models predict one sort of held-out text."""

    label: str
    texts: int
    rows: list[Reading]


@dataclass(frozen=True)
class Report:
    """An evaluation as its page shows it; parts that were not measured are empty.

    Attributes:
        accuracy: of the reward model on held-out pairs. strengths: the same by strength.
        ceiling: the accuracy that a perfect judge would reach on such labels, from how often two annotators agree.
        reliability: bins of predicted and observed probability. error: their expected calibration error.
        judge: the reward model. pleased: whether the candidate was trained with it.
        opponent, reference: the version it was compared with, and its reference model if that is another.
        opinions: win rates by the reward model, which are no evidence if the candidate was trained with it.
        policies: metrics of candidate, opponent and perhaps reference.
        lengths: of candidate and opponent.
        annotators: None if accuracy by annotator is not known. texts: one for each sort of held-out text.
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
    policies: list[PolicyRow]
    lengths: list[Lengths]
    annotators: ByAnnotator | None
    texts: list[Read]


def report(evaluation: Evaluation, people: Agreement | None) -> Report:
    """`people`: how the project's annotators agree on comparisons, if that is known."""
    metrics = evaluation.metrics
    judge = metrics.get("reward_model") or {}
    same = measured_by = None
    if people is not None:
        same = people.raw
    if evaluation.run is not None:
        measured_by = evaluation.run.reward_model
    compared = [metrics.get("policy") or {}, metrics.get("incumbent") or {}]
    if metrics.get("reference"):
        compared.append(metrics["reference"])
    names = {
        "opponent": str(evaluation.incumbent or "the serving model"),
        "reference": str(evaluation.candidate.parent or "the reference model"),
    }
    trained = evaluation.candidate.run
    return Report(
        accuracy=_rate("Accuracy", judge.get("accuracy"), judge, "accuracy", judge.get("pairs")),
        strengths=_by_strength(judge),
        ceiling=ceiling(same),
        same=same,
        reliability=judge.get("reliability") or [],
        error=judge.get("calibration_error"),
        judge=measured_by,
        pleased=measured_by is not None and trained is not None and trained.reward_model_id == measured_by.pk,
        opponent=names["opponent"],
        reference=names["reference"],
        opinions=_opinions(metrics, names),
        policies=_policy_rows(compared),
        lengths=_lengths(compared, names["opponent"]),
        annotators=_by_annotator(judge.get("by_annotator") or {}),
        texts=_readings(metrics.get("held_out_texts") or {}, names),
    )


def _by_strength(judge: JsonObject) -> list[Rate]:
    """Accuracy by strength of preference."""
    pairs = judge.get("pairs_by_strength") or {}
    rates = []
    for strength, accuracy in sorted((judge.get("accuracy_by_strength") or {}).items()):
        n = pairs.get(strength, 0)
        rates.append(Rate(STRENGTH_NAMES.get(strength, strength), accuracy, *wilson(accuracy * n, n), n))
    return rates


def _policy_rows(compared: Sequence[JsonObject]) -> list[PolicyRow]:
    reported = set(chain.from_iterable(compared))
    rows = []
    for name in OF_POLICY:
        if name in reported:
            about = run_figures.evaluated(name, compared[0])
            values: list[object] = [metrics.get(name) for metrics in compared]
            rows.append(PolicyRow(about.label, about.unit, about.share, values))
    return rows


def _lengths(compared: Sequence[JsonObject], opponent: str) -> list[Lengths]:
    rows = []
    for label, metrics in (("Candidate", compared[0]), (opponent, compared[1])):
        if metrics.get("lengths"):
            rows.append(Lengths(label, metrics["lengths"]))
    return rows


def _readings(texts: JsonObject, names: Mapping[str, str]) -> list[Read]:
    """Perplexity of each model on each sort of held-out text."""
    found = []
    for sort, label in SORTS.items():
        figures = texts.get(sort)
        if not figures:
            continue
        rows = []
        for name, reader in READERS.items():
            if name in figures:
                one = figures[name]
                rows.append(Reading(reader.format_map(names), one["perplexity"], one["bits_per_byte"]))
        found.append(Read(label, max(map(itemgetter("texts"), figures.values())), rows))
    return found


def _opinions(metrics: JsonObject, names: Mapping[str, str]) -> list[Rate]:
    rates = []
    for name, label in OPINIONS:
        found = metrics.get(name)
        if isinstance(found, dict) and "value" in found:
            rates.append(_opinion(label.format_map(names), found))
    return rates


def _opinion(label: str, found: JsonObject) -> Rate:
    prompts = found.get("prompts") or 0
    if prompts < FEWEST:  # an interval from so few would claim what nobody knows
        return Rate(label, found["value"], None, None, prompts, not_enough(prompts))
    return Rate(label, found["value"], found.get("low"), found.get("high"), prompts)


def _by_annotator(figures: JsonObject) -> ByAnnotator | None:
    if not figures:
        return None
    each = sorted(figures["annotators"], key=lambda one: (not one["held_out"], -one["pairs"]))
    drawn = each[:MOST_ANNOTATORS]
    listed = Person.objects.filter(public_id__in=list(map(itemgetter("annotator"), drawn)))
    people = {str(person.public_id): person for person in listed}
    rates = []
    for one in drawn:
        person = people.get(one["annotator"])
        rates.append(AnnotatorRate(person, one["held_out"], _of_people(str(person or "Erased annotator"), one)))
    groups = []
    for name, label in (("held_out", "Held-out annotators"), ("others", "Annotators in the training data")):
        found = figures.get(name)
        if found:
            groups.append(_of_people(f"{label} ({found['annotators']})", found))
    held_out = sum(map(itemgetter("held_out"), each))
    return ByAnnotator(groups, rates, held_out, more=len(each) - len(drawn))


def _of_people(label: str, one: JsonObject) -> Rate:
    untold = ""
    if one["low"] is None:
        untold = not_enough(one.get("prompts", 0))
    return Rate(label, one["accuracy"], one["low"], one["high"], one["pairs"], untold)


def ceiling(same: float | None) -> float | None:
    """The accuracy of a perfect judge on the labels of one annotator.

    Two people who err independently, each right with chance q, say the same with chance q² + (1 - q)²; so
    q = (1 + sqrt(2 same - 1)) / 2. None if they agree no more often than by chance.
    """
    if same is None or same <= 0.5:
        return None
    return (1 + math.sqrt(2 * same - 1)) / 2


def _rate(label: str, value: float | None, metrics: JsonObject, name: str, n: int | None) -> Rate | None:
    if value is None:
        return None
    groups = metrics.get("prompts", n or 0)
    if groups < FEWEST:
        return Rate(label, value, None, None, n, not_enough(groups))
    return Rate(label, value, metrics.get(f"{name}_low"), metrics.get(f"{name}_high"), n)
