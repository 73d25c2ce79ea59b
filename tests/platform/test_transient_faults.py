"""The database is locked or away, or the disk is full: every door says so, and when to come again."""

import errno
import sqlite3

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError, connection, transaction

from feedback.api.platform import health
from feedback.db.transient_faults import transient
from feedback.models import Prompt
from feedback.services.collection import prompts
from tests.factories import make_model

pytestmark = pytest.mark.database


def wrapped(cause: Exception) -> OperationalError:
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


def of_sqlite(code: int, text: str) -> OperationalError:
    cause = sqlite3.OperationalError(text)
    cause.sqlite_errorcode = code
    return wrapped(cause)


class OfPostgres(Exception):
    def __init__(self, state: str | None) -> None:
        super().__init__("psycopg says so")
        self.sqlstate = state


LOCKED = of_sqlite(sqlite3.SQLITE_BUSY, "database is locked")
FULL = of_sqlite(sqlite3.SQLITE_FULL, "database or disk is full")
AWAY = wrapped(OfPostgres(None))
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
FAULTS = [
    (LOCKED, 503, "busy", "5"),
    (of_sqlite(sqlite3.SQLITE_LOCKED, "database table is locked"), 503, "busy", "5"),
    (of_sqlite(sqlite3.SQLITE_CANTOPEN, "unable to open database file"), 503, "database_away", "10"),
    (FULL, 507, "disk_full", "60"),
    (NO_SPACE, 507, "disk_full", "60"),
    (wrapped(OfPostgres("53100")), 507, "disk_full", "60"),
    (wrapped(OfPostgres("40P01")), 503, "busy", "5"),
    (wrapped(OfPostgres("57014")), 503, "busy", "5"),
    (AWAY, 503, "database_away", "10"),
    (InterfaceError("connection already closed"), 503, "database_away", "10"),
]
IDS = [f"{code} {place}" for place, (_, _, code, _) in enumerate(FAULTS)]
faults = pytest.mark.parametrize("error, status, code, wait", FAULTS, ids=IDS)


@pytest.fixture
def failing(monkeypatch):
    def fail(error: Exception) -> None:
        def submit(**given):
            raise error

        monkeypatch.setattr(prompts, "submit_prompt", submit)

    return fail


@faults
def test_rest(project, ben, client_for, failing, error, status, code, wait):
    failing(error)
    reply = client_for(ben).post("/api/v1/prompts/", {"project": "desk", "text": "hello"})
    assert (reply.status_code, reply.json()["errors"][0]["code"], reply["Retry-After"]) == (status, code, wait)
    assert not Prompt.objects.exists()


@faults
def test_openai_clients(project, ada, ben, client_for, failing, error, status, code, wait):
    make_model(project, ada, serve=True)
    failing(error)
    body = {"model": "desk", "messages": [{"role": "user", "content": "hello"}]}
    reply = client_for(ben).post("/v1/chat/completions", body)
    assert (reply.status_code, reply.json()["error"]["code"], reply["Retry-After"]) == (status, code, wait)
    assert "x-should-retry" not in reply


@faults
def test_pages(project, ada, signed_in, failing, error, status, code, wait):
    failing(error)
    reply = signed_in(ada).post("/p/desk/data/prompts/new/", {"text": "hello", "responses_wanted": 0, "key": "k"})
    assert (reply.status_code, reply["Retry-After"]) == (status, wait)
    assert "The service failed" not in reply.content.decode()


def test_what_is_our_own_fault_stays_a_500(project, ben, client_for, failing):
    for error in (ProgrammingError("no such column"), of_sqlite(sqlite3.SQLITE_ERROR, "no such table: x")):
        assert transient(error) is None
    assert transient(OSError(errno.EACCES, "Permission denied")) is None
    assert transient(ValueError("x")) is None


def test_what_fails_before_any_view_is_told_too(client, settings, monkeypatch, db):
    """A middleware asks the database who is signed in."""
    client.raise_request_exception = False

    def no_session(self, request):
        raise LOCKED

    monkeypatch.setattr("django.contrib.sessions.middleware.SessionMiddleware.process_request", no_session)
    reply = client.get("/api/v1/prompts/")
    assert (reply.status_code, reply.json()["errors"][0]["code"], reply["Retry-After"]) == (503, "busy", "5")
    page = client.get("/")
    assert (page.status_code, page["Retry-After"]) == (503, "5")


class TestReadiness:
    def test_a_full_disk_is_noticed(self, client, db, monkeypatch):
        assert client.get("/readyz").json() == {"status": "ok"}

        def full(*args):
            raise NO_SPACE

        monkeypatch.setattr(health.os, "fsync", full)
        reply = client.get("/readyz")
        assert (reply.status_code, reply.json()) == (503, {"status": "unready", "why": "The disk is full."})

    def test_a_full_disk_of_the_database_is_noticed(self, client, db, monkeypatch):
        def full():
            error = OperationalError("could not extend file")
            error.__cause__ = type("DiskFull", (Exception,), {"sqlstate": "53100"})()
            raise error

        monkeypatch.setattr(health, "probe_database_disk", full)
        reply = client.get("/readyz")
        told = {"status": "unready", "why": "The disk of the database is full."}
        assert (reply.status_code, reply.json()) == (503, told)

    def test_postgresql_writes_a_file_when_it_is_asked(self, db):
        if connection.vendor != "postgresql":
            pytest.skip("SQLite lies in the data folder")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '64kB'")
            cursor.execute(f"EXPLAIN (ANALYZE, TIMING off) {health.SORT}")
            plan = " ".join(row[0] for row in cursor.fetchall())
        assert "external" in plan and "Disk:" in plan, plan

    def test_a_folder_that_takes_nothing_is_noticed(self, client, db, settings, tmp_path):
        (tmp_path / "file").write_text("no folder")
        settings.DATA_DIR = tmp_path / "file"
        reply = client.get("/readyz")
        assert (reply.status_code, reply.json()["why"]) == (503, "The data folder cannot be written to.")
