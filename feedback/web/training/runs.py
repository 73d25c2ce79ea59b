"""Training runs: one with its curves and samples, and several side by side."""

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import NotFound
from feedback.models import Chain, Job, Project, TrainingRun
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.training import look_scores, runs
from feedback.services.training import look_scores as look_score_services
from feedback.services.training import pipelines as pipeline_services
from feedback.web.htmx import page_or_partial, wants_fragment
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project

# What to do about each kind of failure, where the run itself says nothing better.
REMEDIES = {
    Job.ErrorKind.DATA: "Check the snapshot rows, collect missing data, and restart on a new snapshot.",
    Job.ErrorKind.CONFIG: "Correct the named setting in the project or for one pipeline run, and start again.",
    Job.ErrorKind.OUT_OF_MEMORY: "Use a smaller batch or a shorter length, then resume from the checkpoint.",
    Job.ErrorKind.DISK_FULL: "Free disk space, then resume from the checkpoint.",
    Job.ErrorKind.DIVERGED: "Lower the learning rate, or raise the KL weight in PPO, and start again.",
    Job.ErrorKind.LOST_WORKER: "Check the machine's memory and the worker log, then retry.",
    Job.ErrorKind.INTERNAL: "This is an internal error. Keep the log below, and retry once.",
}


@project_page(ADMIN)
def run(request: HttpRequest, project: Project, run_id: UUID) -> HttpResponse:
    """One run. Its head and its tail poll until the whole chain is final; its curves fetch themselves."""
    found = access.get_run(viewer(request), run_id)
    same_project(found, project)
    found = runs.runs_of(project).select_related("base_model", "reward_model", "guard", "incumbent").get(pk=found.pk)
    there = health.queue_now("train")
    life = health.life(found.job, there=there)
    chain = runs.in_chain(found)
    steps, samples = runs.samples(found)
    context = {
        "project": project,
        "run": found,
        "job": found.job,
        "life": life,
        "there": there,
        "remedy": found.job.remedy or REMEDIES.get(found.job.error_kind, ""),  # type: ignore[call-overload]
        "chain": found.chain,
        "places": runs.places(found.chain, chain),
        "failed_by_rows": pipeline_services.failed_by_rows(found),
        "last_of_chain": not chain or chain[-1].pk == found.pk,
        "polls": not life.final or found.chain.state == Chain.State.ACTIVE,
        "plots": runs.plots_of([found]),
        "look_scores": look_scores.of_run(found),
        "sample_steps": steps,
        "samples": samples,
        "alarms": list(found.alarms.order_by("-step")[:10]),
        "figures": runs.final_figures(found),
        "config": sorted(found.config.items()),
        "evaluation": runs.evaluation_of(found),
        "model": runs.made_by(found),
    }
    part = "training/run"
    if wants_fragment(request) and request.GET.get("part") == "tail":
        part = "training/tail"
    return page_or_partial(request, part, context)


@project_page(ADMIN)
def points(request: HttpRequest, project: Project, run_id: UUID, plot: str) -> JsonResponse:
    """One plot's figures as chart.js takes them."""
    found = access.get_run(viewer(request), run_id)
    same_project(found, project)
    return _plot([found], plot)


@project_page(ADMIN)
def look_points(request: HttpRequest, project: Project, run_id: UUID) -> JsonResponse:
    """The scores of several reward models on the run's saved responses, as chart.js takes them."""
    found = access.get_run(viewer(request), run_id)
    same_project(found, project)
    scores = look_scores.of_run(found)
    if scores is None:
        raise NotFound
    return JsonResponse({**look_scores.curve(found), "final": not scores.is_waiting})


@require_POST
@project_page(ADMIN)
def score_looks(request: HttpRequest, project: Project, run_id: UUID) -> HttpResponse:
    found = access.get_run(viewer(request), run_id)
    same_project(found, project)
    look_score_services.request(by=person(request), run=found)
    messages.success(request, "Queued: the other reward models score the saved responses.")
    return redirect("run", project.slug, found.public_id)


def _plot(drawn: list[TrainingRun], key: str) -> JsonResponse:
    for plot in runs.plots_of(drawn):
        if plot.key == key:
            is_final = all(run.job.is_final for run in drawn)
            return JsonResponse({**runs.curve(drawn, plot), "final": is_final})
    raise NotFound


@require_POST
@project_page(ADMIN)
def cancel(request: HttpRequest, project: Project, run_id: UUID) -> HttpResponse:
    found = access.get_run(viewer(request), run_id)
    same_project(found, project)
    pipeline_services.cancel_run(by=person(request), run=found)
    messages.success(request, "Canceling. A running stage saves a checkpoint first; then the pipeline run ends.")
    return redirect("run", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def retry(request: HttpRequest, project: Project, run_id: UUID) -> HttpResponse:
    found = access.get_run(viewer(request), run_id)
    same_project(found, project)
    pipeline_services.retry_run(by=person(request), run=found)
    messages.success(request, "Queued; it resumes from the last checkpoint.")
    return redirect("run", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def start_again(request: HttpRequest, project: Project, run_id: UUID) -> HttpResponse:
    found = access.get_run(viewer(request), run_id)
    same_project(found, project)
    chain = pipeline_services.start_again(by=person(request), run=found)
    first = chain.runs.get(position=0)
    messages.success(request, "Restarted; the first step freezes a new snapshot.")
    return redirect("run", project.slug, first.public_id)


@project_page(ADMIN)
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    """Several runs on one plot each."""
    drawn = runs.chosen(project, request.GET.getlist("run"))
    context = {
        "project": project,
        "runs": drawn,
        "plots": runs.plots_of(drawn),
        "query": urlencode([("run", run.public_id) for run in drawn]),
        "settings": runs.settings_that_differ(drawn),
        "figures": runs.figures_side_by_side(drawn),
    }
    return render(request, "feedback/training/compare.html", context)


@project_page(ADMIN)
def compare_points(request: HttpRequest, project: Project, plot: str) -> JsonResponse:
    drawn = runs.chosen(project, request.GET.getlist("run"))
    if not drawn:
        raise NotFound
    return _plot(drawn, plot)
