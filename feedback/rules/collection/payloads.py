"""Answers by task kind: from the letters an annotator names to the payload that is stored, and back."""

from feedback.rules.collection.kinds.question import LETTERS, PROMPT, Answer, InvalidAnswer, Payload, Question
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.kinds.task_kind import Written
from feedback.rules.collection.preferences import Preference

__all__ = [
    "LETTERS",
    "PROMPT",
    "Answer",
    "InvalidAnswer",
    "Payload",
    "Question",
    "describe",
    "preferences_in",
    "resolve",
    "unresolve",
    "written_in",
]


def resolve(answer: object, question: Question) -> Payload:
    """The payload to store for `answer`.

    Raises:
        InvalidAnswer: with the field and a sentence.
    """
    if not isinstance(answer, dict):
        raise InvalidAnswer("answer", "It must be an object.")
    payload: Payload = KINDS[question.kind].resolve(answer, question)
    return payload


def unresolve(kind: str, payload: Payload, shown: list[str]) -> Answer:
    """The answer in letters that `payload` came from, as its annotator gave it. Empty for a withdrawal."""
    if not payload:
        return {}
    return KINDS[kind].unresolve(payload, shown)


def preferences_in(kind: str, payload: Payload) -> list[Preference]:
    """The pairs that an answer becomes for training by itself."""
    if not payload:
        return []
    return KINDS[kind].preferences(payload)


def written_in(kind: str, payload: Payload, shown: list[str]) -> Written | None:
    """The text that an answer contributes as a new response, with the responses it is preferred to.

    Args:
        shown: public ids of the responses that the task shows.
    """
    written = KINDS[kind].written
    if written is None or not payload:
        return None
    return written(payload, shown)


def describe(kind: str, payload: Payload, order: list[str]) -> str:
    """An answer in one line, in the letters of `order`."""
    if not payload:
        return "nothing kept"
    letter_of = dict(zip(order, LETTERS.upper(), strict=False))
    return KINDS[kind].describe(payload, letter_of) or "nothing kept"
