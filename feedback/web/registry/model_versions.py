"""The registry: model versions with lineage and metrics, promotion, rollback, and the playground."""

from collections.abc import Iterable
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import ModelVersion, Project, Prompt
from feedback.selectors.evaluation import gate
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.quality import reliability
from feedback.selectors.registry import lineage, model_versions
from feedback.selectors.screening import guard_models
from feedback.services.collection import generation
from feedback.services.collection import prompts as prompt_services
from feedback.services.registry import external_models
from feedback.services.registry import model_versions as model_version_services
from feedback.web.evaluation import contests as contest_pages
from feedback.web.forms import add_error, form_status
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import prompt_context, same_project
from feedback.web.registry.playground_forms import PlaygroundForm

PLAYGROUND = "playground"
HEADLINES = (  # metrics, the most important first
    "test_macro_f1",
    "test_f1",
    "selection_macro_f1",
    "selection_f1",
    "selection_masked_loss",
    "selection_accuracy",
    "win_rate",
    "score",
    "selection_loss",
    "selection_bits_per_byte",
    "vocab_size",
)


@project_page(ADMIN)
def models(request: HttpRequest, project: Project) -> HttpResponse:
    """The serving version, the model lineage, and a table of all versions."""
    serving = model_version_services.serving(project)
    kind = request.GET.get("kind", "")
    if kind not in ModelVersion.Kind.values:
        kind = ""
    page = page_of(model_versions.versions_of(project, kind), request.GET.get("after"), size=30)
    roots, cut = model_versions.family(project, serving)
    history = model_versions.deployments_of(project)
    context = {
        "project": project,
        "serving": serving,
        "history": history,
        "back_to": model_versions.rolls_back_to(history),
        "roots": roots,
        "cut": cut,
        "page": page,
        "rows": [(version, _headline(version)) for version in page.rows],
        "kind": kind,
        "kinds": ModelVersion.Kind.values,
        "requested": model_versions.asked_for(project),
        "query": urlencode({"kind": kind} if kind else {}),
    }
    return render(request, "feedback/registry/list.html", context)


@require_POST
@project_page(ADMIN)
def register_external(request: HttpRequest, project: Project) -> HttpResponse:
    """Register an external model. A worker copies and verifies it."""
    wanted = {name: request.POST.get(name, "") for name in ("kind", "folder", "hub")}
    try:
        external_models.request_model(by=person(request), project=project, **wanted)
    except DomainError as error:
        messages.error(request, error.sentence)
    else:
        messages.success(
            request, "Import requested. A worker copies and verifies the model, then lists it under All versions."
        )
    return redirect("models", project.slug)


def _headline(version: ModelVersion) -> model_versions.Measured | None:
    """The most important metric of a version, for the table. None if it has no metrics."""
    for name in HEADLINES:
        value = version.metrics.get(name)
        if isinstance(value, int | float):
            [(_, [measured])] = model_versions.report_card({name: value})
            return measured
    return None


def _used_as(project: Project, version: ModelVersion) -> str:
    """What the project uses it for now: guard model, pre-annotation tagger, or nothing."""
    setting = guard_models.of(project)
    for name, part in (("guard model", setting.guard), ("pre-annotation tagger", setting.marker)):
        if part and guard_models.model_of(project, version.kind, part.model) == version:
            return name
    return ""


@project_page(ADMIN)
def model(request: HttpRequest, project: Project, model_id: UUID) -> HttpResponse:
    """One version: metrics, evaluations, gate, lineage, and the buttons to promote or reject it."""
    found = access.get_model(viewer(request), model_id)
    same_project(found, project)
    serving = model_version_services.serving(project)
    history = model_versions.deployments_of(project)
    evaluations = model_versions.evaluations_of(found)
    found_gate, newest, doubts, weights = None, None, [], None
    if found.kind == ModelVersion.Kind.POLICY:
        found_gate = gate.of(found)
        newest = found_gate.evaluation
    elif found.kind == ModelVersion.Kind.REWARD:
        doubts = gate.of_reward_model(found)
        if found.run is not None and found.run.snapshot is not None:
            weights = reliability.of_snapshot(found.run.snapshot, with_names=True)
    samples = []
    if newest is not None:
        samples = model_versions.side_by_side(newest)
    contest_context = {} if found_gate is None else contest_pages.on_model_page(found_gate)
    context = {
        "project": project,
        "model": found,
        "serving": serving,
        "serves": serving is not None and serving.pk == found.pk,
        "back_to": model_versions.rolls_back_to(history),
        "history": [row for row in history if row.model_version_id == found.pk],
        "card": model_versions.report_card(found.metrics),
        "beside": model_versions.beside_baseline(found),
        "by_class": model_versions.by_class(found),
        "used_as": _used_as(project, found),
        "evaluations": [(row, model_versions.report_card(row.metrics)) for row in evaluations],
        "evaluation": newest,
        "gate": found_gate,
        "doubts": doubts,
        "weights": weights,
        "longest_reason": model_version_services.LONGEST_REASON,
        "samples": samples,
        "lineage": lineage.of_model(found),
        "written": model_versions.written_by(found),
        **contest_context,
    }
    return render(request, "feedback/registry/model.html", context)


