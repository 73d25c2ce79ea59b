"""How a snapshot weighs its annotators: a histogram for members, names for admins."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.models import Project
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ADMIN, ANNOTATOR, may
from feedback.selectors.quality import reliability
from feedback.web.pages import project_page, viewer
from feedback.web.platform.admin_common import same_project


@project_page(ANNOTATOR)
def weights(request: HttpRequest, project: Project, snapshot_id: UUID) -> HttpResponse:
    snapshot = access.get_snapshot(viewer(request), snapshot_id, ANNOTATOR)
    same_project(snapshot, project)
    found = reliability.of_snapshot(snapshot, with_names=may(viewer(request), project, ADMIN))
    context = {"project": project, "snapshot": snapshot, "weights": found}
    return render(request, "feedback/quality/reliability.html", context)
