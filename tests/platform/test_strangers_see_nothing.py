"""Dan is a member of nothing here. Every GET door is tried with the ids of Ada's rows."""

import json
from typing import Any, cast
from uuid import UUID

import pytest
from django.urls import URLPattern
from django.utils import timezone
from rest_framework.test import APIClient

from feedback.api.urls import v1
from feedback.models import ApiToken, Concern, Document, Evaluation, Exclusion, Flag
from feedback.services.collection import annotations, conversations
from feedback.services.data import corpora, exports, imports
from feedback.services.training import campaigns, schedules
from tests.evaluation.contest_story import begin
from tests.factories import make_annotation, make_model, make_pair, make_prompt, make_response, make_run, make_snapshot

pytestmark = pytest.mark.database

OWN = {"people/me/", "tokens/", "stages/"}  # what everybody has of their own, and what the trainer can do


@pytest.fixture
def rows(project, ada, ben, client_for):
    """A row of every kind, by the first word of its door."""
    annotation = make_annotation(project, ben)
    annotations.flag(assignment=annotation.assignment, by=ben, reason="a secret reason")
    prompt = make_prompt(project, "a secret prompt", by=ada)
    response = make_response(prompt, "a secret response")
    make_pair(project, ada, prompt="a secret pair", chosen="secret")
    snapshot = make_snapshot(project, ada)
    version = make_model(project, ada)
    Evaluation.objects.create(project=project, candidate=version, metrics={"secret": 1})
    run = make_run(project, ada)
    schedule = schedules.create_schedule(by=ada, project=project, name="secret", stages=["sft"], every_seconds=600)
    campaign = campaigns.create_campaign(
        by=ada, project=project, name="secret", stages=["sft", "evaluate"], after_labels=500, budget=9000
    )
    client_for(ada)
    options = {"project": project, "by": ada, "format": "touchstone"}
    imported = imports.request_import(name="secret", chunks=[b"{}"], **options)
    exported = exports.request_export(**options)
    corpus = corpora.open_corpus(project=project, by=ada, name="secret")
    uploaded = corpora.request_upload(corpus=corpus, by=ada, name="secret.txt", chunks=[b"secret"])
    document = Document.objects.create(corpus=corpus, text="a secret document", source="secret", text_hash="s")
    assert Flag.objects.count() == 1
    make_model(project, ada, serve=True)
    project.kinds = [*project.kinds, "conversation"]
    project.save(update_fields=["kinds"])
    excluded = Exclusion.objects.create(
        project=project, person=ben, reason="pace", hits=7, looked_at=7, since=timezone.now()
    )
    turn = conversations.start(project=project, person=ada, text="a secret talk")
    return {
        "projects": project,
        "prompts": prompt,
        "responses": response,
        "tasks": annotation.task,
        "assignments": annotation.assignment,
        "annotations": annotation,
        "concerns": Concern.objects.get(),
        "snapshots": snapshot,
        "jobs": run.job,
        "imports": imported,
        "exports": exported,
        "corpora": corpus,
        "corpus-uploads": uploaded,
        "documents": document,
        "training-runs": run,
        "chains": run.chain,
        "models": version,
        "schedules": schedule,
        "campaigns": campaign,
        "conversations": turn.conversation,
        "exclusions": excluded,
        "people": ben,
        "contests": begin(project, ada),
        "tokens": ApiToken.objects.filter(person=ada).latest("pk"),
    }


def address(pattern: URLPattern, rows) -> str:
    route = str(pattern.pattern)
    room = route.split("/")[0]
    route = route.replace("<slug:project>", "desk").replace("<uuid:person>", str(UUID(int=1)))
    route = route.replace("<int:turn>", "1")
    route = route.replace("<int:number>", "1")
    if "<uuid:id>" in route:
        route = route.replace("<uuid:id>", str(rows[room].public_id))
    return route


def view_of(pattern: URLPattern) -> Any:
    return cast(Any, pattern.callback).view_class


def doors(method: str) -> list[URLPattern]:
    return [pattern for pattern in v1 if hasattr(view_of(pattern), method)]


def test_every_get_door_is_shut(project, ada, dan, client_for, rows):
    client = client_for(dan)
    assert len(doors("get")) > 35
    for pattern in doors("get"):
        path = address(pattern, rows)
        for query in ("", "?project=desk", f"?project={project.public_id}"):
            reply = client.get(f"/api/v1/{path}{query}")
            told = reply.content.decode() if not reply.streaming else reply.getvalue().decode()
            if path in OWN or path == "projects/":
                assert reply.status_code == (400 if query else 200)
                continue
            assert reply.status_code in {400, 403, 404}, (path, query, reply.status_code, told)
            if query and reply.status_code == 400:  # this door has no such parameter, whoever asks
                assert [one["code"] for one in reply.json()["errors"]] == ["unknown_parameter"], (path, told)
            assert "secret" not in told and "Support desk" not in told, path
            assert reply["Content-Type"] in ("application/json", "application/x-ndjson"), path
    assert client.get("/api/v1/projects/").json()["results"] == []
    assert str(rows["tokens"].public_id) not in client.get("/api/v1/tokens/").content.decode()


def test_absent_and_forbidden_look_alike(project, dan, client_for, rows):
    client = client_for(dan)
    nowhere = str(UUID(int=7))
    for room, row in rows.items():
        if room in ("projects", "tokens"):
            continue
        there, absent = (client.get(f"/api/v1/{room}/{key}/") for key in (row.public_id, nowhere))
        assert (there.status_code, there.content) == (404, absent.content), room


def test_nothing_can_be_done_either(project, ada, ben, dan, client_for, rows):
    client = client_for(dan)
    before = json.dumps([str(type(row).objects.values().get(pk=row.pk)) for row in rows.values()])
    for pattern in v1:
        for method in ("post", "put", "patch", "delete"):
            if not hasattr(view_of(pattern), method):
                continue
            path = address(pattern, rows)
            if path in ("tokens/",):
                continue
            body = {"project": "desk", "text": "x", "name": "x", "slug": "x", "state": "closed", "payload": {}}
            reply = getattr(client, method)(f"/api/v1/{path}", body, HTTP_IDEMPOTENCY_KEY=f"{method}{path}"[:200])
            assert reply.status_code in (400, 403, 404), (method, path, reply.content)
            if "<uuid:" in str(pattern.pattern):
                bare = getattr(client, method)(f"/api/v1/{path}", HTTP_IDEMPOTENCY_KEY=f"bare{method}{path}"[:200])
                assert bare.status_code == 404, (method, path, bare.content)
    assert json.dumps([str(type(row).objects.values().get(pk=row.pk)) for row in rows.values()]) == before


def test_without_a_token_every_door_is_401(project, rows):
    client = APIClient()
    for pattern in v1:
        for method in ("get", "post", "put", "patch", "delete"):
            if hasattr(view_of(pattern), method):
                reply = getattr(client, method)(f"/api/v1/{address(pattern, rows)}?project=desk")
                assert reply.status_code in (401, 429), (method, pattern)


def test_every_door_names_its_scopes():
    from feedback.rules.platform.scopes import SCOPES

    for pattern in v1:
        view = view_of(pattern)
        methods = {method.upper() for method in ("get", "post", "put", "patch", "delete") if hasattr(view, method)}
        assert set(view.scopes) == methods, view
        assert set(view.scopes.values()) <= set(SCOPES), view
