"""Probes for machines, the schema and its pages, and errors outside of any view."""

import gzip
import re

import pytest
from django.db import DatabaseError
from django.test import Client
from rest_framework.test import APIClient

from feedback.api.platform import health

pytestmark = pytest.mark.database


@pytest.mark.django_db
def test_probes(client):
    for path in ("/healthz", "/readyz"):
        reply = client.get(path)
        assert (reply.status_code, reply.json()) == (200, {"status": "ok"})
        assert "no-store" in reply["Cache-Control"]
        assert client.post(path).status_code == 405


def test_it_is_alive_but_not_ready_without_a_database(client, monkeypatch):
    def broken() -> bool:
        raise DatabaseError("gone, with a secret in the message")

    monkeypatch.setattr(health, "migrations_pending", broken)
    monkeypatch.setattr(health.connection, "cursor", broken)
    assert client.get("/healthz").status_code == 200
    reply = client.get("/readyz")
    assert (reply.status_code, reply.json()["status"]) == (503, "unready")
    assert "secret" not in reply.content.decode()


@pytest.mark.django_db
def test_it_is_not_ready_before_its_migrations(client, monkeypatch):
    monkeypatch.setattr(health, "migrations_pending", lambda: True)
    reply = client.get("/readyz")
    assert (reply.status_code, reply.json()["why"]) == (503, "Migrations wait to be applied.")


@pytest.mark.django_db
class TestMetrics:
    def test_they_are_for_whoever_has_the_token(self, client, settings):
        assert client.get("/metrics").status_code == 404  # no token is set, so there is nothing here
        settings.METRICS_TOKEN = "a-token-for-prometheus"
        assert client.get("/nothing").status_code == 404
        for given in ("", "Bearer ", "Bearer wrong", "a-token-for-prometheu"):
            assert client.get("/metrics", HTTP_AUTHORIZATION=given).status_code == 404
        reply = client.get("/metrics", HTTP_AUTHORIZATION="Bearer a-token-for-prometheus")
        assert reply.status_code == 200
        assert b'touchstone_requests_total{room="pages",status="4xx"}' in reply.content
        assert client.post("/metrics").status_code == 405

    def test_no_caller_can_make_them_many(self, client, settings):
        settings.METRICS_TOKEN = "a-token-for-prometheus"
        settings.THROTTLE_ADDRESS = "100000/min"
        for number in range(40):
            for path in (f"/nothing-{number}", f"/api/v1/nothing-{number}/", f"/v1/models/{number}", "/sign-in/"):
                client.generic(["GET", "PUT", "TRACE", "BREW"][number % 4], path)
        reply = client.get("/metrics", HTTP_AUTHORIZATION="Bearer a-token-for-prometheus")
        assert len(reply.content) < 20_000


@pytest.mark.one_database
class TestDocs:
    def test_the_page_has_no_inline_script_or_style(self, client):
        reply = client.get("/api/docs/")
        assert reply.status_code == 200
        page = reply.content.decode()
        policy = reply["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy
        scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S)
        assert len(scripts) == 3
        assert all("src=" in attributes and not body.strip() for attributes, body in scripts)
        assert "<style" not in page and not re.search(r"\s(style|on\w+)=", page)
        sources = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert all(source.startswith("/") for source in sources), sources

    def test_its_script_is_a_file_of_its_own(self, client):
        page = client.get("/api/docs/").content.decode()
        source = re.findall(r'<script src="(/api/docs/[^"]*)"', page)[0]
        script = client.get(source)
        assert script["Content-Type"].startswith("application/javascript")
        assert "/api/schema/" in script.content.decode()

    def test_its_assets_are_ours(self, client):
        from django.contrib.staticfiles import finders

        page = client.get("/api/docs/").content.decode()
        for path in re.findall(r'"/static/([^"]+)"', page):
            assert finders.find(path), path

    def test_the_schema_is_computed_once_and_then_known_by_its_tag(self, client, monkeypatch):
        monkeypatch.setattr("feedback.api.platform.schema._documents", {})
        first = client.get("/api/schema/", HTTP_ACCEPT="application/json")
        monkeypatch.setattr("feedback.api.platform.schema._computed", lambda: pytest.fail("computed again"))
        again = client.get("/api/schema/?format=json", HTTP_ACCEPT_ENCODING="gzip")
        assert again["Content-Encoding"] == "gzip"
        assert gzip.decompress(again.content) == first.content
        assert len(again.content) < len(first.content) / 5
        known = client.get("/api/schema/", HTTP_ACCEPT="application/json", HTTP_IF_NONE_MATCH=first["ETag"])
        assert (known.status_code, known.content) == (304, b"")
        yaml = client.get("/api/schema/", HTTP_IF_NONE_MATCH=first["ETag"])  # another notation has another tag
        assert (yaml.status_code, yaml.content[:8]) == (200, b"openapi:")

    def test_a_serving_process_has_it_computed_by_another(self, client, monkeypatch):
        """Few of its threads wait for that: the page of the API asks once. The others are told to come again."""
        from feedback.api.platform import schema

        monkeypatch.setattr(schema, "_documents", {})
        monkeypatch.setattr(schema, "_maker", None)
        monkeypatch.setattr(schema, "_computed", lambda: pytest.fail("computed here"))
        taken = 0
        extra = {"wsgi.multithread": True, "HTTP_ACCEPT": "application/json"}
        while schema.waiting.acquire(blocking=False):
            taken += 1
        try:
            reply = client.get("/api/schema/", **extra)
            assert (reply.status_code, reply["Retry-After"]) == (503, "5")
        finally:
            schema.waiting.release(taken)
        assert client.get("/api/schema/", **extra).json()["openapi"].startswith("3.")
        assert schema._maker is not None and schema._maker.poll() == 0

    def test_the_schema_is_public_and_names_every_door(self, client):
        from feedback.api.urls import v1

        reply = client.get("/api/schema/", HTTP_ACCEPT="application/json")
        paths = reply.json()["paths"]
        assert reply.status_code == 200
        assert len(paths) == len(v1) + 1  # and their index
        for path, operations in paths.items():
            for method, operation in operations.items():
                assert operation["summary"], path
                assert {"400", "401", "403", "404", "429", "default"} <= set(operation["responses"]), (path, method)
                names = {one["name"] for one in operation.get("parameters", [])}
                assert ("Idempotency-Key" in names) == (method == "post"), path


