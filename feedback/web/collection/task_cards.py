"""A task as the annotator sees it: the same card on the desk, before a reviewer, and where a right answer is given.

Blind: made from `work.payload` and nothing else.
"""

from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from feedback.models import Assignment
from feedback.rules.collection.kinds.rating import OVERALL
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import PROMPT
from feedback.rules.collection.preference import KEYS, STRENGTHS
from feedback.selectors.collection import desk

RATINGS = ((1, "very bad"), (2, "bad"), (3, "fair"), (4, "good"), (5, "very good"))
UNANSWERABLE = "feedback/collection/desk/_unknown_kind.html"
REASON_KEYS = "nwz"  # the first that is no label's
SHORT_OUTCOMES = {"tie": ("same", "same"), "both_bad": ("bad", "both bad")}  # the step's side, and its word


def _scale() -> list[dict[str, str]]:
    """The steps of a comparison: key, side, word on the button, and the strength that it stands for."""
    steps = []
    for key, (outcome, side, strength) in KEYS.items():
        if side is not None and strength is not None:
            adverb = STRENGTHS[strength].removesuffix("better")
            word = f"{side.upper()} {adverb}".strip()
            steps.append({"key": key, "side": side, "word": word, "strength": STRENGTHS[strength]})
        else:
            step_side, word = SHORT_OUTCOMES[outcome]
            steps.append({"key": key, "side": step_side, "word": word, "strength": ""})
    return steps


SCALE = _scale()
DIMENSION_KEYS = ("qwe", "rty", "iop")  # a, same, b for the first three dimensions requested


def card(request: HttpRequest, assignment: Assignment, **more: Any) -> str:
    """HTML of the card.

    `more`: another `action` than the desk's, `ends` (a template in place of Send and its tools), or what it shows.
    """
    seen = more.pop("seen", None) or desk.payload(assignment)
    *earlier, last = seen["prompt"]
    if seen["on"] == PROMPT and last["content"] == seen["text"]:
        last = None  # it is what is marked, below
    written = seen["draft"] or seen["answer"] or {}
    keys = {label["key"] for label in (seen["scheme"] or {}).get("labels", [])}
    context = {
        "action": reverse("desk_submit", args=[seen["id"]]),
        "task": seen,
        "earlier": earlier,
        "last": last,
        "scale": SCALE,
        "body": f"feedback/collection/desk/_{seen['kind']}.html" if _answerable(seen) else UNANSWERABLE,
        "unanswerable": UNANSWERABLE,
        "ratings": RATINGS,
        "rated": seen["dimensions"] or [OVERALL],
        "written": written.get("text", seen["responses"][0]["text"] if seen["responses"] else ""),
        "reason_key": next((key for key in REASON_KEYS if key not in keys), ""),
        "dimensions": [
            {"name": name, "keys": DIMENSION_KEYS[place] if place < len(DIMENSION_KEYS) else ""}
            for place, name in enumerate(seen["dimensions"])
        ],
    }
    return render_to_string("feedback/collection/desk/_card.html", context | more, request)


def _answerable(seen: dict[str, Any]) -> bool:
    """Its kind has a place on the desk, and the labels that it asks for are still there."""
    kind = KINDS.get(seen["kind"])
    return kind is not None and (seen["scheme"] is not None or not kind.uses_scheme)
