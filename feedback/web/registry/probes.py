"""Probes of models for the scripts of pages: a question goes in, and its answer is fetched when it is there."""

from datetime import timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import NotFound
from feedback.models import Job, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access, health
from feedback.services.registry import probes
from feedback.web.json_views import body_of, json_view
from feedback.web.pages import person, project_page, viewer

SLOW = timedelta(seconds=2)  # after this the page says what it waits for
NO_WORKER = "No worker answers. An admin can start one: see Health."
WAITS = "The worker is busy; the answer comes in a moment."


@require_POST
@json_view
@project_page()
def request_probe(request: HttpRequest, project: Project, kind: str) -> HttpResponse:
    """Ask a model: 200 with the answer if it is known, 202 with the id of the question if not."""
    wanted = probes.kind_of(kind)
    access.require_role(viewer(request), project, wanted.role)
    job = probes.request_probe(project=project, by=person(request), kind=wanted, body=body_of(request))
    return JsonResponse(_told(job), status=200 if job.is_final else 202)


@require_GET
@json_view
@project_page()
def probe(request: HttpRequest, project: Project, probe_id: UUID) -> HttpResponse:
    """The answer, or what it waits for."""
    job = Job.objects.filter(project=project, kind=Job.Kind.PROBE, public_id=probe_id).first()
    if job is None:
        raise NotFound
    access.require_role(viewer(request), project, probes.kind_of(job.payload.get("probe")).role)
    return JsonResponse(_told(job))


def _told(job: Job) -> JsonObject:
    body: JsonObject = {"id": str(job.public_id), "state": job.status}
    if job.status == Job.Status.SUCCEEDED:
        body["result"] = job.result
    elif job.status == Job.Status.FAILED:
        body["sentence"] = f"{job.error} {job.remedy}".strip()
    elif not job.is_final and timezone.now() - job.created_at > SLOW:
        body["waiting"] = WAITS if health.queue_now(job.queue).alive else NO_WORKER
    return body
