"""Every door is tried with what the schema allows and with what it does not: no bare 500, and replies as described."""

import logging

import pytest
import schemathesis
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

from feedback.rules.platform.scopes import SCOPES
from feedback.runtime.download_places import DownloadPlaces
from feedback.wsgi import application
from tests.api_contract import document, row_of
from tests.factories import token_of

pytestmark = pytest.mark.database

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
schema = schemathesis.openapi.from_dict(document)
schema.app = application


@pytest.fixture
def secret(transactional_db, project, ada, monkeypatch):
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    monkeypatch.setattr("feedback.api.collection.prompts.POLL_INTERVAL", 0.01)
    monkeypatch.setattr("feedback.api.collection.prompts.LONGEST_WAIT", 0.05)
    monkeypatch.setattr("feedback.api.throttling.ByAddress.allow_request", lambda *args: True)
    # Shares are for one person at a time; these calls are many, and nobody closes their replies.
    monkeypatch.setattr("feedback.web.middleware.downloads", DownloadPlaces(100_000))
    monkeypatch.setattr("feedback.services.collection.generation_quota.LIVE_AT_ONCE", 100_000)
    yield token_of(ada, *SCOPES)
    logging.getLogger("django.request").setLevel(logging.NOTSET)


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
