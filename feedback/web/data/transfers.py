"""What the pages of imports and exports share: a list of jobs, one job, and a file to download."""

from pathlib import Path
from uuid import UUID

from django.http import HttpRequest, StreamingHttpResponse

from feedback.errors import NotFound
from feedback.models import Job, Project
from feedback.selectors.platform import access, health
from feedback.services.data import exports as export_services
from feedback.web.pages import Context, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import same_project


def jobs_of_kind(request: HttpRequest, project: Project, kind: str) -> Context:
    jobs = (
        Job.objects.filter(project=project, kind=kind)
        .exclude(payload__has_key="dry_run")
        .select_related("requested_by")
    )
    page = page_of(jobs, request.GET.get("after"))
    waiting = any(not job.is_final for job in page.rows)
    queue = None
    if waiting:
        queue = health.queue_now("default")
    return {"project": project, "page": page, "rows": page.rows, "waiting": waiting, "there": queue}


def job_of_kind(request: HttpRequest, project: Project, key: UUID, kind: str) -> Job:
    job = access.get_job(viewer(request), key)
    same_project(job, project)
    if job.kind != kind:
        raise NotFound
    return job


def download(path: Path, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(export_services.chunks_of(path), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(path.stat().st_size)
    return response
