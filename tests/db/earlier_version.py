"""A program: makes a database as migration 0010 left it, furnishes it, upgrades it, and prints what became of it.

It runs in a process of its own, since data migrations use the default database. `DATABASE_URL` or `DATA_DIR` names it.
"""

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")
EARLIER = "0010_lean_indexes"
HASH_OF_A_FILE = "5" * 64


def migrate_to_earlier() -> Any:
    """Apply the old chain up to `EARLIER`; the models as they were then."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.loader import MigrationLoader

    executor = MigrationExecutor(connection)
    executor.loader = MigrationLoader(connection, replace_migrations=False)
    executor.migrate([("feedback", EARLIER)])
    return executor.loader.project_state([("feedback", EARLIER)]).apps


def furnish(apps: Any) -> None:
    """Rows that each later data migration has to move, and rows that none may touch."""
    from django.utils import timezone

    def make(model: str, **fields: Any) -> Any:
        return apps.get_model("feedback", model).objects.create(**fields)

    hana = make("Person", username="hana", password="!", is_house_admin=True)
    ben = make("Person", username="ben", password="!")
    policy = {"preset": "tiny", "stages": {"evaluate": {"bootstrap": 200, "responses": 2}}}
    project = make("Project", name="Desk", slug="desk", training_policy=policy)
    visible = make(
        "Prompt",
        project=project,
        messages=[{"role": "user", "content": "Why is the screen blank?"}],
        family="a" * 64,
        split="train",
        external_id="row-1",
        body_hash=HASH_OF_A_FILE,
        metadata={"trl": {"score": 1}, "mine": "kept"},
    )
    make(
        "Prompt",
        project=project,
        messages=[{"role": "user", "content": "Why is\u200b the screen blank?"}],
        family="b" * 64,
        split="test",
        metadata={"trl": {"score": 2}},
    )
    task = make("Task", project=project, prompt=visible, kind="comparison", free_slots=1, queue_key=7)
    for person, client in ((hana, "api"), (ben, "web")):
        assignment = make(
            "Assignment",
            project=project,
            task=task,
            annotator=person,
            state="submitted",
            order=[],
            held_until=timezone.now(),
        )
        annotation = make(
            "Annotation",
            project=project,
            task=task,
            assignment=assignment,
            annotator=person,
            kind="comparison",
            payload={"outcome": "tie"},
            client=client,
            seconds=4.5,
        )
        assignment.current = annotation
        assignment.save(update_fields=["current"])
    make("Schedule", project=project, name="Nightly", stages=["evaluate"], every_seconds=60, config=policy["stages"])


def after_the_upgrade() -> dict[str, Any]:
    from django.apps import apps
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from tests.db.schema import read_schema

    call_command("migrate", verbosity=0)
    executor = MigrationExecutor(connection)

    def values(model: str, *names: str) -> list[list[Any]]:
        rows = apps.get_model("feedback", model).objects.order_by("pk").values_list(*names)
        return [list(row) for row in rows]

    return {
        "waiting": len(executor.migration_plan(executor.loader.graph.leaf_nodes())),
        "applied": sorted(name for app, name in executor.loader.applied_migrations if app == "feedback"),
        "people": values("Person", "username", "is_site_admin"),
        "prompts": values("Prompt", "family", "metadata", "provenance"),
        "family_keys": values("FamilyKey", "family"),
        "annotations": values("Annotation", "client", "timed", "blind", "payload"),
        "current": values("Assignment", "current__client"),
        "policies": values("Project", "training_policy"),
        "schedules": values("Schedule", "config"),
        "schema": read_schema(),
    }


if __name__ == "__main__":
    django.setup()
    furnish(migrate_to_earlier())
    json.dump(after_the_upgrade(), sys.stdout)
