"""Live accuracy of a reward model: what members of the project see of it, and annotators by name for reviewers."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from feedback.models import Project
from feedback.selectors.evaluation import labels_to_score
from feedback.selectors.evaluation import live_accuracy as figures
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ADMIN, ANNOTATOR, REVIEWER
from feedback.web.pages import project_page, viewer
from feedback.web.platform.admin_common import same_project


@project_page(ANNOTATOR)
def live_accuracy(request: HttpRequest, project: Project, model_id: UUID) -> HttpResponse:
    version = access.get_model(viewer(request), model_id, ANNOTATOR)
    same_project(version, project)
    figures.check_reward_model(version)
    found = figures.of_version(version, names=access.may(viewer(request), project, REVIEWER))
    context = {
        "project": project,
        "model": version,
        "live": found,
        "is_admin": access.may(viewer(request), project, ADMIN),
    }
    return render(request, "feedback/evaluation/live_accuracy.html", context)


@project_page(ANNOTATOR)
def newest(request: HttpRequest, project: Project) -> HttpResponse:
    """The page of the newest reward model; without one, what is missing."""
    version = labels_to_score.newest_reward_model(project)
    if version is not None:
        return redirect("live_accuracy", project.slug, version.public_id)
    return render(request, "feedback/evaluation/live_accuracy.html", {"project": project})
