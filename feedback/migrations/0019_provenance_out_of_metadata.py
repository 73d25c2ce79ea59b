"""What earlier imports kept under metadata goes to the column that only readers write.

Metadata is the users' own: who submits a prompt may write the same words there, so only rows that came by an import are
touched. Their body hash is that of a file's row and not that of a prompt submitted by itself.
"""

import hashlib
import json

from django.db import migrations

FORMATS = (
    "argilla", "label_studio", "openai", "openassistant", "trl", "pandalm", "llmbar", "taskmaster", "self_instruct",
)  # fmt: skip
HASHED = "sha256:"
CHUNK = 500


def move(apps, schema_editor):
    prompts = apps.get_model("feedback", "Prompt").objects.exclude(external_id=None).exclude(metadata={})
    for moved in _changed(prompts):
        kept = {name: moved.metadata[name] for name in FORMATS if isinstance(moved.metadata.get(name), dict)}
        if kept and _came_by_import(moved):
            moved.metadata = {name: value for name, value in moved.metadata.items() if name not in kept}
            moved.provenance = kept
            moved.save(update_fields=["metadata", "provenance"])


def move_back(apps, schema_editor):
    prompts = apps.get_model("feedback", "Prompt").objects.exclude(provenance={})
    for moved in _changed(prompts):
        moved.metadata = moved.provenance | moved.metadata
        moved.provenance = {}
        moved.save(update_fields=["metadata", "provenance"])


def _changed(prompts):
    """Rows in the order of their keys, some hundreds at a time: those that are changed leave the selection."""
    after = 0
    while rows := list(prompts.filter(pk__gt=after).order_by("pk")[:CHUNK]):
        after = rows[-1].pk
        yield from rows


def _came_by_import(prompt):
    submitted = [prompt.messages, prompt.source, prompt.metadata, prompt.responses_wanted]
    if prompt.screening.get("masked"):  # what was submitted is not stored, so only a file's own hash is proof
        return prompt.external_id == HASHED + prompt.body_hash
    return prompt.body_hash not in ("", _hash(submitted))


def _hash(body):
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Migration(migrations.Migration):
    dependencies = [("feedback", "0018_prompt_provenance")]
    operations = [migrations.RunPython(move, move_back)]
