"""Classification: labels of a scheme for the prompt or for the response shown.

Answer: {"labels": ["work"], "reason": "…"}; one label, or several where the scheme allows many.
"""

from typing import Any

from feedback.rules.collection.kinds.question import PROMPT, InvalidAnswer, Question, only, reason
from feedback.rules.collection.preference import Preference


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    only(answer, "labels", "reason")
    given = answer.get("labels")
    if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
        raise InvalidAnswer("labels", "It must be a list of label names.")
    unknown = [label for label in given if label not in question.labels]
    if unknown:
        raise InvalidAnswer("labels", f"Unknown label {unknown[0]!r}; choose from {', '.join(question.labels)}.")
    if len(set(given)) != len(given):
        raise InvalidAnswer("labels", "A label stands in it twice.")
    if not question.scheme.get("many") and len(given) != 1:
        raise InvalidAnswer("labels", f"Choose exactly one label; {len(given)} were given.")
    return {
        "on": question.shown[0] if question.shown else PROMPT,
        "scheme": question.scheme.get("name", ""),
        "labels": sorted(given, key=question.labels.index),
        "reason": reason(answer.get("reason"), question),
    }


def unresolve(payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    return {"labels": payload["labels"], "reason": payload.get("reason", "")}


def preferences(payload: dict[str, Any]) -> list[Preference]:
    return []
