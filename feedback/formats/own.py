"""Our own JSON Lines: one task a line with everything that belongs to it. Nothing is left out.

    {"kind": "comparison", "prompt": "…" or [{"role", "content"}], "responses": ["…" or {"text", "model"}],
     "answers": [{"annotator": "ben", "answer": {"outcome": "prefer", "choice": "a", "strength": 2},
                  "shown": ["b", "a"], "seconds": 12.5, "source": "desk"}],
     "gold": {…an answer…}, "explanation": "…why it is right…", "training_round": true, "ask": {"scheme": "topic"},
     "external_id": "7", "source": "…", "metadata": {…}, "provenance": {…}, "priority": 0, "annotations_wanted": 3,
     "group": "…its document, conversation or customer…", "split": "test", "family": "…what it is an edit of…"}

Only `prompt` must be there; without a kind, two responses are a comparison, more a ranking, none just a prompt.
"""

from collections.abc import Iterator
from typing import Any

from feedback.formats import provenance
from feedback.formats.items import (
    LETTERS,
    PROMPT,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Row,
    Said,
    an_object,
    conversation,
    need,
)

FIELDS = {
    "kind", "prompt", "responses", "answers", "gold", "explanation", "training_round", "ask", "external_id", "source",
    "metadata", "provenance", "priority", "annotations_wanted", "group", "split", "family",
}  # fmt: skip
WRITTEN = (
    "gold", "explanation", "training_round", "ask", "external_id", "source", "metadata", "provenance", "priority",
    "group", "split", "family",
)  # fmt: skip
ANSWER_FIELDS = {"annotator", "answer", "shown", "seconds", "source"}


def read(row: Any, defaults: Defaults) -> Iterator[Item]:
    given = an_object(row)
    unknown = given.keys() - FIELDS
    if unknown:
        raise InvalidRow(min(unknown), f"Unknown field; a row has {', '.join(sorted(FIELDS))}.")
    if "prompt" not in given:
        raise InvalidRow("prompt", "It is missing (text or a list of messages).")
    responses = [_candidate(one, place) for place, one in enumerate(_list(given, "responses"))]
    item = Item(given.get("kind") or _kind_of(responses), conversation(given["prompt"]), responses)
    item.answers = [_said(one, place, len(responses), defaults) for place, one in enumerate(_list(given, "answers"))]
    for name in ("gold", "ask", "metadata"):
        if given.get(name) is not None:
            setattr(item, name, need(given, name, dict))
    if given.get("provenance") is not None:
        item.provenance = provenance.checked(given["provenance"], len(responses))
    for name in ("external_id", "source", "explanation", "group", "split", "family"):
        if given.get(name) is not None:
            setattr(item, name, need(given, name, str))
    if given.get("training_round") is not None:
        item.training_round = need(given, "training_round", bool)
    item.priority = need(given, "priority", int) if given.get("priority") is not None else 0
    item.wanted = need(given, "annotations_wanted", int) if given.get("annotations_wanted") is not None else None
    yield item


def write(item: Item) -> Iterator[Row | LeftOut]:
    row: Row = {"kind": item.kind, "prompt": item.prompt}
    if item.responses:
        row["responses"] = [
            {"text": one.text, "model": one.model} if one.model else {"text": one.text} for one in item.responses
        ]
    if item.answers:
        row["answers"] = [_answer(one) for one in item.answers]
    for name in WRITTEN:
        if value := getattr(item, name):
            row[name] = value
    if item.wanted is not None:
        row["annotations_wanted"] = item.wanted
    yield row


def _answer(said: Said) -> Row:
    row: Row = {"annotator": said.annotator, "answer": said.answer}
    if said.shown:
        row["shown"] = said.shown
    if said.seconds:
        row["seconds"] = said.seconds
    if said.source:
        row["source"] = said.source
    return row


def _candidate(given: Any, place: int) -> Candidate:
    if isinstance(given, str):
        return Candidate(given)
    if not isinstance(given, dict) or not isinstance(given.get("text"), str) or given.keys() - {"text", "model"}:
        raise InvalidRow(f"responses[{place}]", 'It must be text, or {"text": …, "model": …}.')
    model = given.get("model") or ""
    if not isinstance(model, str) or len(model) > 200:
        raise InvalidRow(f"responses[{place}].model", "It must be text of at most 200 characters.")
    return Candidate(given["text"], model)


def _said(given: Any, place: int, responses: int, defaults: Defaults) -> Said:
    where = f"answers[{place}]."
    if not isinstance(given, dict) or given.keys() - ANSWER_FIELDS:
        raise InvalidRow(where[:-1], f"It must be an object with {', '.join(sorted(ANSWER_FIELDS))}.")
    annotator = need(given, "annotator", str, where) if "annotator" in given else defaults.annotator
    said = Said(annotator, need(given, "answer", dict, where), source=given.get("source") or defaults.source)
    shown = given.get("shown") or []
    if shown and sorted(map(str, shown)) != list(LETTERS[:responses]):
        raise InvalidRow(where + "shown", "It must hold the letter of every response once, in the order shown.")
    said.shown = shown
    seconds = given.get("seconds") or 0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 86400:
        raise InvalidRow(where + "seconds", "It must be a number of seconds, at most a day.")
    said.seconds = float(seconds)
    return said


def _list(given: Row, name: str) -> list[Any]:
    return need(given, name, list) if given.get(name) is not None else []


def _kind_of(responses: list[Candidate]) -> str:
    return {0: PROMPT, 1: PROMPT, 2: "comparison"}.get(len(responses), "ranking")
