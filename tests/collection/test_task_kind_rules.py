"""Answers of every task kind: what is stored, what pairs they become, and what is said of wrong ones."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.rules.collection.kinds import rating
from feedback.rules.collection.payloads import PROMPT, InvalidAnswer, Question, preferences_in, resolve, unresolve

TOPIC = {"name": "topic", "labels": [{"name": "billing"}, {"name": "delivery"}], "many": False}
NAMES = {"name": "names", "labels": [{"name": "person"}, {"name": "place"}], "many": False}


def asked(kind: str, count: int = 0, **more: Any) -> Question:
    shown = [f"response-{n}" for n in range(count)]
    return Question(kind, shown, {name: f"text of {name}" for name in shown} | {PROMPT: "Ana went to Rome."}, **more)


QUESTIONS = {
    "ranking": asked("ranking", 3),
    "rating": asked("rating", 1, dimensions=["helpful", "honest"]),
    "demonstration": asked("demonstration", 1),
    "classification": asked("classification", 0, scheme=TOPIC),
    "spans": asked("spans", 0, scheme=NAMES),
}
RIGHT: dict[str, dict[str, Any]] = {
    "ranking": {"ranking": [["b"], ["a", "c"]], "reason": ""},
    "rating": {"ratings": {"helpful": 4, "honest": 5}, "reason": ""},
    "demonstration": {"text": "Write it anew.", "reason": ""},
    "classification": {"labels": ["delivery"], "reason": ""},
    "spans": {
        "spans": [{"start": 0, "end": 3, "label": "person"}, {"start": 12, "end": 16, "label": "place"}],
        "reason": "",
    },
}


@pytest.mark.parametrize("kind", RIGHT)
def test_an_answer_comes_back_as_it_was_given(kind: str) -> None:
    payload = resolve(RIGHT[kind], QUESTIONS[kind])
    assert unresolve(kind, payload, QUESTIONS[kind].shown) == RIGHT[kind]


@pytest.mark.parametrize(
    ("kind", "answer", "field"),
    [
        ("ranking", {"ranking": "abc"}, "ranking"),
        ("ranking", {"ranking": [["a"], []]}, "ranking"),
        ("ranking", {"ranking": [["a"], ["b"]]}, "ranking"),
        ("ranking", {"ranking": [["a", "b"], ["b", "c"]]}, "ranking"),
        ("ranking", {"ranking": [["a"], ["b"], ["z"]]}, "ranking[2]"),
        ("rating", {"ratings": {"helpful": 4}}, "ratings.honest"),
        ("rating", {"ratings": {"helpful": 6, "honest": 1}}, "ratings.helpful"),
        ("rating", {"ratings": {"helpful": True, "honest": 1}}, "ratings.helpful"),
        ("rating", {"ratings": {"helpful": 1, "honest": 1, "kind": 1}}, "ratings.kind"),
        ("demonstration", {"text": "  "}, "text"),
        ("demonstration", {"text": "text of response-0"}, "text"),
        ("demonstration", {"text": "a\x00b"}, "text"),
        ("classification", {"labels": ["weather"]}, "labels"),
        ("classification", {"labels": ["billing", "delivery"]}, "labels"),
        ("classification", {"labels": []}, "labels"),
        ("spans", {"spans": [{"start": 0, "end": 99, "label": "person"}]}, "spans[0].end"),
        ("spans", {"spans": [{"start": 3, "end": 3, "label": "person"}]}, "spans[0].end"),
        ("spans", {"spans": [{"start": 0, "end": 3, "label": "animal"}]}, "spans[0].label"),
        ("spans", {"spans": [{"start": 0, "end": 3}]}, "spans[0]"),
        (
            "spans",
            {"spans": [{"start": 0, "end": 5, "label": "person"}, {"start": 3, "end": 8, "label": "place"}]},
            "spans",
        ),
        ("spans", {"spans": [{"start": 0, "end": 3, "label": "person"}] * 2}, "spans"),
    ],
)
def test_a_wrong_answer_is_told_by_field(kind: str, answer: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        resolve(answer, QUESTIONS[kind])
    assert caught.value.field == field


def test_a_ranking_becomes_a_pair_of_every_two_that_do_not_tie() -> None:
    pairs = preferences_in("ranking", resolve(RIGHT["ranking"], QUESTIONS["ranking"]))
    assert [(pair.chosen, pair.rejected, pair.strength) for pair in pairs] == [
        ("response-1", "response-0", 1),
        ("response-1", "response-2", 1),
    ]


@given(st.integers(2, 9), st.randoms())
def test_a_ranking_without_ties_of_n_makes_n_choose_2_pairs_and_no_circle(n: int, chance: Any) -> None:
    letters = list("abcdefghi"[:n])
    chance.shuffle(letters)
    pairs = preferences_in("ranking", resolve({"ranking": [[one] for one in letters]}, asked("ranking", n)))
    assert len(pairs) == n * (n - 1) // 2
    place = {f"response-{'abcdefghi'.index(letter)}": rank for rank, letter in enumerate(letters)}
    assert all(place[pair.chosen] < place[pair.rejected] for pair in pairs)
    assert all(1 <= pair.strength <= 3 for pair in pairs)


def test_spans_keep_what_they_mark_and_their_order() -> None:
    answer = {"spans": list(reversed(RIGHT["spans"]["spans"]))}
    payload = resolve(answer, QUESTIONS["spans"])
    assert [(span["text"], span["label"]) for span in payload["spans"]] == [("Ana", "person"), ("Rome", "place")]


def test_nothing_to_mark_is_an_answer() -> None:
    assert resolve({"spans": []}, QUESTIONS["spans"])["spans"] == []


@pytest.mark.parametrize(("values", "good"), [((5, 4), True), ((3, 4), None), ((1, 3), False), ((4, 4), True)])
def test_what_a_rating_says_of_a_response(values: tuple[int, int], good: bool | None) -> None:
    payload = resolve({"ratings": {"helpful": values[0], "honest": values[1]}}, QUESTIONS["rating"])
    assert rating.verdict(cast(rating.RatingPayload, payload)) is good
