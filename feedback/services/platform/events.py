"""Audit events, kept for ever. They hold ids, never text."""

from typing import Any

from feedback.models import Event, Person, Project
from feedback.rules.platform.sentences import without_paths


def record(verb: str, row: Any, *, actor: Person | None, project: Project | None = None, **ids: object) -> None:
    """Append `verb` (noun.participle, such as `task.withdrawn`) about `row`. Call inside its transaction."""
    Event.objects.create(
        project=project or getattr(row, "project", None),
        actor=actor,
        verb=verb,
        object_type=type(row).__name__,
        object_id=str(row.public_id),
        data={key: without_paths(str(value)) for key, value in ids.items() if value is not None},
    )
