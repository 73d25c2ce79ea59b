"""One golden row a format, both ways: what is read, and that the same row comes out again."""
# ruff: noqa: E501  (a golden row is read best as one line)

import io
import json
from typing import Any

import pytest

from feedback.formats import reading
from feedback.formats.annotations import touchstone_csv
from feedback.formats.annotations.items import Defaults, InvalidRow, Item, LeftOut, Note
from feedback.formats.catalog import FORMATS

USER = {"role": "user", "content": "Why?"}
YES, NO = {"role": "assistant", "content": "Yes"}, {"role": "assistant", "content": "No"}
LS_RESULT = {"id": "r", "from_name": "comparison", "to_name": "comparison", "type": "pairwise", "origin": "manual"}
GOLDEN: list[tuple[str, str, Any]] = [
    ("touchstone", "comparison", {
        "kind": "comparison", "prompt": [USER], "responses": [{"text": "Yes", "model": "m"}, {"text": "No"}],
        "answers": [{"annotator": "x", "answer": {"outcome": "tie"}, "shown": ["b", "a"], "source": "desk"}],
        "gold": {"outcome": "tie"}, "explanation": "They say the same.", "training_round": True, "external_id": "7", "metadata": {"n": 1, "trl": "1.12"}, "provenance": {"trl": {"margin": 1}}, "priority": 2, "annotations_wanted": 3,
    }),
    ("touchstone", "prompt", {
        "kind": "prompt", "prompt": [USER], "external_id": "P-1", "source": "desk", "responses_wanted": 2, "split": "test",
        "id": "0199-7", "responses": [
            {"text": "Yes", "model": "policy v1", "external_id": "R-1"}, {"text": "No", "author": {"name": "ann", "source": "desk"}},
            {"text": "So", "answer_of": [1, 0]}, {"text": "Bad", "blocked": True}],
        "tasks": [
            {"kind": "comparison", "responses": [1, 0], "external_id": "T-1", "state": "withdrawn", "answers": [
                {"annotator": "x", "answer": {"outcome": "tie"}, "source": "desk", "counted": False, "late": True,
                 "submitted_at": "2026-01-02T03:04:05+00:00", "corrected_by": {"name": "rosa", "source": "desk"}}],
             "verdict": {"reviewer": {"name": "rosa", "source": "desk"}, "answer": {"outcome": "both_bad"}, "note": "n",
                         "decided_at": "2026-01-02T03:04:05+00:00"}},
            {"kind": "demonstration", "answers": [{"annotator": "x", "answer": {"text": "So"}, "source": "desk"}]}],
        "thumbs": [{"response": 2, "annotator": "y", "up": True, "source": "desk", "comment": "fixed it!",
                    "given_at": "2026-01-02T03:04:05+00:00"}],
    }),
    ("touchstone", "comparison", {
        "kind": "comparison", "prompt": [USER], "responses": [{"text": "Yes"}, {"text": "No"}], "external_id": "T-1",
        "prompt_external_id": "", "state": "aside", "thumbs": [{"response": 0, "annotator": "y", "up": False, "source": "s"}],
    }),
    ("trl", "comparison", {"prompt": [USER], "chosen": [YES], "rejected": [NO]}),
    ("trl-implicit", "comparison", {"chosen": [USER, YES], "rejected": [USER, NO], "margin": 0.5}),
    ("trl-prompt-completion", "demonstration", {"prompt": [USER], "completion": [YES]}),
    ("trl-prompt-only", "prompt", {"prompt": [USER]}),
    ("trl-unpaired", "thumb", {"prompt": [USER], "completion": [YES], "label": False}),
    ("hh", "comparison", {"chosen": "\n\nHuman: Why?\n\nAssistant: Yes", "rejected": "\n\nHuman: Why?\n\nAssistant: No"}),
    ("label-studio", "comparison", {
        "id": 1, "data": {"prompt": "Why?", "answer1": "Yes", "answer2": "No"},
        "annotations": [{"completed_by": 2, "was_cancelled": False, "lead_time": 2.5,
                         "result": [{"value": {"selected": "right"}} | LS_RESULT]}],
    }),
    ("label-studio", "ranking", {
        "data": {"prompt": "Why?", "items": [{"id": "x", "body": "1"}, {"id": "y", "body": "2"}, {"id": "z", "body": "3"}]},
        "annotations": [{"completed_by": 2, "result": [{"type": "ranker", "value": {"ranker": ["z", "x", "y"]}}]}],
    }),
    ("argilla", "ranking", {
        "fields": {"prompt": "Why?", "completion-a": "1", "completion-b": "2", "completion-c": "3"}, "suggestions": {},
        "responses": {"ranking": [{"user_id": "u", "value": [
            {"value": "completion-a", "rank": 1}, {"value": "completion-b", "rank": 1}, {"value": "completion-c", "rank": 3},
        ]}]}, "metadata": {"m": 1},
    }),
    ("argilla", "comparison", {
        "fields": {"prompt": "Best pet?", "context": "At home.", "reference": "Cats.", "a": "Dog", "b": "Stone"}, "suggestions": {},
        "metadata": {}, "responses": {"pref": [
            {"value": "a", "user_id": "u3", "status": "submitted"}, {"value": "b", "user_id": "u1", "status": "discarded"}]},
    }),
    ("label-studio", "comparison", {"data": {"prompt": "Why?", "responses": ["Yes", "No"], "lang": "en"}, "annotations": [
        {"completed_by": 2, "was_cancelled": False, "lead_time": 1, "result": [{"value": {"selected": "left"}} | LS_RESULT]},
        {"completed_by": 3, "was_cancelled": True, "result": []}]}),
    ("openassistant", "ranking", {
        "tree_id": "t", "messages": [{"role": "prompter", "content": "Why?"}], "responses": ["1", "2"], "ranks": [1, 0],
    }),
    ("openai", "demonstration", {"messages": [USER, YES]}),
    ("openai", "demonstration", {"messages": [USER, YES | {"weight": 1}, USER | {"name": "Ann"}, NO], "id": 3}),
    ("openai", "prompt", {"messages": [USER, YES | {"weight": 0}]}),
    ("openai", "comparison", {
        "input": {"messages": [USER], "tools": []}, "preferred_output": [YES], "non_preferred_output": [NO],
    }),
    ("pandalm", "comparison", {
        "instruction": "Do", "input": "it", "response1": "a", "response2": "b", "annotator1": 0, "annotator2": 2, "idx": 1,
    }),
    ("llmbar", "comparison", {"id": "N/0", "input": "Why?", "output_1": "a", "output_2": "b", "label": 2}),
    ("touchstone-csv", "comparison", dict.fromkeys(touchstone_csv.COLUMNS, "") | {
        "external_id": "7", "kind": "comparison", "prompt": "'=Why?", "response_a": "'+Yes", "response_b": "No", "model_a": "m",
        "annotator": "x", "annotator_source": "desk", "choice": "b", "strength": "3", "shown": "ba", "seconds": "2.5", "submitted_at": "2026-01-02T03:04:05+00:00", "counted": "no",
        "answer": '{"outcome": "prefer", "choice": "b", "strength": 3}', "metadata": '{"n": 1}', "priority": "2",
    }),
]  # fmt: skip


