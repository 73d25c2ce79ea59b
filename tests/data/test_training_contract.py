"""What may stand in a snapshot is what the trainer reads: one table, and two checks that agree on every row."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import feedback.rules
from feedback.rules.data.training_contract import REASONS, fault
from trainer.data.snapshot import parse_row
from trainer.describe import describe_rows
from trainer.errors import SnapshotCorrupt

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
GOOD: dict[str, dict[str, Any]] = {
    "preference": {"prompt": ASK, "chosen": "yes", "rejected": "no", "strength": 2},
    "demonstration": {"prompt": ASK, "completion": "Because."},
    "prompt": {"prompt": ASK},
    "unpaired": {"prompt": ASK, "completion": "Because.", "label": True},
    "document": {"text": "Once.", "source": "s", "document_kind": "text", "licence": ""},
    "classification": {"text": "Hi", "labels": ["a"], "scheme": "s", "classes": ["a", "b"], "many": False},
    "spans": {"text": "Hi Bo", "spans": [{"start": 3, "end": 5, "label": "a"}], "scheme": "s", "classes": ["a"]},
}
WRONG: list[Any] = [None, "", "text", 0, 3, True, [], {}, ["a", "a"], ["z"], [""], [3], ["a", "b"], [{}]]
PROMPTS: list[Any] = [
    [*ASK, {"role": "assistant", "content": "half"}],
    [*ASK, {"role": "system", "content": "late"}],
    [{"role": "tool", "content": "x"}, *ASK],
    [{"role": "user"}],
    [{"role": "user", "content": 3}],
    [{"role": "user", "content": "", "name": "extra"}],
    ["no message"],
]
PLACES: list[tuple[Any, Any, Any]] = [
    (3, 6, "a"), (3, 3, "a"), (-1, 2, "a"), (True, 2, "a"), (0, 2, "z"), (0, 2, None), (0, 2.0, "a"),
]  # fmt: skip
SPANS: list[Any] = [[{"start": start, "end": end, "label": label}] for start, end, label in PLACES]


def neighbors() -> list[dict[str, Any]]:
    """Every good row, and every one with one field gone or something else in its place."""
    rows: list[dict[str, Any]] = [{"kind": "poem"}, {}, {"kind": None}]
    for kind, good in GOOD.items():
        rows.append({"kind": kind, **good})
        for name in good:
            rows.append({"kind": kind, **{key: value for key, value in good.items() if key != name}})
            values = [*WRONG, *(PROMPTS if name == "prompt" else []), *(SPANS if name == "spans" else [])]
            rows += [{"kind": kind, **good, name: value} for value in values]
    return deepcopy(rows)


def is_read(row: dict[str, Any]) -> bool:
    try:
        return parse_row(json.dumps({"row": row, "hash": "h", "count": 1}), "line 1") is not None
    except SnapshotCorrupt:
        return False


def test_the_table_of_fields_is_the_trainers_own() -> None:
    stored = (Path(feedback.rules.__file__).parent / "data" / "rows.json").read_text(encoding="utf-8")
    assert json.loads(stored) == describe_rows(), "run: python -m trainer.describe rows > feedback/rules/data/rows.json"


def test_both_sides_agree_on_every_row() -> None:
    rows = neighbors()
    disagreed = [row for row in rows if (not fault(row)) != is_read(row)]
    assert disagreed == []
    assert sum(map(is_read, rows)) >= len(GOOD)
    assert {fault(row) for row in rows if fault(row)} <= set(REASONS)


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("cafe\u0301 au lait", "caf\u00e9 au lait"),
        ("one\r\ntwo", "one\ntwo"),
        ("one\rtwo", "one\ntwo"),
        ("same", "same"),
    ],
)
def test_responses_that_are_stored_alike_are_no_pair(chosen: str, rejected: str) -> None:
    row = {"kind": "preference", "prompt": ASK, "strength": 1, "chosen": chosen, "rejected": rejected}
    assert fault(row) == "same_text"
    assert fault(row | {"rejected": rejected + "!"}) == ""
