"""Answers as plain forms bring them, for browsers without script: one reader per task kind."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.http import QueryDict

from feedback.errors import Invalid
from feedback.rules.collection.preference import KEYS

MOST_LINES = 300


def from_form(task: dict[str, Any], form: QueryDict) -> dict[str, Any]:
    """The answer as REST would have it, to the task as `work.payload` shows it.

    What is wrong in it is determined by the service that takes it in; here only what cannot even be read.

    Raises:
        Invalid: a line of a spans form that names no stretch of the text.
    """
    reader = _READERS.get(task["kind"])
    return reader(form, task) | {"reason": form.get("reason", "")} if reader else {}


def _comparison(form: QueryDict, task: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"outcome": None}
    pressed = str(form.get("choice", ""))
    if pressed in KEYS:
        outcome, choice, strength = KEYS[pressed]
        answer = {"outcome": outcome}
        if outcome == "prefer":
            answer |= {"choice": choice, "strength": strength}
    answer["dimensions"] = {name: choice for name, choice in _named(form, "dimension-").items() if choice}
    return answer


def _conversation(form: QueryDict, task: dict[str, Any]) -> dict[str, Any]:
    return _comparison(form, task) | {"rewrite": form.get("rewrite", "").replace("\r\n", "\n")}


def _ranking(form: QueryDict, task: dict[str, Any]) -> dict[str, Any]:
    """A place (1 is best) for each letter; equal places tie."""
    places = {letter: int(place) for letter, place in _named(form, "place-").items() if _small(place)}
    groups = [sorted(one for one, at in places.items() if at == place) for place in sorted(set(places.values()))]
    return {"ranking": groups}


def _rating(form: QueryDict, task: dict[str, Any]) -> dict[str, Any]:
    return {"ratings": {name: int(mark) for name, mark in _named(form, "rating-").items() if _small(mark)}}


def _demonstration(form: QueryDict, task: dict[str, Any]) -> dict[str, Any]:
    return {"text": str(form.get("text", "")).replace("\r\n", "\n")}


def _classification(form: QueryDict, task: dict[str, Any]) -> dict[str, Any]:
    return {"labels": form.getlist("label")}


def _spans(form: QueryDict, task: dict[str, Any]) -> dict[str, Any]:
    """A line per span: `label: the words as they stand`. The same line again means their next occurrence."""
    text, spans = str(task["text"]), []
    seen: Counter[str] = Counter()
    lines = str(form.get("spans", "")).splitlines()
    if len(lines) > MOST_LINES:
        raise Invalid(f"At most {MOST_LINES} spans can be marked in a form; there are {len(lines)}.", field="spans")
    for line in lines:
        if not line.strip():
            continue
        label, colon, words = (part.strip() for part in line.partition(":"))
        seen[line.strip()] += 1
        found = [match.start() for match in re.finditer(re.escape(words), text)] if colon and words else []
        if len(found) < seen[line.strip()]:
            raise Invalid(
                f"“{line.strip()}” is no label with words of the text. Write it as label: words.", field="spans"
            )
        start = found[seen[line.strip()] - 1]
        spans.append({"start": start, "end": start + len(words), "label": label})
    return {"spans": spans}


def _small(number: str) -> bool:
    """Whether it is a place or a mark: converting thousands of digits would be an error of its own."""
    return number.isdecimal() and len(number) <= 2


def _named(form: QueryDict, prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): str(form[name]) for name in form if name.startswith(prefix)}


_READERS: dict[str, Callable[[QueryDict, dict[str, Any]], dict[str, Any]]] = {
    "comparison": _comparison,
    "conversation": _conversation,
    "ranking": _ranking,
    "rating": _rating,
    "demonstration": _demonstration,
    "classification": _classification,
    "spans": _spans,
}
