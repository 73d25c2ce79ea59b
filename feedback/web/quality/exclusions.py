"""Lift the exclusion of an annotator, or reopen their tasks, from the quality page."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.views.decorators.http import require_POST

from feedback.models import Project
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ADMIN
from feedback.services.quality import exclusions
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project


@require_POST
@project_page(ADMIN)
def lift(request: HttpRequest, project: Project, key: UUID) -> HttpResponse:
    """Lift the exclusion: later snapshots hold the annotations again."""
    row = access.get_exclusion(viewer(request), key)
    same_project(row, project)
    exclusions.lift(by=person(request), exclusion=row)
    messages.success(request, f"Exclusion lifted. Snapshots include annotations by {row.person} again.")
    return redirect("quality", project.slug)


@require_POST
@project_page(ADMIN)
def reopen(request: HttpRequest, project: Project, key: UUID) -> HttpResponse:
    """Reopen the tasks of an excluded annotator, so that others can annotate them."""
    row = access.get_exclusion(viewer(request), key)
    same_project(row, project)
    count = exclusions.reopen_tasks(by=person(request), exclusion=row)
    messages.success(
        request,
        f"{count} task{pluralize(count)} reopened. Other annotators can get {'it' if count == 1 else 'them'} now.",
    )
    return redirect("quality", project.slug)
