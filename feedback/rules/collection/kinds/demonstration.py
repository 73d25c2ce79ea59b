"""Demonstration: a response that a person writes, from scratch or by editing the one shown.

Answer: {"text": "…", "reason": "…"}. With a response shown, the text written is preferred to it.
"""

from typing import Any

from feedback.rules.collection.kinds.question import InvalidAnswer, Question, only, reason
from feedback.rules.collection.preference import Preference
from feedback.rules.data.texts import same

MAX_CHARACTERS = 100_000


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    only(answer, "text", "reason")
    text = answer.get("text")
    if not isinstance(text, str) or not text.strip():
        raise InvalidAnswer("text", "Write the response.")
    if len(text) > MAX_CHARACTERS:
        raise InvalidAnswer("text", f"It has {len(text)} characters; at most {MAX_CHARACTERS} are kept.")
    if "\x00" in text:
        raise InvalidAnswer("text", "It holds a NUL character, which cannot be stored.")
    original = question.shown[0] if question.shown else None
    if original is not None and same(text, question.texts.get(original, "")):
        raise InvalidAnswer("text", "It is the response as it was. Edit it, or skip the task if it needs no change.")
    return {"text": text, "original": original, "reason": reason(answer.get("reason"), question)}


def unresolve(payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    return {"text": payload["text"], "reason": payload.get("reason", "")}


def preferences(payload: dict[str, Any]) -> list[Preference]:
    """None by itself: (edited over original) is written with the new response, once that has an id."""
    return []