@require_POST
@project_page(ADMIN)
def promote(request: HttpRequest, project: Project, model_id: UUID) -> HttpResponse:
    found = access.get_model(viewer(request), model_id)
    same_project(found, project)
    model_version_services.promote(
        by=person(request),
        model_version=found,
        note=request.POST.get("note", "")[:500],
        override_reason=request.POST.get("override_reason", ""),
    )
    messages.success(request, f"{found} now serves {project.name} and generates new responses.")
    return redirect("model", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def roll_back(request: HttpRequest, project: Project) -> HttpResponse:
    deployment = model_version_services.roll_back(by=person(request), project=project)
    messages.success(request, f"Rolled back: {deployment.model_version} serves {project.name} again.")
    return redirect("models", project.slug)


@require_POST
@project_page(ADMIN)
def decide(request: HttpRequest, project: Project, model_id: UUID) -> HttpResponse:
    """Approve or reject a version. A rejected version cannot be promoted or used for training."""
    found = access.get_model(viewer(request), model_id)
    same_project(found, project)
    found = model_version_services.decide(by=person(request), model_version=found, state=request.POST.get("state", ""))
    messages.success(request, f"{found} is {found.state}.")
    return redirect("model", project.slug, found.public_id)


@project_page(ADMIN)
def playground(request: HttpRequest, project: Project) -> HttpResponse:
    """Send one prompt to two versions. Their responses are shown side by side on another page."""
    policies = model_versions.policies(project)
    serving = model_version_services.serving(project)
    form = PlaygroundForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect("playground_answers", project.slug, _request_two(request, project, form).public_id)
        except DomainError as error:
            add_error(form, error)
    left = request.GET.get("left", "")
    if not left and serving is not None:
        left = str(serving.public_id)
    right = request.GET.get("right", "")
    if not right:
        right = _first_but(left, policies)
    context = {
        "project": project,
        "form": form,
        "policies": policies,
        "serving": serving,
        "left": request.POST.get("left") or left,
        "right": request.POST.get("right") or right,
        "there": health.queue_now("generate"),
    }
    return render(request, "feedback/registry/playground.html", context, status=form_status(form))


def _first_but(left: str, policies: Iterable[ModelVersion]) -> str:
    """The id of the first policy that is not `left`; empty where there is none."""
    for version in policies:
        if str(version.public_id) != left:
            return str(version.public_id)
    return ""


def _request_two(request: HttpRequest, project: Project, form: PlaygroundForm) -> Prompt:
    """Submit the prompt and request a response from each of the two versions. It becomes no task."""
    versions = []
    for name in ("left", "right"):
        version = access.get_model(viewer(request), form.cleaned_data[name])
        same_project(version, project)
        versions.append(version)
    text = form.cleaned_data["text"].strip()
    with transaction.atomic():
        prompt, _ = prompt_services.submit_prompt(
            project=project,
            by=person(request),
            messages=[{"role": "user", "content": text}],
            source=PLAYGROUND,
            responses_wanted=0,
        )
        for version in versions:
            generation.request_responses(
                prompt=prompt, count=1, by=person(request), model_version=version, make_tasks=False, live=True
            )
    return prompt


@project_page(ADMIN)
def playground_responses(request: HttpRequest, project: Project, prompt_id: UUID) -> HttpResponse:
    """The two responses. The page polls until both are written."""
    found = access.get_prompt(viewer(request), prompt_id, ADMIN)
    same_project(found, project)
    return page_or_partial(request, "registry/answers", prompt_context(project, found))
