"""Imports, with the result of each."""

import json
from itertools import islice
from typing import cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.errors import Invalid
from feedback.formats.annotations.item_kinds import label_of
from feedback.models import ImportDraft, Job, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import health
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import import_drafts, import_folder, rejected_rows
from feedback.services.data import imports as import_services
from feedback.web.data.transfers import download, job_of_kind, jobs_of_kind
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page

DRAFTS = 10  # that are being prepared
SHOWN = 50  # rejected lines on the page; the file has all of them
MAX_CHARACTERS = 300  # of each line


@project_page(ADMIN)
def imports(request: HttpRequest, project: Project) -> HttpResponse:
    """Imports, newest first, those that are being prepared, and the form for another one."""
    context = jobs_of_kind(request, project, Job.Kind.IMPORT)
    context["drafts"] = ImportDraft.objects.filter(project=project, job=None)[:DRAFTS]
    context["folder"] = import_folder.files()
    return page_or_partial(request, "data/imports", context)


@require_POST
@project_page(ADMIN)
def request_import(request: HttpRequest, project: Project) -> HttpResponse:
    """Step 1: a file, a pasted text, or a file of the import folder. What it is, is looked at next."""
    file, text, path = request.FILES.get("file"), request.POST.get("text", ""), request.POST.get("path", "")
    if file is not None:
        name, chunks = str(file.name), file.chunks()
    elif text.strip():
        name, chunks = "pasted", iter([text.encode()])
    elif path:
        name, chunks = import_services.from_inbox(path)
    else:
        raise Invalid("Choose a file, or paste rows.", field="file")
    draft = import_drafts.begin(project=project, by=person(request), name=name, chunks=chunks)
    return redirect("import_draft", project.slug, draft.public_id)


@project_page(ADMIN)
def one_import(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    """One import. The page polls while the file is read."""
    job = job_of_kind(request, project, job_id, Job.Kind.IMPORT)
    refused = []
    if job.result.get("rejected"):
        with import_services.rejected_file(job).open(encoding="utf-8") as lines:
            refused = [_short(json.loads(line)) for line in islice(lines, SHOWN)]
    return page_or_partial(
        request,
        "data/import",
        {
            "project": project,
            "job": job,
            "life": health.life(job),
            "refused": refused,
            "kinds": [(label_of(kind), count) for kind, count in job.result.get("kinds", {}).items()],
            "step": 4,
        },
    )


@project_page(ADMIN)
def rejected(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    job = job_of_kind(request, project, job_id, Job.Kind.IMPORT)
    path = import_services.rejected_file(job)
    table = rejected_rows.as_csv(path, job.payload.get("layout", {}).get("columns", []))
    if table is None:
        return cast(HttpResponse, download(path, "rejected.jsonl"))
    response = StreamingHttpResponse(table, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="rejected.csv"'
    return cast(HttpResponse, response)


def _short(row: JsonObject) -> JsonObject:
    text = row["text"]
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}…"
    return row | {"text": text}
