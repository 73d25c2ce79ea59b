"""What several admin pages do in the same way."""

from typing import Any

from feedback.errors import NotFound
from feedback.models import Project


def same_project(row: Any, project: Project) -> None:
    """A row of another project has no page below this one, whatever the viewer may see there."""
    if row.project_id != project.pk:
        raise NotFound
