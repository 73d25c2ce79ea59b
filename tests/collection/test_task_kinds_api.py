"""Every kind of task over REST: made, taken, answered; and told clearly when it does not fit."""

from typing import Any

import pytest

from feedback.models import Annotation, Person, Project
from tests.conftest import ClientFor
from tests.factories import make_prompt, make_response
from tests.kinds import SCHEMES, TEXT

pytestmark = pytest.mark.database

KINDS: list[tuple[str, int, dict[str, Any] | None, dict[str, Any]]] = [
    ("comparison", 2, None, {"outcome": "tie"}),
    ("ranking", 4, None, {"ranking": [["b"], ["a", "d"], ["c"]]}),
    ("ranking", 9, None, {"ranking": [[letter] for letter in "ihgfedcba"]}),
    ("rating", 1, None, {"ratings": {"truthful": 4}}),
    ("demonstration", 0, None, {"text": "Take the cable out."}),
    ("demonstration", 1, None, {"text": "Take the cable out."}),
    ("classification", 0, {"scheme": "folder"}, {"labels": ["work"]}),
    ("classification", 1, {"scheme": "topic"}, {"labels": ["device", "billing"]}),
    ("spans", 0, {"scheme": "names"}, {"spans": [{"start": 21, "end": 27, "label": "place"}]}),
    ("spans", 1, {"scheme": "phrases"}, {"spans": []}),
]


@pytest.fixture
def labeled(project: Project) -> Project:
    project.label_scheme = SCHEMES
    project.dimensions = ["truthful"]
    project.save()
    return project


@pytest.mark.parametrize(("kind", "count", "ask", "answer"), KINDS, ids=[f"{one[0]}-{one[1]}" for one in KINDS])
def test_each_kind_is_made_taken_and_answered(
    labeled: Project,
    ada: Person,
    ben: Person,
    client_for: ClientFor,
    next_task: Any,
    submit: Any,
    kind: str,
    count: int,
    ask: dict[str, Any] | None,
    answer: dict[str, Any],
) -> None:
    prompt = make_prompt(labeled, TEXT)
    responses = [make_response(prompt, f"Answer {number}.") for number in range(count)]
    body: dict[str, Any] = {"project": labeled.slug, "kind": kind, "prompt": str(prompt.public_id)}
    body |= {"responses": [str(one.public_id) for one in responses]} if responses else {}
    made = client_for(ada).post("/api/v1/tasks/", body | ({"ask": ask} if ask else {}))
    assert made.status_code == 201, made.content
    assert made.json()["ask"] == (ask or {}) and made.json()["kind"] == kind

    client = client_for(ben)
    given = next_task(client, kind=kind)
    assert given["kind"] == kind and len(given["responses"]) == count
    if ask:
        assert given["scheme"]["name"] == ask["scheme"] and all(one["key"] for one in given["scheme"]["labels"])
        assert given["on"] == ("a" if count else "prompt")
        assert given["text"] == ("Answer 0." if count else TEXT)
    else:
        assert given["scheme"] is given["on"] is given["text"] is None
    reply = submit(client, given, answer)
    assert reply.status_code in (200, 201), reply.content
    told = client.get(f"/api/v1/annotations/{Annotation.objects.get().public_id}/").json()["answer"]
    assert {name: told[name] for name in answer} == answer


WRONG: list[tuple[str, int, Any, str, str]] = [
    ("ranking", 1, None, "responses", "2 to 9"),
    ("rating", 2, None, "responses", "1"),
    ("classification", 0, None, "ask.scheme", "folder, topic"),
    ("classification", 0, {"scheme": "names"}, "ask.scheme", "folder, topic"),
    ("spans", 0, {"scheme": "elsewhere"}, "ask.scheme", "names, phrases"),
    ("comparison", 2, {"scheme": "folder"}, "ask", "no label scheme"),
]


@pytest.mark.parametrize(("kind", "count", "ask", "field", "words"), WRONG)
def test_what_does_not_fit_is_told_by_field(
    labeled: Project, ada: Person, client_for: ClientFor, kind: str, count: int, ask: Any, field: str, words: str
) -> None:
    prompt = make_prompt(labeled)
    keys = [str(make_response(prompt).public_id) for _ in range(count)]
    body = {"project": labeled.slug, "kind": kind, "prompt": str(prompt.public_id), "responses": keys}
    reply = client_for(ada).post("/api/v1/tasks/", body | ({"ask": ask} if ask else {}))
    assert reply.status_code == 400, reply.content
    error = reply.json()["errors"][0]
    assert error["attr"] == field and words in error["detail"]


def test_a_scheme_that_cannot_be_used_is_refused_by_field(project: Project, ada: Person, client_for: ClientFor) -> None:
    twice = {"topic": {"kind": "spans", "labels": [{"name": "a", "key": "x"}, {"name": "b", "key": "x"}]}}
    reply = client_for(ada).patch(f"/api/v1/projects/{project.public_id}/", {"label_scheme": twice})
    assert reply.status_code == 400, reply.content
    error = reply.json()["errors"][0]
    assert error["attr"] == "label_scheme.topic.labels[1].key"
    assert "already the key of 'a'" in error["detail"]
