"""What a source itself marks as no annotation is none here either, and is told; nothing is guessed from an order."""
# ruff: noqa: E501  (a row is read best as one line)

from typing import Any

import pytest

from feedback.formats.annotations.items import InvalidRow, Item, LeftOut, Note
from tests.data.test_golden_files import items_of, rows_of, told_of

USER = {"role": "user", "content": "Say hi"}


def chosen_text(item: Item) -> list[str]:
    return [item.responses["ab".index(said.answer["choice"])].text for said in item.answers]


def why(format: str, row: Any) -> list[str]:
    return [one.why for one in told_of(format, row) if isinstance(one, LeftOut)]


def notes(format: str, row: Any) -> list[str]:
    return [one.sentence for one in told_of(format, row) if isinstance(one, Note)]


def refused(format: str, row: Any) -> InvalidRow:
    with pytest.raises(InvalidRow) as error:
        items_of(format, row)
    return error.value


def pairwise(side: str, person: int = 2, **more: Any) -> dict[str, Any]:
    result = {"value": {"selected": side}, "from_name": "c", "to_name": more.pop("to_name", "c"), "type": "pairwise"}
    return {"id": 6, "completed_by": person, "was_cancelled": False, "lead_time": 3.0, "result": [result]} | more


class TestLabelStudio:
    @pytest.mark.parametrize(
        ("data", "to_name", "left"),
        [
            ({"answer1": "Lima", "answer2": "Quito"}, "c", "Lima"),
            ({"answer2": "Bogota", "answer1": "Santiago"}, "c", "Santiago"),
            ({"answer10": "ten", "answer9": "nine"}, "c", "nine"),
            ({"response_b": "b", "response_language": "en", "response_a": "a"}, "c", "a"),
            ({"Output-2": "two", "output 1": "one", "outputs_seen": "3"}, "c", "one"),
            ({"answer2": "two", "answer1": "one"}, "answer2,answer1", "two"),
            ({"right_text": "r", "left_text": "l"}, "left_text, right_text", "l"),
            ({"answer1": "one", "answer2": "two"}, "txt-2,txt-1", "two"),
            ({"responses": ["one", "two"], "response_id": "7"}, "c", "one"),
            ({"lang": "en", "options": ["one", "two"]}, "c", "one"),
        ],
    )
    def test_left_is_what_stood_left_whatever_the_order_of_keys(self, data: Any, to_name: str, left: str) -> None:
        row = {"data": {"prompt": "Capital?"} | data, "annotations": [pairwise("left", to_name=to_name)]}
        (item,) = items_of("label-studio", row)
        assert (item.kind, chosen_text(item)) == ("comparison", [left])
        assert any(one.startswith("On the left is ") for one in notes("label-studio", row))
        (own,) = rows_of("label-studio", [item])
        assert own["data"] == row["data"]
        assert own["annotations"][0]["result"][0]["value"] == {"selected": "left"}

    @pytest.mark.parametrize(
        ("data", "to_name", "words"),
        [
            ({"answer1": "a", "answer2": "b", "output1": "c", "output2": "d"}, "c", "Two groups"),
            ({"answer1": "a", "answer2": "b"}, "upper,lower", "which are not columns of the task"),
            ({"first": "a", "second": "b"}, "c", "columns that look like a response: none"),
        ],
    )
    def test_what_cannot_be_told_is_refused_by_name(self, data: Any, to_name: str, words: str) -> None:
        row = {"data": {"prompt": "Capital?"} | data, "annotations": [pairwise("left", to_name=to_name)]}
        assert words in refused("label-studio", row).sentence

    def test_canceled_drafts_and_earlier_annotations_do_not_count(self) -> None:
        row = {
            "data": {"prompt": "?", "answer1": "one", "answer2": "two"},
            "annotations": [
                pairwise("left", updated_at="2026-01-02"), pairwise("right", updated_at="2026-01-01"),
                pairwise("right", 3, was_cancelled=True), pairwise("right", 4, result=[]),
            ],
            "drafts": [{"id": 1}], "predictions": [{"model_version": "m"}],
        }  # fmt: skip
        (item,) = items_of("label-studio", row)
        assert [(said.annotator, said.answer["choice"]) for said in item.answers] == [("2", "a")]
        assert sorted(why("label-studio", row)) == [
            "a draft, which was not submitted", "a model's prediction", "an annotation that was cancelled or skipped",
            "an annotation without a result", "an earlier annotation of the same person, whose newest counts",
        ]  # fmt: skip
        (own,) = rows_of("label-studio", [item])
        assert len(own["annotations"]) == 4  # they are given back, and still do not count

    def test_what_was_kept_of_an_annotation_stays_with_its_person(self) -> None:
        data = {"prompt": "?", "answer1": "one", "answer2": "two"}
        row = {"data": data, "annotations": [pairwise("left", 2, id=20), pairwise("right", 3, id=30)]}
        (item,) = items_of("label-studio", row)
        del item.answers[0]
        (own,) = rows_of("label-studio", [item])
        assert [(one["id"], one["completed_by"]) for one in own["annotations"]] == [(30, 3)]

    def test_an_annotation_of_nobody_keeps_its_id_whoever_brought_it_in(self) -> None:
        data = {"prompt": "?", "answer1": "one", "answer2": "two"}
        unsigned = pairwise("left", id=20)
        del unsigned["completed_by"]
        row = {"data": data, "annotations": [unsigned, pairwise("right", 3, id=30)]}
        (item,) = items_of("label-studio", row)
        (own,) = rows_of("label-studio", [item])
        assert [(one["id"], one.get("completed_by")) for one in own["annotations"]] == [(20, None), (30, 3)]


