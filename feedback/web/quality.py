"""Quality at a glance: do people agree, how does each of them work; pictures first, and the answers behind them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.models import Project
from feedback.selectors import quality as quality_selectors
from feedback.selectors.access import REVIEWER
from feedback.web.doors import project_page


@project_page(REVIEWER)
def quality(request: HttpRequest, project: Project) -> HttpResponse:
    found = quality_selectors.quality(project)
    slowest = max((habits.median_seconds for habits in found.annotators), default=0.0)
    most = max((habits.answers for habits in found.annotators), default=0)
    context = {"project": project, "quality": found, "slowest": slowest, "most": most}
    return render(request, "feedback/quality/quality.html", context)
