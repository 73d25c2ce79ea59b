"""Somebody misspells a field or a query parameter: they are told which one, and which one they meant."""

from typing import Any

import pytest

from feedback.models import Job, Project, Prompt, Response
from tests.api_contract import document, row_of
from tests.factories import make_prompt

pytestmark = pytest.mark.one_database
NONSENSE = "nonsense_name"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/v1/")
    ]


def address(path: str, project: Project, ada: Any) -> str:
    """The path with a row that is there, so that what is refused is the name and nothing before it."""
    room = path.removeprefix("/api/v1/").split("/")[0]
    if "{person}" in path:
        path = path.replace("{person}", str(ada.public_id))
    if "{id}" in path:
        path = path.replace("{id}", str(row_of(room, project, ada).public_id))
    return path.replace("{project}", project.slug).replace("{turn}", "1").replace("{number}", "1")


def errors_of(reply: Any) -> list[tuple[str, str]]:
    return [(one["code"], one["attr"]) for one in reply.json().get("errors", [])] if reply.status_code == 400 else []


def test_every_door_refuses_a_field_and_a_parameter_that_it_does_not_know(client_for, project, ada, hana):
    """Walked over the schema, so that a new door cannot forget."""
    wrong, walked = [], 0
    for path, method, _ in operations():
        person = hana if path == "/api/v1/projects/" or path.startswith("/api/v1/people/") else ada
        client = client_for(person)
        where = address(path, project, ada)
        call = getattr(client, method)
        walked += 1
        query = "project=desk&" if method == "get" else ""
        reply = client.generic(method.upper(), f"{where}?{query}{NONSENSE}=1", HTTP_IDEMPOTENCY_KEY="q")
        if ("unknown_parameter", NONSENSE) not in errors_of(reply):
            wrong.append((method, path, "query", reply.status_code))
        if method == "get":
            continue
        reply = call(where, {NONSENSE: 1}, format="json", HTTP_IDEMPOTENCY_KEY="b")
        if ("unknown_field", NONSENSE) not in errors_of(reply):
            wrong.append((method, path, "body", reply.status_code))
    assert wrong == []
    assert walked == len(operations()) > 120


def test_the_schema_says_that_no_other_field_is_taken():
    """So that generated clients and editors find a misspelled field before it is sent."""
    schemas = document["components"]["schemas"]
    bodies = [content["schema"] for _, _, operation in operations() for content in contents(operation)]
    walked, open_ones = set(), []
    while bodies:
        described = bodies.pop()
        name = described.get("$ref", "").rsplit("/", 1)[-1]
        if name in walked:
            continue
        if name:
            walked.add(name)
            described = schemas[name]
        if described.get("properties") and described.get("additionalProperties") is not False:
            open_ones.append(name or described)
        bodies += [*described.get("properties", {}).values(), *described.get("oneOf", []), *described.get("allOf", [])]
        bodies += [described["items"]] if "items" in described else []
    assert open_ones == []
    assert len(walked) > 60
    assert "additionalProperties" not in schemas["Prompt"], "replies may grow"


