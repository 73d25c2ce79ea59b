"""Helpers that several admin pages share."""

from collections import Counter
from operator import attrgetter
from typing import Protocol
from uuid import UUID

from django.http import HttpRequest

from feedback.errors import NotFound
from feedback.models import Project, Prompt, Response, Task
from feedback.selectors.collection import prompts
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.web.pages import Context, viewer


class ProjectRow(Protocol):
    """A row that belongs to a project."""

    @property
    def project_id(self) -> int | None: ...


def same_project(row: ProjectRow, project: Project) -> None:
    """Check that the row belongs to the project of the page.

    Raises:
        NotFound: it belongs to another project, even one that the viewer may see.
    """
    if row.project_id != project.pk:
        raise NotFound


def task_here(request: HttpRequest, project: Project, key: UUID) -> Task:
    """The task of the project with this public id, for its admins."""
    found = access.get_task(viewer(request), key, ADMIN)
    same_project(found, project)
    return found


def prompt_context(project: Project, prompt: Prompt) -> Context:
    """A prompt with its responses, the number of unwritten ones, whether the guard model still reads, and the state
    of the job that writes the responses.
    """
    responses = prompts.responses_to(prompt)
    states = Counter(map(attrgetter("state"), responses))
    awaited = states[Response.State.QUEUED] + states[Response.State.RUNNING]
    job_state = None
    if awaited and (job := prompts.generation_job(project)) is not None:
        job_state = health.life(job)
    return {
        "project": project,
        "prompt": prompt,
        "responses": responses,
        "awaited": awaited,
        "read": prompt.state == Prompt.State.RECEIVED or Response.State.SCREENING in states,
        "life": job_state,
    }
