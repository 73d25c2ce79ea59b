"""Every door is tried with what the schema allows and with what it does not: no bare 500, and replies as described."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from feedback.models import ApiToken, Concern, Document, Job, Person, Project
from feedback.rules.scopes import SCOPES
from feedback.services import annotations, conversations, corpora, exports, imports, schedules
from feedback.wsgi import application
from tests.factories import (
    PREFERS_A,
    make_model,
    make_pair,
    make_prompt,
    make_response,
    make_run,
    make_snapshot,
    make_task,
    take,
    token_of,
    write_answers,
)

# Left out: "what breaks the schema is refused" (DRF reads 0 as "0", and says so nowhere), and "what fits it is taken"
# (the rules of the domain say more than a schema can).
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]
EXAMPLES = 6  # a door, so that all of them take well under a minute

# Written out by hand rather than fetched, so that a test's name says which door it is about.
document = SchemaGenerator().get_schema(public=True)
schema = schemathesis.openapi.from_dict(document)
schema.app = application


@pytest.fixture
def secret(transactional_db, project, ada, monkeypatch):
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    monkeypatch.setattr("feedback.api.prompts.LOOK_EVERY", 0.01)
    monkeypatch.setattr("feedback.api.prompts.LONGEST_WAIT", 0.05)
    monkeypatch.setattr("feedback.api.throttling.ByAddress.allow_request", lambda *args: True)
    yield token_of(ada, *SCOPES)
    logging.getLogger("django.request").setLevel(logging.NOTSET)


def row_of(room: str, project: Project, ada: Person) -> Any:
    """A row that the doors of this room are about; None where they name none."""
    made: dict[str, Callable[[], Any]] = {
        "prompts": lambda: make_prompt(project, by=ada),
        "responses": lambda: make_response(make_prompt(project, by=ada)),
        "tasks": lambda: make_task(project),
        "assignments": lambda: make_task(project) and take(project, ada),
        "annotations": lambda: (
            make_task(project) and annotations.submit(assignment=take(project, ada), answer=PREFERS_A)
        ),
        "concerns": lambda: flagged(project, ada),
        "snapshots": lambda: make_pair(project, ada) and make_snapshot(project, ada),
        "preferences": lambda: make_pair(project, ada),
        "jobs": lambda: make_run(project, ada).job,
        "imports": lambda: imports.request_import(
            project=project, by=ada, format="touchstone", name="rows.jsonl", chunks=[b"{}"]
        ),
        "exports": lambda: exports.request_export(project=project, by=ada, format="touchstone"),
        "corpora": lambda: corpora.open_corpus(project=project, by=ada, name=str(uuid4())),
        "corpus-uploads": lambda: uploaded(project, ada),
        "documents": lambda: Document.objects.create(
            corpus=corpora.open_corpus(project=project, by=ada, name=str(uuid4())), text="t", text_hash="t"
        ),
        "training-runs": lambda: make_run(project, ada),
        "chains": lambda: make_run(project, ada).chain,
        "models": lambda: make_model(project, ada),
        "schedules": lambda: schedules.create_schedule(
            by=ada, project=project, name=str(uuid4()), stages=["sft"], every_seconds=600
        ),
        "tokens": lambda: ApiToken.objects.filter(person=ada).first(),
        "conversations": lambda: talk(project, ada),
        "feedback": lambda: make_response(make_prompt(project, by=ada)),
    }
    return made[room]() if room in made else None


def uploaded(project: Project, ada: Person) -> Job:
    corpus = corpora.open_corpus(project=project, by=ada, name=str(uuid4()))
    return corpora.request_upload(corpus=corpus, by=ada, name="a.txt", chunks=[b"text"])


def talk(project: Project, ada: Person) -> Any:
    """A conversation whose first turn is ready to be judged."""
    make_model(project, ada, serve=True)
    Project.objects.filter(pk=project.pk).update(kinds=["comparison", "conversation"])
    turn = conversations.start(project=Project.objects.get(pk=project.pk), person=ada, text="My lamp is broken.")
    write_answers(turn, "Which one?", "All of it?")
    return turn.conversation


def flagged(project: Project, ada: Person) -> Concern:
    make_task(project)
    annotation = annotations.submit(assignment=take(project, ada), answer=PREFERS_A)
    annotations.flag(assignment=annotation.assignment, by=ada, reason="odd")
    return Concern.objects.latest("pk")


def test_the_schema_is_valid():
    validate_schema(document)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_door_keeps_to_the_schema(case, secret, project, ada):
    """Names what is there, where the schema asks for a name: at random one would only ever meet 404."""
    room = case.path.removeprefix("/api/v1/").split("/")[0]
    row = row_of(room, project, ada)
    if "id" in case.path_parameters:
        case.path_parameters["id"] = str(row.public_id)
    if "turn" in case.path_parameters:
        case.path_parameters["turn"] = 1
    if "project" in case.path_parameters:
        case.path_parameters["project"] = project.slug
    if case.query and "project" in case.query:
        case.query["project"] = project.slug
    there = {"project": project.slug, "prompt": str(getattr(row, "public_id", "")), "response": ""}
    if room in ("responses", "feedback"):
        there |= {"response": str(row.public_id), "prompt": str(row.prompt.public_id)}
    for item in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(item, dict):
            item.update({name: value for name, value in there.items() if isinstance(item.get(name), str)})
    case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=CHECKS)
