"""What several admin pages do in the same way."""

from typing import Any

from feedback.errors import NotFound
from feedback.models import Project, Prompt
from feedback.selectors import browse, health


def same_project(row: Any, project: Project) -> None:
    """A row of another project has no page below this one, whatever the viewer may see there."""
    if row.project_id != project.pk:
        raise NotFound


def answers_to(project: Project, prompt: Prompt) -> dict[str, Any]:
    """A prompt's responses, how many of them are awaited still, whether a guard reads, and the life of the job that
    writes those."""
    responses = browse.responses_to(prompt)
    awaited = sum(response.state in browse.WANTED for response in responses)
    job = browse.generation_job(project) if awaited else None
    return {
        "project": project,
        "prompt": prompt,
        "responses": responses,
        "awaited": awaited,
        "read": prompt.state == Prompt.State.RECEIVED or any(one.state == "screening" for one in responses),
        "life": health.life(job) if job else None,
    }
