"""Checks: what is known to be right, and whether an answer says it.

A gold answer is an answer as it is stored, less what no check fixes (strength, reasons), and perhaps a tolerance: how
many points a rating, or how many characters each end of a span, may be off.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from feedback.rules.collection import payloads
from feedback.rules.collection.payloads import InvalidAnswer, Question
from feedback.rules.collection.preference import CLEAR

CHECKED = {  # what a right answer fixes, by kind; what a person writes has none
    "comparison": ("outcome", "chosen"),
    "conversation": ("outcome", "chosen"),
    "ranking": ("ranking",),
    "rating": ("ratings",),
    "classification": ("labels",),
    "spans": ("spans",),
}
TOLERANT = {"rating": 4, "spans": 1000}  # the kinds that have a tolerance, and the most it may be
TOLD = ("chosen", "outcome", "labels", "ranking", "ratings", "spans")


def checked(gold: Any, question: Question) -> dict[str, Any]:
    """What to store for a gold answer given in the letters of the task's own order, with or without a tolerance.

    Raises:
        InvalidAnswer: the kind has no right answers, or this is none.
    """
    if question.kind not in CHECKED:
        raise InvalidAnswer("gold", f"A {question.kind} has no one right answer, so it cannot be a check.")
    if not isinstance(gold, dict):
        raise InvalidAnswer("gold", "It must be an object.")
    tolerance = gold.get("tolerance", 0)
    most = TOLERANT.get(question.kind, 0)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int) or not 0 <= tolerance <= most:
        raise InvalidAnswer("tolerance", f"For a {question.kind} it is a whole number from 0 to {most}.")
    answer = {name: value for name, value in gold.items() if name != "tolerance"}
    if answer.get("outcome") == "prefer":
        answer.setdefault("strength", CLEAR)  # no check is about how much better
    payload = payloads.resolve(answer, question)
    kept = {name: value for name, value in payload.items() if value not in ("", {}) or name in CHECKED[question.kind]}
    return kept | ({"tolerance": tolerance} if tolerance else {})


def is_right(payload: Mapping[str, Any], gold: Mapping[str, Any]) -> bool:
    """All that the right answer fixes is so, within its tolerance. A reason beside it is not compared."""
    expected = {name: gold[name] for name in TOLD if gold.get(name) is not None}
    tolerance = gold.get("tolerance", 0)
    return bool(expected) and all(_same(name, payload.get(name), value, tolerance) for name, value in expected.items())


def _same(name: str, given: Any, right: Any, tolerance: int) -> bool:
    if given is None:
        return False
    if name == "ranking":
        return [set(group) for group in given] == [set(group) for group in right]
    if name == "ratings":
        return all(one in given and abs(given[one] - mark) <= tolerance for one, mark in right.items())
    if name == "spans":
        return _same_spans(given, right, tolerance)
    return bool(given == right)


def _same_spans(given: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]], tolerance: int) -> bool:
    """One span for each that is right, both ends near enough. In the order of their starts, within a label."""
    if len(given) != len(right):
        return False
    mine, theirs = (sorted((one["label"], one["start"], one["end"]) for one in spans) for spans in (given, right))
    return all(
        a[0] == b[0] and abs(a[1] - b[1]) <= tolerance and abs(a[2] - b[2]) <= tolerance
        for a, b in zip(mine, theirs, strict=True)
    )
