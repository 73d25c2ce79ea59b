from typing import Any

from django.db import migrations

from feedback.rules.data.splits import family_of

CHUNK = 2000


def add_keys(apps: Any, schema_editor: Any) -> None:
    """Families keep their hash and their split; prompts to come find them by the new key as well."""
    prompts = apps.get_model("feedback", "Prompt").objects.order_by("pk")
    keys = apps.get_model("feedback", "FamilyKey")
    salts = dict(apps.get_model("feedback", "Project").objects.values_list("pk", "split_salt"))
    found: dict[tuple[int, str], str] = {}
    rows = prompts.values_list("project_id", "messages", "family", "conversation_id")
    for project, messages, family, conversation in rows.iterator(chunk_size=CHUNK):
        if conversation is None and all(message["content"].isascii() for message in messages):
            continue
        key = family_of(salts[project], messages)
        if key != family:
            found.setdefault((project, key), family)  # the oldest
    made = [keys(project_id=project, key=key, family=family) for (project, key), family in found.items()]
    keys.objects.bulk_create(made, batch_size=CHUNK, ignore_conflicts=True)


class Migration(migrations.Migration):
    """Invisible characters in a first message, and edits of it, had made families that its visible twin missed."""

    dependencies = [("feedback", "0015_groups_and_families")]

    operations = [migrations.RunPython(add_keys, migrations.RunPython.noop, elidable=True)]
