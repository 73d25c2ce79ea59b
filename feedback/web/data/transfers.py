"""Imports and exports, with the result of each."""

import json
from itertools import islice
from pathlib import Path
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.errors import Invalid, NotFound
from feedback.formats.catalogue import ALL
from feedback.models import Job, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import exports as export_services
from feedback.services.data import imports as import_services
from feedback.web.htmx import page_or_partial
from feedback.web.pages import Context, person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import same_project

SHOWN = 50  # rejected lines on the page; the file has all of them
MAX_CHARACTERS = 300  # of each line


@project_page(ADMIN)
def imports(request: HttpRequest, project: Project) -> HttpResponse:
    """Imports, newest first, and the form for another one."""
    context = _jobs(request, project, Job.Kind.IMPORT)
    context["formats"] = [file_format for file_format in ALL if file_format.read]
    return page_or_partial(request, "data/imports", context)


@require_POST
@project_page(ADMIN)
def request_import(request: HttpRequest, project: Project) -> HttpResponse:
    """Upload a file. A worker reads it."""
    file = request.FILES.get("file")
    if file is None:
        raise Invalid("Choose a file.", field="file")
    job = import_services.request_import(
        project=project,
        by=person(request),
        format=request.POST.get("format", ""),
        name=str(file.name),
        chunks=file.chunks(),
        source=request.POST.get("source", "").strip(),
        annotator=request.POST.get("annotator", "").strip(),
    )
    messages.success(request, f"{job.payload['name']} received; a worker imports it.")
    return redirect("import", project.slug, job.public_id)


@project_page(ADMIN)
def one_import(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    """One import. The page polls while the file is read."""
    job = _one(request, project, job_id, Job.Kind.IMPORT)
    refused = []
    if job.result.get("rejected"):
        with import_services.rejected_file(job).open(encoding="utf-8") as lines:
            refused = [_short(json.loads(line)) for line in islice(lines, SHOWN)]
    return page_or_partial(
        request, "data/import", {"project": project, "job": job, "life": health.life(job), "refused": refused}
    )


@project_page(ADMIN)
def rejected(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    job = _one(request, project, job_id, Job.Kind.IMPORT)
    path = import_services.rejected_file(job)
    return cast(HttpResponse, _download(path, "rejected.jsonl"))


@project_page(ADMIN)
def exports(request: HttpRequest, project: Project) -> HttpResponse:
    """Exports, newest first, and the form for another one."""
    context = _jobs(request, project, Job.Kind.EXPORT)
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
    path = export_services.file_of(_one(request, project, job_id, Job.Kind.EXPORT))
    return cast(HttpResponse, _download(path, path.name))


def _jobs(request: HttpRequest, project: Project, kind: str) -> Context:
    jobs = Job.objects.filter(project=project, kind=kind).select_related("requested_by")
    page = page_of(jobs, request.GET.get("after"))
    waiting = any(not job.is_final for job in page.rows)
    queue = None
    if waiting:
        queue = health.queue_now("default")
    return {"project": project, "page": page, "rows": page.rows, "waiting": waiting, "there": queue}


def _one(request: HttpRequest, project: Project, key: UUID, kind: str) -> Job:
    job = access.get_job(viewer(request), key)
    same_project(job, project)
    if job.kind != kind:
        raise NotFound
    return job


def _short(row: JsonObject) -> JsonObject:
    text = row["text"]
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}…"
    return row | {"text": text}


def _download(path: Path, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(export_services.chunks_of(path), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(path.stat().st_size)
    return response
