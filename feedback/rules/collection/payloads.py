"""Answers by task kind: from the letters an annotator names to the payload that is stored, and back."""

from types import ModuleType
from typing import Any

from feedback.rules.collection.kinds import (
    classification,
    comparison,
    conversation,
    demonstration,
    ranking,
    rating,
    spans,
)
from feedback.rules.collection.kinds.question import LETTERS, PROMPT, InvalidAnswer, Question
from feedback.rules.collection.preference import Preference

__all__ = ["LETTERS", "PROMPT", "InvalidAnswer", "Question", "preferences_in", "resolve", "unresolve"]

KINDS: dict[str, ModuleType] = {
    "comparison": comparison,
    "conversation": conversation,
    "ranking": ranking,
    "rating": rating,
    "demonstration": demonstration,
    "classification": classification,
    "spans": spans,
}


def resolve(answer: Any, question: Question) -> dict[str, Any]:
    """The payload to store for `answer`.

    Raises:
        InvalidAnswer: with the field and a sentence.
    """
    if not isinstance(answer, dict):
        raise InvalidAnswer("answer", "It must be an object.")
    payload: dict[str, Any] = KINDS[question.kind].resolve(answer, question)
    return payload


def unresolve(kind: str, payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    """The answer in letters that `payload` came from, as its annotator gave it. Empty for a withdrawal."""
    answer: dict[str, Any] = KINDS[kind].unresolve(payload, shown) if payload else {}
    return answer


def preferences_in(kind: str, payload: dict[str, Any]) -> list[Preference]:
    """The pairs that an answer becomes for training by itself."""
    pairs: list[Preference] = KINDS[kind].preferences(payload) if payload else []
    return pairs