class TestArgilla:
    def test_only_what_was_submitted_counts(self) -> None:
        told = [
            {"value": "b", "user_id": "u1", "status": "discarded"}, {"value": "a", "user_id": "u2", "status": "draft"},
            {"value": "a", "user_id": "u3", "status": "submitted"}, {"value": "a", "user_id": "u4"},
        ]  # fmt: skip
        row = {"fields": {"prompt": "Best pet?", "a": "Dog", "b": "Stone"}, "responses": {"pref": told}}
        (item,) = items_of("argilla", row)
        assert [said.annotator for said in item.answers] == ["u3", "u4"]
        assert why("argilla", row) == ["a response whose status is discarded", "a response whose status is draft"]

    @pytest.mark.parametrize("status", ["Discarded", "DRAFT", "pending", "in review"])
    def test_whatever_is_not_submitted_does_not_count(self, status: str) -> None:
        told = [
            {"value": "b", "user_id": "u1", "status": status},
            {"value": "a", "user_id": "u2", "status": "SUBMITTED"},
        ]
        row = {"fields": {"prompt": "Best pet?", "a": "Dog", "b": "Stone"}, "responses": {"pref": told}}
        (item,) = items_of("argilla", row)
        assert [said.annotator for said in item.answers] == ["u2"]
        assert why("argilla", row) == [f"a response whose status is {status}"]

    @pytest.mark.parametrize("status", ["discarded", "Discarded"])
    def test_a_record_that_was_discarded_brings_nothing(self, status: str) -> None:
        told = [{"value": "b", "user_id": "u1", "status": "submitted"}]
        fields = {"prompt": "Best pet?", "a": "Dog", "b": "Stone"}
        row = {"fields": fields, "responses": {"pref": told}, "status": status}
        assert (items_of("argilla", row), why("argilla", row)) == ([], ["a record that was discarded"])

    def test_when_nothing_was_submitted_the_task_is_open(self) -> None:
        told = [{"value": "b", "user_id": "u1", "status": "discarded"}]
        row = {"fields": {"prompt": "Best pet?", "a": "Dog", "b": "Stone"}, "responses": {"pref": told}}
        (item,) = items_of("argilla", row)
        assert (item.kind, item.answers, len(item.responses)) == ("comparison", [], 2)

    def test_a_context_belongs_to_the_prompt_and_a_reference_is_shown_to_nobody(self) -> None:
        fields = {"prompt": "Summarise", "context": "About boats.", "response": "Boats.", "reference": "Two boats."}
        row: dict[str, Any] = {"fields": fields, "responses": {}, "suggestions": {}, "metadata": {}}
        (item,) = items_of("argilla", row)
        assert item.prompt == [{"role": "user", "content": "Summarise\n\nAbout boats."}]
        assert [one.text for one in item.responses] == ["Boats."]
        assert len(notes("argilla", row)) == 2
        assert rows_of("argilla", [item]) == [row]

    def test_fields_that_no_ranking_names_are_no_responses(self) -> None:
        ranked = [{"value": "x", "rank": 1}, {"value": "y", "rank": 2}]
        fields = {"prompt": "?", "hint": "none", "x": "1", "y": "2"}
        row = {"fields": fields, "responses": {"rank": [{"value": ranked, "user_id": "u"}]}}
        (item,) = items_of("argilla", row)
        assert [one.text for one in item.responses] == ["1", "2"]
        assert rows_of("argilla", [item])[0]["fields"] == fields


