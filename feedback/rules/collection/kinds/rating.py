"""Rating: one response on a scale of 1 to 5, for each dimension that the project asks about.

Answer: {"ratings": {"helpful": 4, "truthful": 5}, "reason": "…"}; a project without dimensions asks about "overall".
"""

from statistics import mean
from typing import Any

from feedback.rules.collection.kinds.question import InvalidAnswer, Question, only, reason, whole_number
from feedback.rules.collection.preference import Preference

WORST, BEST = 1, 5
OVERALL = "overall"
GOOD_FROM, BAD_TO = 4.0, 2.0  # means at which a rated response becomes a good or a bad example


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
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
    ratings = {name: whole_number(given[name], WORST, BEST, f"ratings.{name}") for name in dimensions}
    return {"response": question.shown[0], "ratings": ratings, "reason": reason(answer.get("reason"), question)}


def unresolve(payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    return {"ratings": payload["ratings"], "reason": payload.get("reason", "")}


def preferences(payload: dict[str, Any]) -> list[Preference]:
    """None by itself: pairs between rated responses of a prompt are made when a snapshot is frozen."""
    return []


def verdict(payload: dict[str, Any]) -> bool | None:
    """Whether the rated response is a good (True) or a bad (False) example; None in between."""
    value = overall(payload)
    return True if value >= GOOD_FROM else False if value <= BAD_TO else None


def overall(payload: dict[str, Any]) -> float:
    """Mean over the dimensions, 1 to 5."""
    return mean(payload["ratings"].values())
