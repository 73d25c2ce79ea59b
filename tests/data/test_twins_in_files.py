"""A file cannot prefer a text to itself: texts are compared as they are stored."""

from typing import Any

import pytest

from feedback.models import Person, PreferencePair, Project
from tests.data.test_import import brought_in, lines, refusals

pytestmark = pytest.mark.database

COMPOSED, DECOMPOSED = "caf\u00e9 au lait", "cafe\u0301 au lait"
SAID = {"outcome": "prefer", "choice": "a", "strength": 2}


def row(kind: str, responses: list[str], answer: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "prompt": "q", "responses": responses, "answers": [{"annotator": "z", "answer": answer}]}


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (row("comparison", [COMPOSED, DECOMPOSED], SAID), "responses"),
        (row("comparison", ["one\r\ntwo", "one\ntwo"], SAID), "responses"),
        (row("comparison", ["one\rtwo", "one\ntwo"], SAID), "responses"),
        (row("ranking", ["same", "same", "other"], {"ranking": [["a"], ["b"], ["c"]]}), "answers[0].answer.ranking"),
        (row("ranking", [COMPOSED, "x", DECOMPOSED], {"ranking": [["c"], ["b"], ["a"]]}), "answers[0].answer.ranking"),
        (row("demonstration", ["one\r\ntwo"], {"text": "one\ntwo"}), "answers[0].answer.text"),
        (row("demonstration", [DECOMPOSED], {"text": COMPOSED}), "answers[0].answer.text"),
    ],
)
def test_equal_as_stored_is_refused(project: Project, hana: Person, told: dict[str, Any], field: str) -> None:
    job = brought_in(project, hana, lines(told))
    assert [(line, name) for line, name, _ in refusals(job)] == [(1, field)]
    assert not PreferencePair.objects.exists()


def test_twins_that_tie_are_taken(project: Project, hana: Person) -> None:
    told = row("ranking", [COMPOSED, "x", DECOMPOSED], {"ranking": [["b"], ["a", "c"]]})
    assert brought_in(project, hana, lines(told)).result["rejected"] == 0
    assert {(pair.chosen.text, pair.rejected.text) for pair in PreferencePair.objects.all()} == {
        ("x", COMPOSED), ("x", DECOMPOSED),
    }  # fmt: skip
