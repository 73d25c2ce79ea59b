"""Pipeline runs: choose stages and start them."""

from dataclasses import replace

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from feedback.errors import DomainError
from feedback.models import Project
from feedback.rules.training.stages import LABELED
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.training import runs, stages
from feedback.selectors.training.plans import PipelinePlan, PipelineRequest, plan_pipeline
from feedback.services.registry import model_versions
from feedback.services.training import pipelines as pipeline_services
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.training.stages import StagesForm

FIRST_TURN = ("tokenizer", "pretrain", *map(str, runs.CHAIN))


@project_page(ADMIN)
def train(request: HttpRequest, project: Project) -> HttpResponse:
    """What there is to train on, the stages as steps, and the runs so far."""
    if request.method == "POST":
        return start(request, project)
    form = StagesForm(project=project, initial={"stages": list(map(str, runs.CHAIN))})
    return train_page(request, project, form)


def start(request: HttpRequest, project: Project) -> HttpResponse:
    form = StagesForm(request.POST, project=project)
    plan = plan_of(request, project, form)
    if plan is not None:
        try:
            chain = pipeline_services.start_chain(plan, by=person(request))
        except DomainError as error:
            form.add_refusal(error)
        else:
            messages.success(request, f"Started: {stages.names_of(chain.stages)}.")
            return redirect("run", project.slug, chain.runs.get(position=0).public_id)
    return train_page(request, project, form, status=422)


def plan_of(request: HttpRequest, project: Project, form: StagesForm) -> PipelinePlan | None:
    """The plan that a form describes; None, with every problem in the form, where it cannot start."""
    if not form.is_valid():
        return None
    try:
        plan = plan_pipeline(pipeline_request(request, project, form))
    except DomainError as error:
        form.add_refusal(error)
        return None
    for problem in plan.problems:
        form.add_refusal(problem)
    if plan.problems:
        return None
    return plan


def pipeline_request(request: HttpRequest, project: Project, form: StagesForm) -> PipelineRequest:
    """The request that a valid form describes, with the rows that it names."""
    values = form.cleaned_data
    pipeline = PipelineRequest(
        project=project,
        stages=tuple(values["stages"]),
        config=values["config"],
        seed=values["seed"] or 0,
        promote=values["promote"],
    )
    if values["base_model"]:
        pipeline = replace(pipeline, base_model=access.get_model(viewer(request), values["base_model"]))
    if values["snapshot"]:
        pipeline = replace(pipeline, snapshot=access.get_snapshot(viewer(request), values["snapshot"]))
    if values["texts"] == LABELED:
        return replace(pipeline, texts=LABELED)
    if values["texts"]:
        return replace(pipeline, corpus=access.get_corpus(viewer(request), values["texts"], ADMIN))
    return pipeline


def train_page(request: HttpRequest, project: Project, form: StagesForm, status: int = 200) -> HttpResponse:
    there = health.queue_now("train")
    page = page_of(runs.runs_of(project), request.GET.get("after"), size=20)
    rows = []
    active = False
    for run in page.rows:
        life = health.life(run.job, there=there)
        rows.append((run, life))
        active = active or not life.final
    context = {
        "project": project,
        "form": form,
        "stock": runs.stock(project, model_versions.serving(project)),
        "there": there,
        "first_turn": FIRST_TURN,
        "page": page,
        "rows": rows,
        "active": active,
    }
    return page_or_partial(request, "training/train", context, status=status)
