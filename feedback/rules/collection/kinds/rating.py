"""Rating: one response on a scale of 1 to 5, for each dimension that the project asks about.

Answer: {"ratings": {"helpful": 4, "truthful": 5}, "reason": "…"}; a project without dimensions asks about "overall".
"""

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import NotRequired, TypedDict

from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import Answer, InvalidAnswer, Question, only, reason, whole_number
from feedback.rules.collection.kinds.task_kind import Judged, KindFigures, TaskKind
from feedback.rules.quality.agreement import agreement, ordinal

WORST, BEST = 1, 5
OVERALL = "overall"
GOOD_FROM, BAD_TO = 4.0, 2.0  # means at which a rated response becomes a good or a bad example
APART = 2  # points between two ratings of one dimension that are more than a matter of taste


class RatingPayload(TypedDict):
    """`response`: a public id. `ratings`: 1 to 5 by dimension."""

    response: str
    ratings: dict[str, int]
    reason: NotRequired[str]


def resolve(answer: Answer, question: Question) -> RatingPayload:
    only(answer, "ratings", "reason")
    given = answer.get("ratings")
    dimensions = question.dimensions or [OVERALL]
    if not isinstance(given, dict):
        raise InvalidAnswer("ratings", f"It must be an object with {', '.join(dimensions)}, each {WORST} to {BEST}.")
    unknown = sorted(set(given) - set(dimensions))
    if unknown:
        raise InvalidAnswer(f"ratings.{unknown[0]}", f"This project asks about {', '.join(dimensions)}.")
    missing = [name for name in dimensions if name not in given]
    if missing:
        raise InvalidAnswer(f"ratings.{missing[0]}", "Rate every dimension.")
    ratings: dict[str, int] = {}
    for name in dimensions:
        ratings[name] = whole_number(given[name], WORST, BEST, f"ratings.{name}")
    return {"response": question.shown[0], "ratings": ratings, "reason": reason(answer.get("reason"), question)}


def unresolve(payload: RatingPayload, shown: list[str]) -> Answer:
    return {"ratings": payload["ratings"], "reason": payload.get("reason", "")}


def read_form(form: Form, text: str) -> Answer:
    return {"ratings": form.numbers_with_prefix("rating-")}


def describe(payload: RatingPayload, letter_of: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {mark}" for name, mark in payload["ratings"].items())


def majority(payloads: Sequence[RatingPayload]) -> RatingPayload:
    """The median of each dimension, rounded down."""
    first = payloads[0]
    marks: dict[str, int] = {}
    for name in first["ratings"]:
        marks[name] = int(median(one["ratings"][name] for one in payloads))
    return {**first, "ratings": marks, "reason": ""}


def disagree(payloads: Sequence[RatingPayload]) -> bool:
    """Whether two ratings of one dimension lie two points apart."""
    all_ratings = [one["ratings"].values() for one in payloads]
    return any(max(marks) - min(marks) >= APART for marks in zip(*all_ratings, strict=True))


def measure_agreement(tasks: Sequence[Sequence[Judged]]) -> KindFigures:
    """Ordinal agreement; each dimension of each task is a unit."""
    units: list[list[int]] = []
    for task in tasks:
        marks_by_name: dict[str, list[int]] = {}
        for answer in task:
            for name, mark in (answer.payload.get("ratings") or {}).items():
                if mark is not None:
                    marks_by_name.setdefault(name, []).append(mark)
        for name in sorted(marks_by_name):
            units.append(marks_by_name[name])
    return KindFigures(agreement(units, ordinal))


def score(payload: RatingPayload) -> float:
    """Mean over the dimensions, 1 to 5."""
    return mean(payload["ratings"].values())


def verdict(payload: RatingPayload) -> bool | None:
    """Whether the rated response is a good (True) or a bad (False) example; None in between."""
    value = score(payload)
    if value >= GOOD_FROM:
        return True
    return False if value <= BAD_TO else None


def _are_near(given: dict[str, int], right: dict[str, int], tolerance: int) -> bool:
    return all(name in given and abs(given[name] - mark) <= tolerance for name, mark in right.items())


KIND = TaskKind[RatingPayload](
    name="rating",
    label="Rating",
    summary=f"one response from {WORST} to {BEST}, for each dimension",
    instruction="rate a response",
    question="How good is this response?",
    fewest_responses=1,
    most_responses=1,
    resolve=resolve,
    unresolve=unresolve,
    read_form=read_form,
    describe=describe,
    majority=majority,
    disagree=disagree,
    measure_agreement=measure_agreement,
    gold_fields={"ratings": _are_near},
    most_tolerance=BEST - WORST,
    judges_responses=True,
    reads_one_text=True,
    rates_dimensions=True,
)
