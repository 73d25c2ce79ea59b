"""Corpora: their reports, uploads, rejected documents and current documents."""

import json
from itertools import islice
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.downloads import streamed
from feedback.errors import Invalid, NotFound
from feedback.models import Corpus, Document, Job, Project
from feedback.rules.data.text_quality import BOUNDS, Thresholds
from feedback.rules.json_types import JsonObject
from feedback.rules.screening import personal_data
from feedback.selectors.data import corpora as corpus_selectors
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import corpora as services
from feedback.services.data import exports
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.pagination import at_most, page_of
from feedback.web.platform.admin_common import same_project

SHOWN = 50  # rejected documents on the page; the file has all of them
UPLOADS = 20
MAX_CHARACTERS = 20_000  # of a text on its page
PERSONAL = {
    personal_data.EMAIL: "email addresses",
    personal_data.PHONE: "phone numbers",
    personal_data.IBAN: "bank accounts",
    personal_data.CARD: "cards",
    personal_data.IP: "IP addresses",
    personal_data.NATIONAL_ID: "identity numbers",
}
LIMITS = {
    "min_characters": "Minimum characters",
    "max_symbols": "Maximum share of symbols",
    "max_repeated": "Maximum share of repeated lines",
    "min_word": "Minimum mean word length",
    "max_word": "Maximum mean word length",
    "min_letters": "Minimum share of letters",
}


@project_page(ADMIN)
def corpora(request: HttpRequest, project: Project) -> HttpResponse:
    """The corpora of a project, and the form that opens another one."""
    if request.method == "POST":
        corpus = services.open_corpus(
            project=project,
            by=person(request),
            name=request.POST.get("name", ""),
            description=request.POST.get("description", "").strip(),
            hold_out=request.POST.get("hold_out", Corpus.HoldOut.SHARE),
        )
        return redirect("corpus", project.slug, corpus.public_id)
    page = page_of(Corpus.objects.filter(project=project), request.GET.get("after"))
    context = {"project": project, "page": page, "rows": page.rows, "hold_outs": HOLD_OUTS}
    return page_or_partial(request, "data/corpora", context)


HOLD_OUTS = [
    (Corpus.HoldOut.SHARE.value, "5 % of documents"),
    (Corpus.HoldOut.LAST_TENTH.value, "last 10 % of characters"),
]


@project_page(ADMIN)
def corpus(request: HttpRequest, project: Project, corpus_id: UUID) -> HttpResponse:
    """One corpus with its report and uploads. The page polls while documents are read."""
    found = _corpus(request, project, corpus_id)
    uploads = list(corpus_selectors.uploads(found)[:UPLOADS])
    waiting = any(not job.is_final for job in uploads) or corpus_selectors.reports_waiting(found).exists()
    queue = None
    if waiting:
        queue = health.queue_now("default")
    limits = []
    for name, label in LIMITS.items():
        limits.append((name, label, getattr(Thresholds(), name), *BOUNDS[name]))
    context = {
        "project": project,
        "corpus": found,
        "report": found.report,
        "uploads": uploads,
        "left_out": corpus_selectors.left_out(uploads),
        "waiting": waiting,
        "there": queue,
        "removed": at_most(corpus_selectors.listed(found, removed=True)),
        "kinds": Document.Kind.values,
        "personal": PERSONAL.items(),
        "limits": limits,
        "hold_outs": HOLD_OUTS,
    }
    return page_or_partial(request, "data/corpus", context)


@require_POST
@project_page(ADMIN)
def change(request: HttpRequest, project: Project, corpus_id: UUID) -> HttpResponse:
    given = {name: request.POST[name].strip() for name in ("name", "description", "hold_out") if name in request.POST}
    services.update_corpus(corpus=_corpus(request, project, corpus_id), by=person(request), **given)
    messages.success(request, "Saved. This applies from the next snapshot on.")
    return redirect("corpus", project.slug, corpus_id)


@require_POST
@project_page(ADMIN)
def upload(request: HttpRequest, project: Project, corpus_id: UUID) -> HttpResponse:
    """Upload a file, or name one on the server. A worker reads it."""
    file = request.FILES.get("file")
    path = request.POST.get("path", "").strip()
    if (file is None) == (not path):
        raise Invalid("Choose a file, or name one in the import folder, not both.", field="file")
    name, chunks = path, None
    if file is not None:
        name, chunks = str(file.name), file.chunks()
    job = services.request_upload(
        corpus=_corpus(request, project, corpus_id),
        by=person(request),
        name=name,
        chunks=chunks,
        path=path,
        source=request.POST.get("source", "").strip(),
        kind=request.POST.get("kind", ""),
        licence=request.POST.get("licence", "").strip(),
        cleaning={
            "quality": "quality" in request.POST,
            "near_duplicates": "near_duplicates" in request.POST,
            "languages": request.POST.get("languages", "").lower().replace(",", " ").split(),
            "mask": request.POST.getlist("mask"),
            "thresholds": {name: _number(name, request.POST[name]) for name in LIMITS if request.POST.get(name)},
        },
    )
    messages.success(request, f"{job.payload['name']} received; a worker imports it.")
    return redirect("corpus_upload", project.slug, job.public_id)


