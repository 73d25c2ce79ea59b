"""The quality page: agreement and statistics by annotator, with links to the annotations behind each figure."""

import csv

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from feedback.formats.annotations.touchstone_csv import guarded
from feedback.models import Project
from feedback.selectors.platform import kept_figures
from feedback.selectors.platform.access import ADMIN, REVIEWER, may
from feedback.selectors.quality import exclusions, quality_table
from feedback.selectors.quality import quality as quality_selectors
from feedback.web.pages import project_page, viewer


@project_page(REVIEWER)
def quality(request: HttpRequest, project: Project) -> HttpResponse:
    """The quality page. In a large project it shows the cached figures first, then requests fresh ones (`?fresh`)."""
    found, is_fresh = quality_selectors.at_hand(project)
    if not is_fresh and ("fresh" in request.GET or not kept_figures.is_large(project)):
        found, is_fresh = quality_selectors.quality(project), True
    slowest, most = 0.0, 0
    for annotator in found.annotators if found else ():
        slowest = max(slowest, annotator.median_seconds)
        most = max(most, annotator.answers)
    context = {
        "project": project,
        "quality": found,
        "again": not is_fresh,
        "slowest": slowest,
        "excluded": exclusions.excluded(project),
        "may_admin": may(viewer(request), project, ADMIN),
        "most": most,
    }
    if "fresh" in request.GET and "whole" not in request.GET:
        return render(request, "feedback/quality/_figures.html", context)
    return render(request, "feedback/quality/quality.html", context)


@project_page(REVIEWER)
def figures(request: HttpRequest, project: Project, form: str) -> HttpResponse:
    """All figures of the page as a table, in CSV or JSON."""
    found = quality_selectors.quality(project)
    rows = quality_table.rows(found)
    if form == "json":
        return JsonResponse({"at": found.at, "answers": found.looked_at, "figures": list(rows)})
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{project.slug}-quality.csv"'
    table = csv.writer(response)
    table.writerow(quality_table.COLUMNS)
    for row in rows:
        table.writerow(map(_csv_cell, row.values()))
    return response


def _csv_cell(value: object) -> object:
    """The value as a cell that no spreadsheet runs as a formula."""
    if isinstance(value, str):
        return guarded(value)
    return "" if value is None else value
