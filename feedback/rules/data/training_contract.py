"""Checks rows of a snapshot by the trainer's own table of fields, `rows.json` beside this file.

`python -m trainer.describe rows > feedback/rules/data/rows.json` writes the table. A test feeds both sides the same
rows. A row that the trainer would refuse is left out of a snapshot: one such line would end every run on it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from feedback.rules.data import texts
from feedback.rules.json_types import is_list_of

# Reason -> what is reported of the rows that were left out for it.
REASONS = {
    "field": "a field that their kind needs is missing or of another type",
    "message": "a message of their prompt has no role or no text",
    "no_question": "their prompt does not end with a user's message, so there is nothing to answer",
    "same_text": "both responses are the same text, so neither can be better",
    "classes": "their classes are no names, or one stands twice",
    "labels": "their labels are none of the classes, or not exactly one",
    "spans": "a span lies outside its text, or its label is none of the classes",
    "encoding": "a character in them cannot be written as UTF-8",
}
Row = Mapping[str, Any]  # a row before it is checked, so that nothing is known of its values


class Contract(TypedDict):
    """The table in `rows.json`: the fields of each kind with their types, and the roles of messages."""

    kinds: dict[str, dict[str, str]]
    roles: list[str]


TYPES: dict[str, type] = {"text": str, "list": list, "integer": int, "boolean": bool}


def fault(row: Row) -> str:
    """Why a row, in its canonical form, cannot be trained on: a key of `REASONS`; empty if it can."""
    described = _described()
    fields = described["kinds"].get(str(row.get("kind")))
    if fields is None:
        return "field"
    for name, kind in fields.items():
        if not isinstance(row.get(name), TYPES[kind]):
            return "field"
    checks: list[tuple[str, str, Callable[[Row], str]]] = [
        ("prompt", "list", _prompt),
        ("classes", "list", _classes),
        ("labels", "list", _labels),
        ("spans", "list", _spans),
        ("rejected", "text", _same_text),
    ]
    for name, kind, check in checks:
        if fields.get(name) == kind and (reason := check(row)):
            return reason
    return ""


@cache
def _described() -> Contract:
    described: Contract = json.loads(Path(__file__).with_name("rows.json").read_text(encoding="utf-8"))
    return described


def _prompt(row: Row) -> str:
    roles = _described()["roles"]
    for message in row["prompt"]:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            return "message"
        if message.get("role") not in roles:
            return "message"
    if row["prompt"] and row["prompt"][-1]["role"] == "user":
        return ""
    return "no_question"


def _classes(row: Row) -> str:
    if _names(row["classes"]):
        return ""
    return "classes"


def _labels(row: Row) -> str:
    labels = row["labels"]
    known = _names(labels) and set(labels) <= set(row["classes"])
    if known and (row["many"] or len(labels) == 1):
        return ""
    return "labels"


def _spans(row: Row) -> str:
    for one in row["spans"]:
        if not isinstance(one, dict):
            return "spans"
        start, end = one.get("start"), one.get("end")
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(row["text"]):
            return "spans"
        if not isinstance(one.get("label"), str) or one["label"] not in row["classes"]:
            return "spans"
    return ""


def _same_text(row: Row) -> str:
    if texts.same(row["chosen"], row["rejected"]):
        return "same_text"
    return ""


def _names(value: Sequence[object]) -> bool:
    return all(value) and is_list_of(list(value), str) and len(set(value)) == len(value)
