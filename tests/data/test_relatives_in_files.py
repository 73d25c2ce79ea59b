"""Our own files carry what decides a prompt's split: its group, where it was, and what it is an edit of."""

from typing import Any

import pytest

from feedback.formats.annotations import touchstone_csv, touchstone_jsonl
from feedback.formats.annotations.items import Defaults, InvalidRow

TOLD = {"group": "contract 7", "split": "test", "family": "what it was before"}


@pytest.mark.parametrize("told", [TOLD, {"group": "=1+1"}, {"split": "none"}, {}])
def test_it_comes_back_as_it_went(told: dict[str, str]) -> None:
    [item] = touchstone_jsonl.read({"prompt": "Which one?", **told}, Defaults())
    assert {name: getattr(item, name) for name in TOLD} == dict.fromkeys(TOLD, "") | told
    [row] = touchstone_jsonl.write(item)
    assert isinstance(row, dict)
    assert {name: row[name] for name in TOLD if name in row} == told
    [cells] = touchstone_csv.write(item)
    assert isinstance(cells, dict)
    [again] = touchstone_csv.read(cells, Defaults())
    assert {name: getattr(again, name) for name in TOLD} == dict.fromkeys(TOLD, "") | told


@pytest.mark.parametrize("name", list(TOLD))
@pytest.mark.parametrize("value", [7, ["a"], {"a": 1}, True])
def test_what_is_no_text_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidRow) as refused:
        list(touchstone_jsonl.read({"prompt": "Which one?", name: value}, Defaults()))
    assert refused.value.field == name
