"""Look before you train: what a chain would meet and cost, and the button that starts exactly that."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, NotFound
from feedback.models import Job, Project
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.training import preflight as preflight_selectors
from feedback.selectors.training import stages
from feedback.services.training import preflight
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project
from feedback.web.training.pipelines import plan_of, train_page
from feedback.web.training.stages import StagesForm


@require_POST
@project_page(ADMIN)
def ask(request: HttpRequest, project: Project) -> HttpResponse:
    """The same form as the one that starts a chain, sent here by its other button."""
    form = StagesForm(request.POST, project=project)
    plan = plan_of(request, project, form)
    if plan is not None:
        try:
            job = preflight.request_preflight(plan, by=person(request))
        except DomainError as error:
            form.add_refusal(error)
        else:
            return redirect("preflight", project.slug, job.public_id)
    return train_page(request, project, form, status=422)


@project_page(ADMIN)
def look(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    """What was found; polls until the job has ended."""
    job = _job(request, project, job_id)
    context = {
        "project": project,
        "job": job,
        "life": health.life(job),
        "names": [stages.NAMES[stage] for stage in job.payload["stages"]],
        "looked": preflight_selectors.stages(job),
        "blocks": preflight.blocks(job),
        "overridable": preflight.overridable(job),
    }
    return page_or_partial(request, "training/preflight", context)


@require_POST
@project_page(ADMIN)
def start(request: HttpRequest, project: Project, job_id: UUID) -> HttpResponse:
    """Start the chain as it was looked at."""
    job = _job(request, project, job_id)
    try:
        ignored = request.POST.getlist("ignore_findings")
        chain = preflight.start(by=person(request), job=job, ignore_findings=ignored)
    except DomainError as error:
        messages.error(request, error.sentence)
        return redirect("preflight", project.slug, job.public_id)
    messages.success(request, f"Started: {stages.names_of(chain.stages)}.")
    return redirect("run", project.slug, chain.runs.get(position=0).public_id)


def _job(request: HttpRequest, project: Project, job_id: UUID) -> Job:
    job = access.get_job(viewer(request), job_id)
    same_project(job, project)
    if job.kind != Job.Kind.PREFLIGHT:
        raise NotFound
    return job
