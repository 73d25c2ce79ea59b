"""Quality at a glance: do people agree, how does each of them work; pictures first, and the answers behind them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.models import Project
from feedback.selectors import quality as quality_selectors
from feedback.selectors.access import REVIEWER
from feedback.web.doors import project_page


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
        "most": max((one.answers for one in annotators), default=0),
    }
    fragment = "fresh" in request.GET and "whole" not in request.GET
    return render(request, "feedback/quality/_figures.html" if fragment else "feedback/quality/quality.html", context)
