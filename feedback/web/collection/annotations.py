"""Annotations for reviewers: the list, and one with all its revisions."""

import uuid
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.models import Kind, Project
from feedback.selectors.collection import annotations as annotation_selectors
from feedback.selectors.platform import access
from feedback.selectors.platform import projects as project_selectors
from feedback.selectors.platform.access import ADMIN, REVIEWER
from feedback.selectors.quality import figure_annotations
from feedback.selectors.registry import lineage
from feedback.web.pages import project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import same_project


@project_page(REVIEWER)
def annotations(request: HttpRequest, project: Project) -> HttpResponse:
    """Annotations, newest first. The query may name those of one figure of the quality page."""
    wanted = figure_annotations.AnnotationQuery.of(
        request.GET, lambda key: project_selectors.who_annotated(project, _uuid(key))
    )
    base, narrowed = figure_annotations.annotations(project, wanted)
    page = page_of(base, request.GET.get("after"), narrowed=narrowed)
    context = {
        "project": project,
        "page": page,
        "rows": annotation_selectors.annotation_rows(page.rows),
        "wanted": wanted,
        "kinds": Kind.values,
        "checks": [(name, check[0]) for name, check in figure_annotations.CHECKS.items()],
        "newest": figure_annotations.NEWEST,
        "query": wanted.query,
    }
    return render(request, "feedback/collection/tasks/annotations.html", context)


@project_page(REVIEWER)
def annotation(request: HttpRequest, project: Project, annotation_id: UUID) -> HttpResponse:
    found = access.get_annotation(viewer(request), annotation_id)
    same_project(found, project)
    others = annotation_selectors.annotations_of(project, task=found.task).exclude(assignment=found.assignment)
    current = [row for row in others if row.assignment.current_id == row.pk]
    context = {
        "project": project,
        "annotation": found,
        "answer": annotation_selectors.in_words(found, found.shown),
        "revisions": annotation_selectors.revisions(found),
        "shown": annotation_selectors.shown_responses(found),
        "others": annotation_selectors.in_order_of(found, current),
        "trained": lineage.of_annotation(found),
        "is_admin": access.may(viewer(request), project, ADMIN),
    }
    return render(request, "feedback/collection/tasks/annotation.html", context)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
