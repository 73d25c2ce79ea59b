"""Answers as plain forms bring them, for browsers without script: one reader per task kind."""

from collections.abc import Callable
from typing import Any

from django.http import QueryDict

from feedback.rules.preference import KEYS


def from_form(kind: str, form: QueryDict) -> dict[str, Any]:
    """The answer as REST would have it. What is wrong in it is told by the service that takes it in."""
    reader = _READERS.get(kind)
    return reader(form) if reader else {}


def _comparison(form: QueryDict) -> dict[str, Any]:
    answer: dict[str, Any] = {"outcome": None}
    pressed = str(form.get("choice", ""))
    if pressed in KEYS:
        outcome, choice, strength = KEYS[pressed]
        answer = {"outcome": outcome}
        if outcome == "prefer":
            answer |= {"choice": choice, "strength": strength}
    prefix = "dimension-"
    answer["dimensions"] = {
        name.removeprefix(prefix): form[name] for name in form if name.startswith(prefix) and form[name]
    }
    answer["reason"] = form.get("reason", "")
    return answer


_READERS: dict[str, Callable[[QueryDict], dict[str, Any]]] = {"comparison": _comparison}