@pytest.mark.one_database
class TestOutsideOfViews:
    @pytest.mark.parametrize("path", ["/api/nothing", "/api/v1/nothing/", "/api/v1/prompts/not-a-uuid/"])
    def test_an_unknown_path_is_json(self, client, path):
        reply = client.get(path)
        assert reply.status_code == 404
        assert reply.json() == {
            "type": "client_error",
            "errors": [{"code": "not_found", "detail": "This path does not exist.", "attr": None}],
        }

    def test_below_v1_it_is_json_as_openais_clients_read_it(self, client):
        reply = client.get("/v1/nothing")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_url")

    def test_a_method_that_is_not_there(self, project, ada, client_for):
        reply = client_for(ada).put("/api/v1/prompts/", {})
        assert (reply.status_code, reply.json()["errors"][0]["code"]) == (405, "method_not_allowed")

    def test_a_broken_service_says_so_without_its_secrets(self, project, ada, client_for, monkeypatch):
        def broken(*args, **options):
            raise RuntimeError("a secret")

        monkeypatch.setattr("feedback.api.platform.projects.access.projects_for", broken)
        client = client_for(ada)
        client.raise_request_exception = False
        reply = client.get("/api/v1/projects/")
        assert (reply.status_code, reply.json()["type"]) == (500, "server_error")
        assert "secret" not in reply.content.decode()


@pytest.mark.one_database
class TestBrokenBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"\xff\xfe",
            b"[" * 100_000 + b"]" * 100_000,
            b'{"text": NaN}',
            b'{"project": "desk", "text": "\\ud800"}',
            b'{"project": "\\udfff", "text": "a"}',
            b"[]",
            b"null",
            b'"text"',
            b"12",
            b'{"project": "desk", "text": "a", "responses_wanted": ' + b"9" * 5000 + b"}",
            b'{"project": "desk", "text": "a", "metadata": {"a": 1' + b"0" * 400 + b"}}",
            b'{"project": "desk", "text": "a", "metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}",
            b'{"project": "a\\u0000", "text": "a"}',
        ],
    )
    def test_they_are_refused_in_the_one_shape(self, project, ada, client_for, body):
        reply = client_for(ada).post("/api/v1/prompts/", body, content_type="application/json")
        assert reply.status_code in (400, 404), reply.content
        assert set(reply.json()) >= {"type", "errors"}
        assert project.prompts.count() == 0

    def test_a_body_past_the_limit(self, project, ada, client_for, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
        reply = client_for(ada).post("/api/v1/prompts/", {"project": "desk", "text": "a" * 2000})
        assert (reply.status_code, reply.json()["errors"][0]["code"]) == (413, "body_too_large")

    def test_another_media_type(self, project, ada, client_for):
        reply = client_for(ada).post("/api/v1/prompts/", "<xml/>", content_type="text/xml")
        assert (reply.status_code, reply.json()["errors"][0]["code"]) == (415, "unsupported_media_type")


def test_a_page_client_gets_json_here_too(db):
    assert Client().get("/api/v1/projects/", HTTP_ACCEPT="text/html").status_code == 406
    assert APIClient().get("/api/v1/projects/", HTTP_ACCEPT="*/*").status_code == 401


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("text/html, application/json;q=0.9", 200),
        ("text/html", 406),
    ],
)
@pytest.mark.django_db
def test_json_goes_to_whoever_takes_it(ben, client_for, accept, status):
    headers = {} if accept is None else {"HTTP_ACCEPT": accept}
    reply = client_for(ben).get("/api/v1/projects/", **headers)
    assert reply.status_code == status
    assert reply["Content-Type"] == "application/json"