def message(name: str, role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"message_id": name, "role": role, "text": text} | more


class TestOpenAssistant:
    def test_deleted_and_failed_messages_are_left_out_with_what_answers_them(self) -> None:
        below = [message("q2", "prompter", "and then?")]
        replies = [
            message("a", "assistant", "gone", rank=0, deleted=True, replies=below),
            message("b", "assistant", "good", rank=1, replies=[message("q3", "prompter", "thanks", deleted=True)]),
            message("c", "assistant", "spam", rank=2, review_result=False),
            message("d", "assistant", "fair", rank=3, review_result=True, deleted=False),
        ]
        row = {"message_tree_id": "q1", "prompt": message("q1", "prompter", "why?", replies=replies)}
        (item,) = items_of("openassistant", row)
        assert [one.text for one in item.responses] == ["good", "fair"]
        assert item.answers[0].answer == {"ranking": [["a"], ["b"]]}
        assert sorted(why("openassistant", row)) == [
            "a message that failed its review", "a message that was deleted",
            "a message that was deleted, with its replies",
        ]  # fmt: skip
        assert rows_of("openassistant", [item])[0]["prompt"]["replies"][0]["text"] == "good"

    def test_a_tree_that_was_stopped_or_whose_root_is_gone_brings_nothing(self) -> None:
        row = {"message_tree_id": "q1", "prompt": message("q1", "prompter", "why?", deleted=True)}
        assert (items_of("openassistant", row), why("openassistant", row)) == ([], ["a message that was deleted"])
        row = {"message_tree_id": "q1", "tree_state": "halted_by_moderator", "prompt": message("q1", "prompter", "?")}
        assert items_of("openassistant", row) == []
        assert "stopped" in why("openassistant", row)[0]


class TestOpenAI:
    def test_weight_0_is_never_imitated(self) -> None:
        row = {"messages": [USER, {"role": "assistant", "content": "Go away", "weight": 0}]}
        (item,) = items_of("openai", row)
        assert (item.kind, item.prompt, item.responses, item.answers) == ("prompt", [USER], [], [])
        assert why("openai", row) == ["a message of weight 0, which is not to be imitated"]

    def test_weight_1_is_taken_and_several_turns_are_told(self) -> None:
        turns = [USER, {"role": "assistant", "content": "b", "weight": 1}, USER, {"role": "assistant", "content": "d"}]
        (item,) = items_of("openai", {"messages": turns})
        assert (item.kind, item.answers[0].answer) == ("demonstration", {"text": "d"})
        assert item.prompt[1] == {"role": "assistant", "content": "b"}
        assert "the last is the demonstration" in notes("openai", {"messages": turns})[0]

    @pytest.mark.parametrize(
        ("beside", "field"),
        [
            (
                {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}}]},
                "tool_calls",
            ),
            ({"function_call": {"name": "w", "arguments": "{}"}}, "function_call"),
            ({"refusal": "I cannot say that."}, "refusal"),
            ({"weight": 2}, "weight"),
            ({"weight": True}, "weight"),
        ],
    )
    def test_what_a_message_cannot_do_without_is_refused_by_name(self, beside: Any, field: str) -> None:
        row = {"messages": [USER, {"role": "assistant", "content": "One moment"} | beside]}
        assert refused("openai", row).field == f"messages[1].{field}"

    def test_what_it_can_do_without_is_kept_and_told(self) -> None:
        answer = {
            "role": "assistant",
            "content": "hi",
            "reasoning_content": "They greet.",
            "tool_calls": None,
            "refusal": None,
        }
        row = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Say hi"}]}, answer]}
        (item,) = items_of("openai", row)
        assert (item.prompt, item.answers[0].answer) == ([USER], {"text": "hi"})
        assert notes("openai", row) == [
            "Messages have the field 'reasoning_content': it is kept beside them and not learned."
        ]
        kept = {"role": "assistant", "content": "hi", "reasoning_content": "They greet."}
        assert rows_of("openai", [item]) == [{"messages": [USER, kept]}]


