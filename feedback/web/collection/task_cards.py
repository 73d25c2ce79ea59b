"""The card of a task: the same on the desk, for a reviewer, and where the answer of a gold task is given.

It shows only what `desk.payload` holds, so that the authors of responses stay hidden.
"""

from collections.abc import Iterable
from itertools import chain, repeat
from typing import NamedTuple

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from feedback.models import Assignment
from feedback.rules.collection.kinds.rating import OVERALL
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import PROMPT
from feedback.rules.collection.preferences import KEYS, NEGLIGIBLE, SLIGHT, STRENGTHS
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import desk
from feedback.web.pages import Context

RATINGS = ((1, "very bad"), (2, "bad"), (3, "fair"), (4, "good"), (5, "very good"))
UNANSWERABLE = "feedback/collection/desk/_unknown_kind.html"
REASON_KEYS = "nwz"  # the first one that no label uses
SHORT_STRENGTHS = {SLIGHT: "slightly", NEGLIGIBLE: "negligibly"}  # "better" is read from the steps beside them
SHORT_OUTCOMES = {"tie": ("same", "about the same"), "both_bad": ("bad", "both bad")}  # side and word


class ScaleStep(NamedTuple):
    """One step of the preference scale: its key, the side that it prefers, the word on the button, and the strength."""

    key: str
    side: str
    word: str
    strength: str


def _scale() -> list[ScaleStep]:
    steps = []
    for key, (outcome, side, strength) in KEYS.items():
        if side is not None and strength is not None:
            words = STRENGTHS[strength]
            steps.append(ScaleStep(key, side, SHORT_STRENGTHS.get(strength, words), words))
        else:
            steps.append(ScaleStep(key, *SHORT_OUTCOMES[outcome], strength=""))
    return steps


SCALE = _scale()
DIMENSION_KEYS = ("qwe", "rty", "iop")  # the keys of a, same and b for the first three dimensions


class DimensionRow(NamedTuple):
    """A dimension of a comparison, and its three keys; no keys after the first three dimensions."""

    name: str
    keys: str


def dimension_rows(names: Iterable[str]) -> list[DimensionRow]:
    return list(map(DimensionRow, names, chain(DIMENSION_KEYS, repeat(""))))


def preview(request: HttpRequest, seen: JsonObject) -> SafeString:
    """The card of a task that does not exist yet, without anything to send.

    Args:
        seen: as `selectors.collection.desk_previews` makes it.
    """
    return _drawn(request, seen, action="", ends="feedback/collection/desk/_preview_end.html")


def card(request: HttpRequest, assignment: Assignment, seen: JsonObject | None = None, **context: object) -> str:
    """The card as HTML.

    Args:
        seen: what the card shows, if it is not `desk.payload` of the assignment.
        context: more for the template: another `action` than that of the desk, or `ends`, a template that replaces
            the submit button and its tools.
    """
    if seen is None:
        seen = desk.payload(assignment)
    return _drawn(request, seen, **{"action": reverse("desk_submit", args=[seen["id"]]), **context})


def _drawn(request: HttpRequest, seen: JsonObject, **context: object) -> SafeString:
    *earlier, last = seen["prompt"]
    if seen["on"] == PROMPT and last["content"] == seen["text"]:
        last = None  # the same text is shown below, to be labeled
    body = UNANSWERABLE
    if _answerable(seen):
        body = f"feedback/collection/desk/_{seen['kind']}.html"
    text = ""
    if seen["responses"]:
        text = seen["responses"][0]["text"]
    written = seen["draft"] or seen["answer"] or {}
    labels = (seen["scheme"] or {}).get("labels", [])
    reason_keys = [key for key in REASON_KEYS if key not in {label["key"] for label in labels}]
    own: Context = {
        "task": seen,
        "earlier": earlier,
        "last": last,
        "scale": SCALE,
        "body": body,
        "question": _question(seen),
        "unanswerable": UNANSWERABLE,
        "ratings": RATINGS,
        "rated": seen["dimensions"] or [OVERALL],
        "written": written.get("text", text),
        "reason_key": "".join(reason_keys[:1]),
        "dimensions": dimension_rows(seen["dimensions"]),
    }
    return render_to_string("feedback/collection/desk/_card.html", own | context, request)


def _answerable(seen: JsonObject) -> bool:
    """Whether the desk has a form for the kind, and the label scheme of the task still exists."""
    kind = KINDS.get(seen["kind"])
    return kind is not None and (seen["scheme"] is not None or not kind.uses_scheme)


def _question(seen: JsonObject) -> str:
    """What the annotator is asked, in words: the scheme's own question where there is one, else that of the kind."""
    scheme = seen["scheme"] or {}
    kind = KINDS.get(seen["kind"])
    return scheme.get("question") or (kind.question if kind else "") or scheme.get("title", "")
