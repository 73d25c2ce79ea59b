"""Imports, with the result of each."""

import json
from itertools import islice
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.errors import Invalid
from feedback.formats.catalog import ALL
from feedback.models import Job, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import health
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import imports as import_services
from feedback.web.data.transfers import download, job_of_kind, jobs_of_kind
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page

SHOWN = 50  # rejected lines on the page; the file has all of them
MAX_CHARACTERS = 300  # of each line


@project_page(ADMIN)
def imports(request: HttpRequest, project: Project) -> HttpResponse:
    """Imports, newest first, and the form for another one."""
    context = jobs_of_kind(request, project, Job.Kind.IMPORT)
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
    job = job_of_kind(request, project, job_id, Job.Kind.IMPORT)
    refused = []
    if job.result.get("rejected"):
        with import_services.rejected_file(job).open(encoding="utf-8") as lines:
            refused = [_short(json.loads(line)) for line in islice(lines, SHOWN)]
    return page_or_partial(
        request, "data/import", {"project": project, "job": job, "life": health.life(job), "refused": refused}
    )


@project_page(ADMIN)
def rejected(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    job = job_of_kind(request, project, job_id, Job.Kind.IMPORT)
    path = import_services.rejected_file(job)
    return cast(HttpResponse, download(path, "rejected.jsonl"))


def _short(row: JsonObject) -> JsonObject:
    text = row["text"]
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}…"
    return row | {"text": text}