ASK = {"role": "user", "content": "Name a fruit."}
APPLE, CARROT = {"role": "assistant", "content": "Apple."}, {"role": "assistant", "content": "Carrot."}
BRIEF = {"role": "system", "content": "Be brief."}
HUB: list[tuple[str, Any, str, list[Any], list[str]]] = [
    ("the prompt repeated", {"prompt": "Name a fruit.", "chosen": [ASK, APPLE], "rejected": [ASK, CARROT], "score_chosen": 8.5}, "comparison", [ASK], ["Apple.", "Carrot."]),
    ("with a system message in front", {"prompt": "Name a fruit.", "chosen": [BRIEF, ASK, APPLE], "rejected": [BRIEF, ASK, CARROT]}, "comparison", [BRIEF, ASK], ["Apple.", "Carrot."]),
    ("null extras", {"prompt": [ASK | {"name": None, "tool_calls": None}], "chosen": [APPLE | {"name": None}], "rejected": [CARROT | {"tool_calls": []}]}, "comparison", [ASK], ["Apple.", "Carrot."]),
    ("text parts", {"prompt": [{"role": "user", "content": [{"type": "text", "text": "Name a "}, {"type": "text", "text": "fruit."}]}], "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "Apple."}]}], "rejected": [CARROT]}, "comparison", [ASK], ["Apple.", "Carrot."]),
    ("null columns", {"prompt": "Name a fruit.", "completion": "Apple.", "chosen": None, "rejected": None, "label": None}, "demonstration", [ASK], []),
    ("label 1", {"prompt": [ASK], "completion": [APPLE], "label": 1}, "thumb", [ASK], ["Apple."]),
    ("a completion that repeats the prompt", {"prompt": [ASK], "completion": [ASK, APPLE], "label": 0}, "thumb", [ASK], ["Apple."]),
    ("messages", {"messages": [BRIEF, ASK, APPLE]}, "demonstration", [BRIEF, ASK], []),
    ("one side a text", {"prompt": "Name a fruit.", "chosen": "Apple.", "rejected": CARROT}, "comparison", [ASK], ["Apple.", "Carrot."]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "kind", "prompt", "texts"), [one[1:] for one in HUB], ids=[one[0] for one in HUB])
def test_rows_as_hub_data_sets_have_them(row: Any, kind: str, prompt: Any, texts: list[str]) -> None:
    (item,) = items_of("trl", row)
    assert (item.kind, item.prompt) == (kind, prompt)
    assert [one.text for one in item.responses] == texts
    if kind == "demonstration":
        assert item.answers[0].answer == {"text": "Apple."}
    if kind == "thumb":
        assert item.answers[0].answer == {"up": bool(row["label"])}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"prompt": [ASK], "completion": [APPLE], "label": "1"}, "label"),
        ({"prompt": "Another.", "chosen": [ASK, APPLE], "rejected": [ASK, CARROT]}, "chosen"),
        ({"chosen": [ASK, APPLE], "rejected": [BRIEF, CARROT]}, "rejected"),
        ({"prompt": [ASK], "completions": ["a"], "labels": [True]}, "completions"),
        ({"text": "A story."}, "text"),
        ({"prompt": [ASK], "chosen": [APPLE | {"tool_calls": [{"id": "1"}]}], "rejected": [CARROT]}, "chosen[0].tool_calls"),
        ({"prompt": [ASK], "chosen": [{"role": "assistant", "content": [{"type": "image"}]}], "rejected": [CARROT]}, "chosen[0].content"),
    ],
)  # fmt: skip
def test_what_a_trl_row_cannot_mean_is_refused_by_name(row: Any, field: str) -> None:
    assert refused("trl", row).field == field
