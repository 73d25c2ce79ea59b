"""The arena page: the leaderboard of model versions from people's blind comparisons."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.models import Project
from feedback.selectors.collection import blindness
from feedback.selectors.evaluation import arena as arenas
from feedback.selectors.platform import kept_figures
from feedback.selectors.platform.access import ADMIN, REVIEWER, may
from feedback.web.pages import person, project_page, viewer


@project_page()
def arena(request: HttpRequest, project: Project) -> HttpResponse:
    """The leaderboard. With many votes the page shows the cached figures first, then requests fresh ones (`?fresh`)."""
    until = blindness.shown_until(project, person(request))
    found, is_fresh = arenas.at_hand(project, until)
    if not is_fresh and ("fresh" in request.GET or not kept_figures.is_large(project)):
        found, is_fresh = arenas.arena(project, until), True
    context = {
        "project": project,
        "arena": found,
        "again": not is_fresh,
        "may_review": may(viewer(request), project, REVIEWER),
        "may_admin": may(viewer(request), project, ADMIN),
    }
    if "fresh" in request.GET and "whole" not in request.GET:
        return render(request, "feedback/evaluation/_arena.html", context)
    return render(request, "feedback/evaluation/arena.html", context)
