"""Schedules: chains that start by themselves, every so often or after so many new pairs."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import Project
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.training import schedules as schedule_selectors
from feedback.services.training import schedules as schedule_services
from feedback.web.forms import add_error, form_status
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project
from feedback.web.training.schedule_forms import ScheduleForm


@project_page(ADMIN)
def schedules(request: HttpRequest, project: Project) -> HttpResponse:
    form = ScheduleForm()
    if request.method == "POST":
        form = ScheduleForm(request.POST)
    if request.method == "POST" and form.is_valid():
        try:
            made = schedule_services.create_schedule(by=person(request), project=project, **form.arguments())
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, f"“{made.name}” is enabled.")
            return redirect("schedules", project.slug)
    context = {
        "project": project,
        "form": form,
        "rows": schedule_selectors.rows(project),
        "now": timezone.now(),
        "there": health.queue_now("train"),
        "keeper": health.queue_now("default"),
    }
    return render(request, "feedback/training/schedules/list.html", context, status=form_status(form))


@require_POST
@project_page(ADMIN)
def switch(request: HttpRequest, project: Project, schedule_id: UUID) -> HttpResponse:
    """On or off."""
    found = access.get_schedule(viewer(request), schedule_id)
    same_project(found, project)
    enabled = request.POST.get("enabled") == "yes"
    schedule_services.set_enabled(by=person(request), schedule=found, enabled=enabled)
    if enabled:
        messages.success(request, f"“{found.name}” is enabled and counts from now.")
    else:
        messages.success(request, f"“{found.name}” is disabled.")
    return redirect("schedules", project.slug)


@require_POST
@project_page(ADMIN)
def delete(request: HttpRequest, project: Project, schedule_id: UUID) -> HttpResponse:
    found = access.get_schedule(viewer(request), schedule_id)
    same_project(found, project)
    name = found.name
    schedule_services.delete_schedule(by=person(request), schedule=found)
    messages.success(request, f"“{name}” deleted. Its pipeline runs stay.")
    return redirect("schedules", project.slug)