@project_page(ADMIN)
def one_upload(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    """One upload. The page polls while documents are read."""
    job = _upload(request, project, job_id)
    refused: list[JsonObject] = []
    if sum(job.result.get("left_out", {}).values()):
        with services.rejected_file(job).open(encoding="utf-8") as lines:
            refused = [json.loads(line) for line in islice(lines, SHOWN)]
    corpus = Corpus.objects.filter(public_id=job.payload["corpus"]).first()
    context = {"project": project, "corpus": corpus, "job": job, "life": health.life(job), "refused": refused}
    return page_or_partial(request, "data/corpus_upload", context)


@project_page(ADMIN)
def rejected(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    path = services.rejected_file(_upload(request, project, job_id))
    reply = StreamingHttpResponse(exports.chunks_of(path), content_type="application/octet-stream")
    reply["Content-Disposition"] = 'attachment; filename="left-out.jsonl"'
    reply["Content-Length"] = str(path.stat().st_size)
    return cast(HttpResponse, reply)


@project_page(ADMIN)
def download(request: HttpRequest, project: Project, corpus_id: UUID) -> HttpResponse:
    found = _corpus(request, project, corpus_id)
    return cast(HttpResponse, streamed(corpus_selectors.rows(found), f"{project.slug}-corpus.jsonl"))


@require_POST
@project_page(ADMIN)
def request_report(request: HttpRequest, project: Project, corpus_id: UUID) -> HttpResponse:
    services.request_report(corpus=_corpus(request, project, corpus_id), by=person(request))
    return redirect("corpus", project.slug, corpus_id)


@project_page(ADMIN)
def documents(request: HttpRequest, project: Project, corpus_id: UUID) -> HttpResponse:
    """Documents, newest first, either current or removed ones. Several can be removed or restored at once."""
    found = _corpus(request, project, corpus_id)
    removed = request.GET.get("removed") == "1"
    if request.method == "POST":
        ids = list(map(_uuid, request.POST.getlist("document")))
        if "restore" in request.POST:
            moved = services.restore_documents(corpus=found, by=person(request), ids=ids)
            messages.success(request, f"Restored {moved}.")
            return redirect("documents", project.slug, corpus_id)
        moved = services.remove_documents(
            corpus=found, by=person(request), ids=ids, reason=request.POST.get("reason", "")
        )
        messages.success(request, f"Removed {moved}. They are listed under “Removed documents” and can be restored.")
        return redirect(request.get_full_path())
    page = page_of(corpus_selectors.listed(found, removed=removed), request.GET.get("after"))
    query = ""
    if removed:
        query = "removed=1"
    context = {
        "project": project,
        "corpus": found,
        "page": page,
        "rows": page.rows,
        "removed": removed,
        "query": query,
    }
    return page_or_partial(request, "data/documents", context)


@project_page(ADMIN)
def document(request: HttpRequest, project: Project, document_id: UUID) -> HttpResponse:
    """One document with its text. A long text is truncated; the download has all of it."""
    found = access.get_document(viewer(request), document_id)
    same_project(found.corpus, project)
    context = {"project": project, "corpus": found.corpus, "document": found, "most": MAX_CHARACTERS}
    return page_or_partial(request, "data/document", context | {"text": found.text[:MAX_CHARACTERS]})


def _corpus(request: HttpRequest, project: Project, key: UUID) -> Corpus:
    found = access.get_corpus(viewer(request), key)
    same_project(found, project)
    return found


def _upload(request: HttpRequest, project: Project, key: UUID) -> Job:
    job = access.get_job(viewer(request), key)
    same_project(job, project)
    if job.kind != Job.Kind.CORPUS or job.payload.get("do") != services.UPLOAD:
        raise NotFound
    return job


def _number(name: str, text: str) -> float:
    try:
        if name == "min_characters":
            return int(text)
        return float(text)
    except ValueError:
        raise Invalid(f"{LIMITS[name]} must be a number.", field=name) from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("Select documents in the list.", field="document") from None
