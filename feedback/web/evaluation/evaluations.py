"""The report of an evaluation: as a page, and as JSON."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from feedback.models import Evaluation, Project
from feedback.selectors.evaluation import evaluations, gate
from feedback.selectors.platform import access, kept_figures
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.quality import quality
from feedback.selectors.registry import model_versions
from feedback.web.pages import project_page, viewer
from feedback.web.platform.admin_common import same_project


@project_page(ADMIN)
def evaluation(request: HttpRequest, project: Project, evaluation_id: UUID) -> HttpResponse:
    found = _found(request, project, evaluation_id)
    found_quality, _ = quality.at_hand(project)
    if found_quality is None and not kept_figures.is_large(project):
        found_quality = quality.quality(project)
    agreement = None
    if found_quality is not None:
        agreement = found_quality.agreement
    context = {
        "project": project,
        "evaluation": found,
        "serving": gate.serving(project),
        "report": evaluations.report(found, agreement),
        "samples": model_versions.side_by_side(found),
        "card": model_versions.report_card(found.metrics),
    }
    return render(request, "feedback/evaluation/evaluation.html", context)


@project_page(ADMIN)
def evaluation_json(request: HttpRequest, project: Project, evaluation_id: UUID) -> HttpResponse:
    found = _found(request, project, evaluation_id)
    report = {
        "id": found.public_id,
        "at": found.created_at,
        "candidate": str(found.candidate),
        "incumbent": None,
        "snapshot": None,
        "metrics": found.metrics,
        "samples": found.samples,
    }
    if found.incumbent is not None:
        report["incumbent"] = str(found.incumbent)
    if found.snapshot is not None:
        report["snapshot"] = found.snapshot.content_hash
    return JsonResponse(report)


def _found(request: HttpRequest, project: Project, key: UUID) -> Evaluation:
    found = access.get_evaluation(viewer(request), key)
    same_project(found, project)
    return found
