"""Exports, and their files."""

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.formats.catalog import ALL
from feedback.models import Job, Project
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import exports as export_services
from feedback.web.data.transfers import download, job_of_kind, jobs_of_kind
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page


@project_page(ADMIN)
def exports(request: HttpRequest, project: Project) -> HttpResponse:
    """Exports, newest first, and the form for another one."""
    context = jobs_of_kind(request, project, Job.Kind.EXPORT)
    context["formats"] = [file_format for file_format in ALL if file_format.write]
    context["kinds"] = export_services.KINDS_OF_ITEMS
    return page_or_partial(request, "data/exports", context)


@require_POST
@project_page(ADMIN)
def request_export(request: HttpRequest, project: Project) -> HttpResponse:
    """Request an export. A worker writes the file."""
    export_services.request_export(
        project=project,
        by=person(request),
        format=request.POST.get("format", ""),
        kind=request.POST.get("kind", ""),
        file_type=request.POST.get("file_type", export_services.JSONL),
    )
    messages.success(request, "Export requested; a worker writes it.")
    return redirect("exports", project.slug)


@project_page(ADMIN)
def export_file(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    path = export_services.file_of(job_of_kind(request, project, job_id, Job.Kind.EXPORT))
    return cast(HttpResponse, download(path, path.name))
