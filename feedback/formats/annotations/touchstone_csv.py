"""Our own CSV: a row for every answer, or for a task without one; for spreadsheets.

Cells that a spreadsheet would run as a formula (they begin with = + - @, a tab or a carriage return) are written with
an apostrophe before them, and so are those that begin with an apostrophe: what is read back is what was written.
"""

import json
from collections.abc import Callable, Iterator
from typing import TypeVar

from feedback.formats.annotations import provenance, touchstone_parts
from feedback.formats.annotations.item_kinds import kind_for
from feedback.formats.annotations.items import (
    LETTERS,
    AnnotationItem,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Row,
    an_object,
    conversation,
)
from feedback.formats.reading import decoded, why

RESPONSES = [f"response_{letter}" for letter in LETTERS]
MODELS = [f"model_{letter}" for letter in LETTERS]
COLUMNS = [
    "external_id", "kind", "prompt", *RESPONSES, *MODELS, "annotator", "annotator_source", "choice", "strength",
    "answer", "shown", "seconds", "gold", "explanation", "training_round", "ask", "source", "metadata", "provenance",
    "priority", "annotations_wanted", "group", "split", "family", "submitted_at", "counted",
]  # fmt: skip
KEPT_TOGETHER = ("group", "split", "family")
T = TypeVar("T")
RISKY = ("=", "+", "-", "@", "\t", "\r", "'")


def guarded(cell: str) -> str:
    return "'" + cell if cell.startswith(RISKY) else cell


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(RISKY) else cell


def read(row: object, defaults: Defaults) -> Iterator[Item]:
    cells = {name: unguarded(value) for name, value in an_object(row).items()}
    unknown = cells.keys() - set(COLUMNS)
    if unknown:
        raise InvalidRow(min(unknown), "Unknown column; see the reference for those that there are.")
    if not cells.get("prompt"):
        raise InvalidRow("prompt", "It is empty.")
    prompt = _json(cells, "prompt", list) if cells["prompt"].startswith("[{") else cells["prompt"]
    responses = _responses(cells)
    kind = cells.get("kind") or kind_for(len(responses))
    item = Item(kind, conversation(prompt), responses)
    if answer := _answer(cells):
        annotation = AnnotationItem(cells.get("annotator") or defaults.annotator, answer)
        annotation.source = cells.get("annotator_source") or defaults.source
        annotation.shown = list(cells.get("shown", ""))
        annotation.seconds = _number(cells, "seconds", float) or 0.0
        annotation.at = touchstone_parts.time({"submitted_at": cells.get("submitted_at") or None}, "submitted_at", "")
        annotation.counted = not cells.get("counted") or _yes(cells, "counted")
        item.answers = [annotation]
    item.gold = _json(cells, "gold", dict)
    item.explanation = cells.get("explanation", "")
    item.training_round = _yes(cells, "training_round")
    item.ask = _json(cells, "ask", dict) or {}
    item.metadata = _json(cells, "metadata", dict) or {}
    item.provenance = provenance.checked(_json(cells, "provenance", dict) or {}, len(responses))
    item.external_id = cells.get("external_id") or None
    item.source = cells.get("source", "")
    item.priority = _number(cells, "priority", int) or 0
    item.wanted = _number(cells, "annotations_wanted", int)
    for name in KEPT_TOGETHER:
        setattr(item, name, cells.get(name, ""))
    yield item


def write(item: Item) -> Iterator[Row | LeftOut]:
    """One row an answer. Of a task with several, the rows share all but the answer; only the first has the id."""
    if len(item.responses) > len(RESPONSES):
        yield LeftOut(f"a {item.kind} with more than {len(RESPONSES)} responses, for which CSV has no columns")
        return
    row: Row = dict.fromkeys(COLUMNS, "")
    one = item.prompt[0]
    plain = len(item.prompt) == 1 and one["role"] == "user" and one["content"] and not one["content"].startswith("[{")
    row |= {"kind": item.kind, "prompt": one["content"] if plain else _text(item.prompt), "source": item.source}
    row["external_id"] = item.external_id or ""
    for place, response in enumerate(item.responses):
        row[RESPONSES[place]] = response.text or EMPTY
        row[MODELS[place]] = response.model
    for name in ("gold", "ask", "metadata", "provenance"):
        if value := getattr(item, name):
            row[name] = _text(value)
    for name in (*KEPT_TOGETHER, "explanation"):
        row[name] = getattr(item, name)
    row["priority"] = str(item.priority or "")
    if item.training_round:
        row["training_round"] = "yes"
    if item.wanted is not None:
        row["annotations_wanted"] = str(item.wanted)
    if EMPTY in item.texts:
        yield LeftOut(f"a response that is the word {EMPTY}, which stands for an empty one in CSV")
        return
    for place, annotation in enumerate(item.answers or [None]):
        if place and item.external_id:
            row["external_id"] = f"{item.external_id}#{place + 1}"
        if annotation:
            row |= _answer_cells(annotation)
        yield {name: guarded(cell) for name, cell in row.items()}


EMPTY = "(empty)"


def _answer_cells(annotation: AnnotationItem) -> dict[str, str]:
    """All cells of an answer, so that one row's never stand in the next."""
    cells = {
        "annotator": annotation.annotator,
        "annotator_source": annotation.source,
        "answer": _text(annotation.answer),
        "choice": annotation.answer.get("choice", ""),
        "strength": str(annotation.answer.get("strength", "")),
        "shown": "".join(annotation.shown),
        "seconds": str(annotation.seconds or ""),
        "submitted_at": "",
        "counted": "",
    }
    if annotation.at:
        cells["submitted_at"] = annotation.at.isoformat()
    if not annotation.counted:
        cells["counted"] = "no"
    return cells


def _responses(cells: Row) -> list[Candidate]:
    columns = list(filter(cells.get, RESPONSES))
    if columns != RESPONSES[: len(columns)]:
        raise InvalidRow(columns[-1], "A response before it is missing. An empty response is written (empty).")
    responses = []
    for name, model in zip(columns, MODELS, strict=False):
        text = cells[name]
        if text == EMPTY:
            text = ""
        responses.append(Candidate(text, cells.get(model, "")))
    return responses


def _answer(cells: Row) -> Row | None:
    if cells.get("answer"):
        return _json(cells, "answer", dict)
    if not cells.get("choice"):
        return None
    if cells["choice"] in ("tie", "both_bad"):
        return {"outcome": cells["choice"]}
    strength = _number(cells, "strength", int)
    return {"outcome": "prefer", "choice": cells["choice"], "strength": 2 if strength is None else strength}


def _yes(cells: Row, name: str) -> bool:
    text = cells.get(name, "").lower()
    if text not in ("", "yes", "no", "true", "false"):
        raise InvalidRow(name, f"{cells[name]!r} is neither yes nor no.")
    return text in ("yes", "true")


def _number(cells: Row, name: str, kind: Callable[[str], T]) -> T | None:
    try:
        return kind(cells[name]) if cells.get(name) else None
    except ValueError:
        raise InvalidRow(name, f"{cells[name]!r} is not a number.") from None


def _json(cells: Row, name: str, kind: type[T]) -> T | None:
    if not cells.get(name):
        return None
    try:
        value = decoded(cells[name])
    except (json.JSONDecodeError, RecursionError):
        value = None
    except ValueError as problem:
        raise InvalidRow(name, why(problem)) from None
    if not isinstance(value, kind):
        raise InvalidRow(name, f"It must be JSON: {'an object' if kind is dict else 'a list'}.")
    return value


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