def contents(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return list(operation.get("requestBody", {}).get("content", {}).values())


@pytest.mark.parametrize(
    "path, body, attr, meant",
    [
        ("prompts/", {"project": "desk", "text": "hi", "respones_wanted": 2}, "respones_wanted", "responses_wanted"),
        ("prompts/", {"project": "desk", "messages": [{"rol": "user", "content": "hi"}]}, "messages.0.rol", "role"),
        ("snapshots/", {"project": "desk", "policy": {"pair": "consensus"}}, "policy.pair", "pairs"),
        ("tasks/next/", {"project": "desk", "kinds": "comparison"}, "kinds", "kind"),
        ("exports/", {"project": "desk", "format": "touchstone", "filetype": "csv"}, "filetype", "file_type"),
    ],
)
def test_the_field_that_was_meant_is_named(client_for, project, ada, path, body, attr, meant):
    reply = client_for(ada).post(f"/api/v1/{path}", body, format="json")
    found = {error["attr"]: error for error in reply.json()["errors"]}
    assert reply.status_code == 400
    assert found[attr]["code"] == "unknown_field"
    assert found[attr]["detail"].endswith(f"Did you mean {meant!r}?")
    assert (Prompt.objects.count(), Job.objects.count()) == (0, 0)


def test_a_machines_text_does_not_become_the_callers_own(client_for, project, ada):
    prompt = make_prompt(project, by=ada)
    body = {"prompt": str(prompt.public_id), "text": "written by gpt", "model": "gpt-x"}
    reply = client_for(ada).post("/api/v1/responses/", body, format="json")
    assert reply.status_code == 400
    assert [(one["attr"], one["code"]) for one in reply.json()["errors"]] == [("model", "unknown_field")]
    assert not Response.objects.exists()


@pytest.mark.parametrize(
    "change, attr",
    [
        ({"annotation_per_task": 5}, "annotation_per_task"),
        ({"sampling": {"temprature": 0.5}}, "sampling.temprature"),
        ({"training_policy": {"stage": {}}}, "training_policy.stage"),
        ({"training_policy": {"snapshot": {"pair": "each"}}}, "training_policy.snapshot.pair"),
        ({"training_policy": {"stages": {"sft": {"learning_rat": 1e-4}}}}, "training_policy.stages.sft.learning_rat"),
        ({"queue_policy": {"gold_shar": 0.1}}, "queue_policy.gold_shar"),
        ({"id": "00000000-0000-0000-0000-000000000001"}, "id"),
    ],
)
def test_a_projects_settings_are_known_by_name(client_for, project, ada, change, attr):
    before = Project.objects.values().get(pk=project.pk)
    reply = client_for(ada).patch("/api/v1/projects/desk/", change, format="json")
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, attr)
    assert "Did you mean" in reply.json()["errors"][0]["detail"] or attr == "id"
    assert Project.objects.values().get(pk=project.pk) == before


def test_a_list_of_preferences_names_the_field_of_each_item(client_for, project, ada):
    good = {"project": "desk", "source": "s", "annotator": "n", "prompt": [{"role": "user", "content": "q"}]}
    good |= {"chosen": "aa", "rejected": "bb"}
    items = [good, good | {"strenght": 2}, good | {"prompt": [{"role": "user", "content": "q", "name": "x"}]}]
    reply = client_for(ada).post("/api/v1/preferences/", items, format="json").json()
    assert [one["status"] for one in reply] == [201, 400, 400]
    assert [one["errors"][0]["attr"] for one in reply[1:]] == ["strenght", "prompt.0.name"]


@pytest.mark.parametrize(
    "query, meant",
    [("porject=desk", "project"), ("project=desk&limit=5", None), ("project=desk&sate=ready", "state")],
)
def test_a_query_parameter_is_known_by_name(client_for, project, ada, query, meant):
    reply = client_for(ada).get(f"/api/v1/prompts/?{query}")
    (error,) = reply.json()["errors"]
    assert (reply.status_code, error["code"]) == (400, "unknown_parameter")
    assert f"Did you mean {meant!r}?" in error["detail"] if meant else "page_size, project" in error["detail"]


def test_what_is_not_there_is_named(client_for, project, ada):
    client = client_for(ada)
    reply = client.post("/api/v1/prompts/", {"project": "nowhere", "text": "hi"}, format="json")
    sentence = "The project 'nowhere' does not exist, or you have no access to it."
    assert reply.status_code == 404
    assert reply.json()["errors"] == [{"code": "not_found", "detail": sentence, "attr": "project"}]
    assert client.get("/api/v1/tasks/?project=nowhere").json()["errors"][0]["attr"] == "project"
    nobody = {"person": "nobody", "role": "annotator"}
    assert client.post("/api/v1/projects/desk/members/", nobody).json()["errors"][0]["attr"] == "person"


def test_the_root_lists_what_there_is(client_for, project, ada):
    reply = client_for(ada, "read").get("/api/v1/")
    assert reply.status_code == 200
    assert reply.json()["rooms"]["prompts"] == "/api/v1/prompts/"
    for path in reply.json()["rooms"].values():
        assert client_for(ada).get(path).status_code != 404 or path in ("/api/v1/documents/",)
