"""Spans: stretches of the prompt or of the response shown, each with a label of a scheme.

Answer: {"spans": [{"start": 0, "end": 4, "label": "name"}], "reason": "…"}. Offsets count Unicode characters (code
points), start inclusive, end exclusive. No spans at all is a valid answer: there was nothing to mark.
"""

from itertools import pairwise
from typing import Any

from feedback.rules.collection.kinds.question import PROMPT, InvalidAnswer, Question, only, reason, whole_number
from feedback.rules.collection.preference import Preference


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    only(answer, "spans", "reason")
    given = answer.get("spans")
    if not isinstance(given, list):
        raise InvalidAnswer("spans", 'It must be a list of {"start", "end", "label"}.')
    on = question.shown[0] if question.shown else PROMPT
    text = question.texts.get(on, "")
    spans = [_span(one, text, question, f"spans[{place}]") for place, one in enumerate(given)]
    spans.sort(key=lambda span: (span["start"], span["end"], span["label"]))
    for one, after in pairwise(spans):
        if one == after:
            raise InvalidAnswer("spans", f"Characters {one['start']} to {one['end']} are marked {one['label']} twice.")
        if not question.scheme.get("many") and after["start"] < one["end"]:
            raise InvalidAnswer("spans", f"Spans overlap at character {after['start']}; this scheme does not allow it.")
    return {
        "on": on,
        "scheme": question.scheme.get("name", ""),
        "spans": [span | {"text": text[span["start"] : span["end"]]} for span in spans],
        "reason": reason(answer.get("reason"), question),
    }


def unresolve(payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    spans = [{name: span[name] for name in ("start", "end", "label")} for span in payload["spans"]]
    return {"spans": spans, "reason": payload.get("reason", "")}


def preferences(payload: dict[str, Any]) -> list[Preference]:
    return []


def _span(given: Any, text: str, question: Question, name: str) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) != {"start", "end", "label"}:
        raise InvalidAnswer(name, "It must have start, end and label, and nothing else.")
    start = whole_number(given["start"], 0, len(text), f"{name}.start")
    end = whole_number(given["end"], 0, len(text), f"{name}.end")
    if start >= end:
        raise InvalidAnswer(f"{name}.end", "It must come after start.")
    if given["label"] not in question.labels:
        raise InvalidAnswer(f"{name}.label", f"Choose from {', '.join(question.labels)}; got {given['label']!r}.")
    return {"start": start, "end": end, "label": given["label"]}
