"""What several admin pages do in the same way."""

from typing import Any

from django.http import HttpRequest

from feedback.errors import NotFound
from feedback.models import Project, Prompt, Task
from feedback.selectors.collection import listings
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.web.pages import viewer


def same_project(row: Any, project: Project) -> None:
    """A row of another project has no page below this one, whatever the viewer may see there."""
    if row.project_id != project.pk:
        raise NotFound


def task_here(request: HttpRequest, project: Project, key: Any) -> Task:
    """The project's task of this public id, for its admins."""
    found = access.get_task(viewer(request), key, ADMIN)
    same_project(found, project)
    return found


def answers_to(project: Project, prompt: Prompt) -> dict[str, Any]:
    """A prompt's responses, how many of them are awaited still, whether a guard reads, and the life of the job that
    writes those."""
    responses = listings.responses_to(prompt)
    awaited = sum(response.state in listings.WANTED for response in responses)
    job = listings.generation_job(project) if awaited else None
    return {
        "project": project,
        "prompt": prompt,
        "responses": responses,
        "awaited": awaited,
        "read": prompt.state == Prompt.State.RECEIVED or any(one.state == "screening" for one in responses),
        "life": health.life(job) if job else None,
    }