def of(format: str) -> Any:
    """The first golden row of a format."""
    return next(row for name, _, row in GOLDEN if name == format)


def items_of(format: str, row: Any) -> list[Item]:
    read = FORMATS[format].read
    assert read is not None
    return [one for one in read(row, Defaults("s", "somebody")) if isinstance(one, Item)]


def told_of(format: str, row: Any) -> list[LeftOut | Note]:
    read = FORMATS[format].read
    assert read is not None
    return [one for one in read(row, Defaults("s", "somebody")) if not isinstance(one, Item)]


def rows_of(format: str, items: list[Item]) -> list[Any]:
    write = FORMATS[format].write
    assert write is not None
    return list(write(items))


@pytest.mark.parametrize(("format", "kind", "row"), GOLDEN)
def test_a_golden_row_goes_both_ways(format: str, kind: str, row: Any) -> None:
    items = items_of(format, row)
    assert [item.kind for item in items] == [kind]
    assert rows_of(format, items) == [row]
    (own,) = rows_of("touchstone", items)
    assert rows_of(format, items_of("touchstone", json.loads(json.dumps(own)))) == [row]


def test_left_and_right_become_letters() -> None:
    (item,) = items_of("label-studio", of("label-studio"))
    assert (item.answers[0].answer["choice"], item.answers[0].shown, item.answers[0].seconds) == ("b", ["a", "b"], 2.5)


def test_equal_ranks_tie() -> None:
    (item,) = items_of("argilla", of("argilla"))
    assert item.answers[0].answer == {"ranking": [["a", "b"], ["c"]]}


def test_what_a_format_cannot_carry_is_said() -> None:
    (item,) = items_of("touchstone", of("touchstone"))
    for format in ("trl", "hh", "label-studio", "openai"):
        assert LeftOut("an answer tie") in rows_of(format, [item])


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "'", "'=1", "''=", "\tx", "plain", "it's", ""])
def test_a_guarded_cell_is_read_as_it_was(cell: str) -> None:
    assert touchstone_csv.unguarded(touchstone_csv.guarded(cell)) == cell
    assert not touchstone_csv.guarded(cell).startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("format", sorted(FORMATS))
@pytest.mark.parametrize("row", [1, None, [], {}, {"prompt": 1, "chosen": {}}, {"fields": {}, "data": {}}])
def test_nonsense_is_told_with_a_sentence(format: str, row: Any) -> None:
    if FORMATS[format].container == "csv" and row:
        row = {"guess": "x"}  # the cells of a table are text
    with pytest.raises(InvalidRow) as error:
        items_of(format, row)
    assert error.value.sentence.endswith((".", ")."))


def test_reading_goes_on_at_any_records_end() -> None:
    array = json.dumps([{"t": 'a"]}\\', "n": number} for number in range(9)], indent=1).encode()
    lines = b"\xef\xbb\xbf" + b"".join(json.dumps({"n": number}).encode() + b"\r\n\n" for number in range(9))
    for content, read in ((array, reading.array), (lines, reading.lines)):
        whole = list(read(io.BytesIO(content)))
        assert [record.value["n"] for record in whole] == list(range(9))
        for place, record in enumerate(whole):
            after = list(read(io.BytesIO(content), record.end, record.next_line))
            assert [(one.line, one.value) for one in after] == [(one.line, one.value) for one in whole[place + 1 :]]
