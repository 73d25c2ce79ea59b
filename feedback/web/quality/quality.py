"""Quality at a glance: do people agree, how does each of them work; pictures first, and the answers behind them."""

import csv

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from feedback.formats.annotations.touchstone_csv import guarded
from feedback.models import Project
from feedback.selectors.platform.access import ADMIN, REVIEWER, may
from feedback.selectors.quality import exclusions, quality_table
from feedback.selectors.quality import quality as quality_selectors
from feedback.web.pages import project_page, viewer


@project_page(REVIEWER)
def quality(request: HttpRequest, project: Project) -> HttpResponse:
    """The page shows what is at hand; where that is old, or nothing in a large project, it then asks for the rest."""
    found, good = quality_selectors.at_hand(project)
    waits = "fresh" in request.GET or not quality_selectors.is_large(project)
    if not good and waits:
        found, good = quality_selectors.quality(project), True
    annotators = found.annotators if found else []
    context = {
        "project": project,
        "quality": found,
        "again": not good,
        "slowest": max((one.median_seconds for one in annotators), default=0.0),
        "excluded": exclusions.excluded(project),
        "may_admin": may(viewer(request), project, ADMIN),
        "most": max((one.answers for one in annotators), default=0),
    }
    fragment = "fresh" in request.GET and "whole" not in request.GET
    return render(request, "feedback/quality/_figures.html" if fragment else "feedback/quality/quality.html", context)


@project_page(REVIEWER)
def figures(request: HttpRequest, project: Project, form: str) -> HttpResponse:
    """All figures of the page as a table to take elsewhere, as CSV or JSON."""
    found = quality_selectors.quality(project)
    rows = quality_table.rows(found)
    if form == "json":
        return JsonResponse({"at": found.at, "answers": found.looked_at, "figures": list(rows)})
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{project.slug}-quality.csv"'
    table = csv.writer(response)
    table.writerow(quality_table.COLUMNS)
    for row in rows:
        cells = ("" if value is None else value for value in row.values())
        table.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in cells])
    return response
