"""Data: imports and exports, with what became of each."""

import json
from itertools import islice
from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.errors import Invalid, NotFound
from feedback.formats.catalogue import ALL
from feedback.models import Job, Project
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import exports as export_services
from feedback.services.data import imports as import_services
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import same_project

SHOWN = 50  # refused lines on the page; the file has all
CUT = 300  # characters of each


@project_page(ADMIN)
def imports(request: HttpRequest, project: Project) -> HttpResponse:
    """Files brought in, newest first, and the form that takes another."""
    context = _jobs(request, project, Job.Kind.IMPORT) | {"formats": [one for one in ALL if one.read]}
    return page_or_partial(request, "data/imports", context)


@require_POST
@project_page(ADMIN)
def bring_in(request: HttpRequest, project: Project) -> HttpResponse:
    """Take a file; a worker reads it."""
    file: Any = request.FILES.get("file")
    if file is None:
        raise Invalid("Choose a file.", field="file")
    job = import_services.request_import(
        project=project,
        by=person(request),
        format=request.POST.get("format", ""),
        name=file.name,
        chunks=file.chunks(),
        source=request.POST.get("source", "").strip(),
        annotator=request.POST.get("annotator", "").strip(),
    )
    messages.success(request, f"{job.payload['name']} received; a worker imports it.")
    return redirect("import", project.slug, job.public_id)


@project_page(ADMIN)
def one_import(request: HttpRequest, project: Project, job_id: Any) -> HttpResponse:
    """One import; it polls while the file is being read."""
    job = _one(request, project, job_id, Job.Kind.IMPORT)
    refused = []
    if job.result.get("rejected"):
        with import_services.rejected_file(job).open(encoding="utf-8") as lines:
            refused = [_short(json.loads(line)) for line in islice(lines, SHOWN)]
    return page_or_partial(
        request, "data/import", {"project": project, "job": job, "life": health.life(job), "refused": refused}
    )


@project_page(ADMIN)
def rejected(request: HttpRequest, project: Project, job_id: Any) -> HttpResponse:
    job = _one(request, project, job_id, Job.Kind.IMPORT)
    path = import_services.rejected_file(job)
    return cast(HttpResponse, _download(path, "rejected.jsonl"))


@project_page(ADMIN)
def exports(request: HttpRequest, project: Project) -> HttpResponse:
    """Files written out, newest first, and the form that asks for another."""
    context = _jobs(request, project, Job.Kind.EXPORT)
    context |= {"formats": [one for one in ALL if one.write], "kinds": export_services.KINDS_OF_ITEMS}
    return page_or_partial(request, "data/exports", context)


@require_POST
@project_page(ADMIN)
def write_out(request: HttpRequest, project: Project) -> HttpResponse:
    """Request a file; a worker writes it."""
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
def export_file(request: HttpRequest, project: Project, job_id: Any) -> HttpResponse:
    path = export_services.file_of(_one(request, project, job_id, Job.Kind.EXPORT))
    return cast(HttpResponse, _download(path, path.name))


def _jobs(request: HttpRequest, project: Project, kind: str) -> dict[str, Any]:
    page = page_of(
        Job.objects.filter(project=project, kind=kind).select_related("requested_by"), request.GET.get("after")
    )
    waiting = any(not job.is_final for job in page.rows)
    there = health.queue_now("default") if waiting else None
    return {"project": project, "page": page, "rows": page.rows, "waiting": waiting, "there": there}


def _one(request: HttpRequest, project: Project, key: Any, kind: str) -> Job:
    job = access.get_job(viewer(request), key)
    same_project(job, project)
    if job.kind != kind:
        raise NotFound
    return job


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"text": row["text"][:CUT] + ("…" if len(row["text"]) > CUT else "")}


def _download(path: Any, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(export_services.chunks_of(path), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(path.stat().st_size)
    return response
