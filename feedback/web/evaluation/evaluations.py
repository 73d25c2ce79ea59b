"""Reports of evaluations: in pictures, and as JSON."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from feedback.models import Evaluation, Project
from feedback.selectors.evaluation import evaluations, gate
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.quality import quality
from feedback.selectors.registry import model_versions
from feedback.web.pages import project_page, viewer
from feedback.web.platform.admin_common import same_project


@project_page(ADMIN)
def evaluation(request: HttpRequest, project: Project, evaluation_id: Any) -> HttpResponse:
    found = _found(request, project, evaluation_id)
    people, _ = quality.at_hand(project)
    if people is None and not quality.is_large(project):
        people = quality.quality(project)
    context = {
        "project": project,
        "evaluation": found,
        "serving": gate.serving(project),
        "report": evaluations.report(found, people.agreement if people else None),
        "samples": model_versions.side_by_side(found),
        "card": model_versions.report_card(found.metrics),
    }
    return render(request, "feedback/evaluation/evaluation.html", context)


@project_page(ADMIN)
def evaluation_json(request: HttpRequest, project: Project, evaluation_id: Any) -> HttpResponse:
    found = _found(request, project, evaluation_id)
    report_data = {
        "id": found.public_id,
        "at": found.created_at,
        "candidate": str(found.candidate),
        "incumbent": str(found.incumbent) if found.incumbent else None,
        "snapshot": found.snapshot.content_hash if found.snapshot else None,
        "metrics": found.metrics,
        "samples": found.samples,
    }
    return JsonResponse(report_data)


def _found(request: HttpRequest, project: Project, key: Any) -> Evaluation:
    found = access.get_evaluation(viewer(request), key)
    same_project(found, project)
    return found
