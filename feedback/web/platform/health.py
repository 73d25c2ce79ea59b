"""Health: who works, on what, since when; what waits; what the service runs on."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from feedback.errors import Forbidden
from feedback.models import Project
from feedback.selectors.platform import access, health, members
from feedback.selectors.platform.access import ADMIN
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer


@login_required
def service_health(request: HttpRequest) -> HttpResponse:
    """For those who run something here: site admins, and admins of any project."""
    if not person(request).is_site_admin and not members.administers_any(person(request)):
        raise Forbidden("Only admins see system health. Contact a project admin if something seems stuck.")
    return _health(request)


@project_page(ADMIN)
def of_project(request: HttpRequest, project: Project) -> HttpResponse:
    """The same, in the frame of a project."""
    return _health(request)


def _health(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    mine = set(access.projects_for(viewer(request)).values_list("pk", flat=True))
    context = {
        "queues": health.queues(now),
        "house": health.service_health(),
        "now": now,
        # What a worker does for a project that the viewer does not see is reported without its name.
        "mine": mine,
        "active": health.active_jobs(mine),
        "failed": health.failed_lately(mine, now),
    }
    return page_or_partial(request, "platform/health/health", context)
