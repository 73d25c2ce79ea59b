"""Long bodies are refused unread, wherever nobody may send one."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from feedback.models import Person, Project
from tests.conftest import ClientFor

MIB = 1024 * 1024
KIND = "multipart/form-data; boundary=x"


class Body:
    """A body that never comes, and whether anybody waited for it."""

    asked_for = False

    def read(self, *_: object) -> bytes:
        self.asked_for = True
        return b""

    readline = read


def send(client: Any, path: str, length: int, kind: str = KIND) -> Any:
    body = Body()
    extra = {"CONTENT_LENGTH": str(length), "wsgi.input": body}
    reply = client.generic("POST", path, b"", content_type=kind, **extra)
    assert not body.asked_for
    return reply


@pytest.mark.parametrize("path", ["/sign-in/", "/account/tokens/", "/nothing/", "/p/desk/data/imports/new/"])
@pytest.mark.parametrize("kind", [KIND, "application/x-www-form-urlencoded", "application/json"])
def test_who_is_not_signed_in_sends_no_file_anywhere(db: None, client: Client, path: str, kind: str) -> None:
    assert send(client, path, 50 * 1024 * MIB, kind).status_code == 401


def test_who_is_signed_in_sends_files_only_where_they_are_taken(
    project: Project, ada: Person, signed_in: Callable[[Person], Client], settings: Any
) -> None:
    page = signed_in(ada)
    refused = send(page, "/account/tokens/", 6 * MIB)
    assert refused.status_code == 413
    assert "the limit is 5 MiB" in refused.content.decode()
    settings.MAX_UPLOAD_BYTES = 100 * MIB
    assert send(page, "/p/desk/data/imports/new/", 101 * MIB).status_code == 413
    reply = send(page, "/p/desk/data/imports/new/", 99 * MIB)
    assert (reply.status_code, "too large" in reply.content.decode()) == (400, False)  # let through, and nothing came


def test_programs_likewise(project: Project, ada: Person, client_for: ClientFor, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 100 * MIB
    known, unknown = client_for(ada), Client()
    for path in ("/api/v1/prompts/", "/v1/chat/completions", "/api/v1/nothing/"):
        reply = send(known, path, 6 * MIB)
        assert (reply.status_code, reply.json()["errors"][0]["code"]) == (413, "body_too_large"), path
    assert send(known, "/api/v1/imports/", 101 * MIB).status_code == 413
    assert send(unknown, "/api/v1/imports/", 99 * MIB).status_code == 401
