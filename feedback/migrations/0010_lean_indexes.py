from typing import Any

from django.conf import settings
from django.db import migrations, models
from django.db.models import CASCADE, PROTECT, SET_NULL, Q

PERSON, PROJECT = settings.AUTH_USER_MODEL, "feedback.project"
OPTIONAL = {"blank": True, "null": True}
WROTE = "The answer to a demonstration task that wrote it; it stands while that is current."
# Keys whose own index goes, since another begins with them or nothing asks by them: (to, on_delete, related_name).
KEYS: dict[tuple[str, str], tuple[str, Any, str | None, dict[str, Any]]] = {
    ("prompt", "project"): (PROJECT, CASCADE, "prompts", {}),
    ("prompt", "conversation"): ("feedback.conversation", CASCADE, "turns", OPTIONAL),
    ("response", "project"): (PROJECT, CASCADE, "responses", {}),
    ("response", "author"): (PERSON, PROTECT, "responses", {"null": True}),
    ("response", "annotation"): ("feedback.annotation", PROTECT, "written", OPTIONAL | {"help_text": WROTE}),
    ("response", "model_version"): ("feedback.modelversion", PROTECT, "responses", OPTIONAL),
    ("response", "job"): ("feedback.job", SET_NULL, "responses", OPTIONAL),
    ("task", "project"): (PROJECT, CASCADE, "tasks", {}),
    ("task", "prompt"): ("feedback.prompt", CASCADE, "tasks", {}),
    ("task", "created_by"): (PERSON, PROTECT, "+", {"null": True}),
    ("taskresponse", "task"): ("feedback.task", CASCADE, "placed", {}),
    ("taskresponse", "response"): ("feedback.response", PROTECT, "placed", {}),
    ("assignment", "project"): (PROJECT, CASCADE, None, {}),
    ("assignment", "task"): ("feedback.task", CASCADE, "assignments", {}),
    ("annotation", "project"): (PROJECT, CASCADE, "annotations", {}),
    ("annotation", "assignment"): ("feedback.assignment", CASCADE, "annotations", {}),
    ("annotation", "annotator"): (PERSON, PROTECT, "annotations", {}),
    ("annotation", "guideline"): ("feedback.guidelineversion", PROTECT, "+", {"null": True}),
    ("preferencepair", "project"): (PROJECT, CASCADE, "pairs", {}),
    ("preferencepair", "annotation"): ("feedback.annotation", CASCADE, "pairs", {}),
    ("snapshotannotation", "snapshot"): ("feedback.datasetsnapshot", CASCADE, "members", {}),
    ("event", "project"): (PROJECT, CASCADE, "events", {"null": True}),
    ("event", "actor"): (PERSON, SET_NULL, "+", {"null": True}),
}


def drop(apps: Any, schema_editor: Any) -> None:
    """Django would write each table anew on SQLite for every one of them."""
    connection = schema_editor.connection
    for name in dict.fromkeys(model for model, _ in KEYS):
        model = apps.get_model("feedback", name)
        columns = [[model._meta.get_field(field).column] for of, field in KEYS if of == name]
        kept = {index.name for index in model._meta.indexes}
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, model._meta.db_table)
        for index, about in found.items():
            if about["columns"] in columns and about["index"] and not about["unique"] and index not in kept:
                schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(index)}")


def alter(model: str, field: str) -> Any:
    to, on_delete, related_name, options = KEYS[model, field]
    key = models.ForeignKey(to, on_delete=on_delete, related_name=related_name, db_index=False, **options)
    return migrations.AlterField(model, field, key)


def where_given(field: str, name: str) -> Any:
    index = models.Index(fields=[field], condition=Q((f"{field}__isnull", False)), name=name)
    return migrations.AddIndex("response", index)


def with_or(model: str, name: str, one: str, other: str) -> list[Any]:
    index = models.Index(fields=["project"], condition=Q(state=one) | Q(state=other), name=name)
    return [migrations.RemoveIndex(model, name), migrations.AddIndex(model, index)]


class Migration(migrations.Migration):
    """An imported comparison wrote 42 index entries; the queries that are asked need 21."""

    dependencies = [("feedback", "0009_waiting_prompts")]

    operations = [
        migrations.SeparateDatabaseAndState(
            # Taken back, they stay away: they are missed by nobody.
            database_operations=[migrations.RunPython(drop, migrations.RunPython.noop)],
            state_operations=[alter(*key) for key in KEYS],
        ),
        migrations.RemoveIndex("prompt", "prompt_family"),
        # With "or" in place of a list of states, which SQLite knows no partial index for.
        *with_or("prompt", "prompt_waiting", "received", "screened"),
        *with_or("response", "response_awaited", "queued", "running"),
        # A response that came with a file has no author, annotation, version, job or external id.
        where_given("author", "response_of_author"),
        where_given("annotation", "response_of_annotation"),
        where_given("model_version", "response_of_model"),
        where_given("job", "response_of_job"),
        migrations.RemoveConstraint("response", "one_response_per_external_id"),
        migrations.AddConstraint(
            "response",
            models.UniqueConstraint(
                fields=["project", "external_id"],
                condition=Q(external_id__isnull=False),
                name="one_response_per_external_id",
            ),
        ),
        migrations.RenameIndex("task", new_name="task_newest_of_state", old_name="task_newest_first"),
        migrations.AddIndex("task", models.Index(fields=["project", "-id"], name="task_newest_first")),
        # The other way round: which tasks show a response is asked, and what a task shows is asked by place.
        migrations.RemoveConstraint("taskresponse", "a_response_once_per_task"),
        migrations.AddConstraint(
            "taskresponse", models.UniqueConstraint(fields=["response", "task"], name="a_response_once_per_task")
        ),
    ]
