"""A data folder of any earlier version is upgraded, and ends in the schema that a new one begins with.

New databases are made by the squashed migration, this test's own among them. One that stands at an earlier migration
goes on along the old chain.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from tests.db.schema import difference, read_schema
from tests.whole_service import ROOT

pytestmark = pytest.mark.database
SQUASHED = "0001_squashed_0024_site_admin"


@contextmanager
def empty_database(folder: Path) -> Iterator[dict[str, str]]:
    """A database beside the tests' own, of the same kind; the environment that names it."""
    if connection.vendor == "sqlite":
        yield {"DATA_DIR": str(folder), "DATABASE_URL": ""}
        return
    import psycopg

    name = "touchstone_earlier_version"
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            url = urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}").geturl()
            yield {"DATA_DIR": str(folder), "DATABASE_URL": url}
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def upgraded(tmp_path: Path) -> dict[str, Any]:
    """What a furnished database that stood at migration 0010 is after `migrate`."""
    with empty_database(tmp_path) as place:
        ran = subprocess.run(
            [sys.executable, "-m", "tests.db.earlier_version"],
            cwd=ROOT,
            env=os.environ | place,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.django_db
def test_an_earlier_database_is_upgraded_with_its_rows_to_the_schema_of_a_new_one(upgraded: dict[str, Any]) -> None:
    assert upgraded["waiting"] == 0
    assert set(replaced()) <= set(upgraded["applied"])
    assert difference(upgraded["schema"], read_schema()) == {}
    assert upgraded["people"] == [["hana", True], ["ben", False]]
    assert upgraded["prompts"] == [
        ["a" * 64, {"mine": "kept"}, {"trl": {"score": 1}}],
        ["b" * 64, {"trl": {"score": 2}}, {}],  # submitted, not imported
    ]
    assert upgraded["family_keys"] == [["b" * 64]]
    assert upgraded["annotations"] == [
        ["api", False, None, {"outcome": "tie"}],
        ["web", True, None, {"outcome": "tie"}],
    ]
    assert upgraded["current"] == [["api"], ["web"]]
    assert upgraded["policies"] == [[{"preset": "tiny", "stages": {"evaluate": {"responses": 2}}}]]
    assert upgraded["schedules"] == [[{"evaluate": {"responses": 2}}]]


@pytest.mark.django_db
def test_a_new_database_is_made_by_the_squashed_migration_alone() -> None:
    loader = MigrationLoader(connection)
    assert ("feedback", SQUASHED) in loader.graph.nodes
    assert not [name for name in replaced() if ("feedback", name) in loader.graph.nodes]
    assert {("feedback", SQUASHED), *(("feedback", name) for name in replaced())} <= set(loader.applied_migrations)


def test_the_squashed_migration_replaces_every_file_of_the_chain() -> None:
    numbered = {path.stem for path in (ROOT / "feedback" / "migrations").glob("[0-9]*.py")}
    assert {name for name in numbered if name[:4] <= "0024"} == {SQUASHED, *replaced()}


def replaced() -> list[str]:
    migration = MigrationLoader(None, replace_migrations=False).disk_migrations["feedback", SQUASHED]
    return [name for _, name in migration.replaces]


@pytest.mark.django_db
@pytest.mark.parametrize("change", ["DROP INDEX task_queue", "ALTER TABLE feedback_person ADD COLUMN stray integer"])
def test_a_difference_of_schema_is_seen(change: str) -> None:
    before = read_schema()
    with connection.cursor() as cursor:
        cursor.execute(change)
    assert len(difference(before, read_schema())) == 1
