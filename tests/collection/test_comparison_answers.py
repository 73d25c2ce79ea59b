"""What a valid answer to a comparison is, and what is said of an invalid one."""

from collections.abc import Mapping
from typing import Any

import pytest

from feedback.rules.collection.payloads import InvalidAnswer, Question, preferences_in, resolve, unresolve
from feedback.rules.collection.preferences import KEYS, Preference

SHOWN = ["second-response", "first-response"]  # the order in which this annotator saw them


def given(answer: Any, *, dimensions: list[str] | None = None, asks_reason: bool = False) -> Mapping[str, Any]:
    return resolve(answer, Question("comparison", SHOWN, dimensions=dimensions or [], asks_reason=asks_reason))


def test_letters_become_responses_whatever_side_they_were_on() -> None:
    payload = given({"outcome": "prefer", "choice": "b", "strength": 3})
    assert payload["chosen"] == "first-response"
    assert payload["rejected"] == "second-response"
    assert preferences_in("comparison", payload) == [Preference("first-response", "second-response", 3)]


@pytest.mark.parametrize("outcome", ["tie", "both_bad"])
def test_ties_and_both_bad_make_no_pair(outcome: str) -> None:
    assert preferences_in("comparison", given({"outcome": outcome})) == []


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("a", "answer"),
        ({}, "outcome"),
        ({"outcome": "win"}, "outcome"),
        ({"outcome": "prefer", "choice": "c", "strength": 1}, "choice"),
        ({"outcome": "prefer", "choice": "ab", "strength": 1}, "choice"),
        ({"outcome": "prefer", "choice": "", "strength": 1}, "choice"),
        ({"outcome": "prefer", "choice": "a"}, "strength"),
        ({"outcome": "prefer", "choice": "a", "strength": 4}, "strength"),
        ({"outcome": "prefer", "choice": "a", "strength": True}, "strength"),
        ({"outcome": "prefer", "choice": "a", "strength": "2"}, "strength"),
        ({"outcome": "tie", "choice": "a"}, "choice"),
        ({"outcome": "tie", "dimensions": {"kind": "a"}}, "dimensions"),
        ({"outcome": "tie", "dimensions": {"helpful": "z"}}, "dimensions.helpful"),
        ({"outcome": "tie", "reason": 5}, "reason"),
        ({"outcome": "tie", "winner": "a"}, "winner"),
    ],
)
def test_a_wrong_answer_is_told_by_field(answer: Any, field: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        given(answer, dimensions=["helpful"])
    assert caught.value.field == field


def test_a_reason_is_required_only_where_it_is_asked() -> None:
    assert given({"outcome": "tie"})["reason"] == ""
    with pytest.raises(InvalidAnswer, match="requires a reason"):
        given({"outcome": "tie", "reason": "  "}, asks_reason=True)


def test_every_key_makes_a_valid_answer_that_comes_back_in_the_same_letters() -> None:
    for outcome, choice, strength in KEYS.values():
        answer = {"outcome": outcome, "choice": choice, "strength": strength}
        answer = {key: value for key, value in answer.items() if value is not None}
        again = unresolve("comparison", given(answer), SHOWN)
        assert {key: again[key] for key in answer} == answer
