"""The health page: queues, workers, their jobs, and what the service runs on."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from feedback.errors import Forbidden
from feedback.models import Project
from feedback.selectors.platform import access, health, projects
from feedback.selectors.platform.access import ADMIN
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer


@login_required
def service_health(request: HttpRequest) -> HttpResponse:
    """The health of the service, for site admins and for admins of a project."""
    if not person(request).is_site_admin and not projects.administers_any(person(request)):
        raise Forbidden("Only admins see system health. Contact a project admin if something seems stuck.")
    return _health(request)


@project_page(ADMIN)
def of_project(request: HttpRequest, project: Project) -> HttpResponse:
    """The same page with the navigation of a project."""
    return _health(request)


def _health(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    projects = set(access.projects_for(viewer(request)).values_list("pk", flat=True))
    context = {
        "queues": health.queues(now),
        "house": health.service_health(),
        "now": now,
        # Jobs of projects that the viewer may not see are shown without the name of the project.
        "mine": projects,
        "active": health.active_jobs(projects),
        "failed": health.failed_lately(projects, now),
    }
    return page_or_partial(request, "platform/health/health", context)
