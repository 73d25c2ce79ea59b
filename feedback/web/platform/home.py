"""Home: the ring, alive, for those who run a project; the projects and their desks for those who judge."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse

from feedback.models import ModelVersion, Project, TrainingRun
from feedback.selectors.collection import desk, my_work
from feedback.selectors.platform import access
from feedback.selectors.platform import home as home_selectors
from feedback.selectors.platform.access import ADMIN
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform import events
from feedback.web.platform.page_context import Shell
from feedback.web.platform.pipeline_stages import STATIONS

PAGE_OF_STATION = {
    "prompts": "prompts",
    "responses": "prompts",
    "tasks": "tasks",
    "annotations": "annotations",
    "pairs": "data",
    "corpus": "corpora",
    "gate": "models",
    "serving": "models",
}  # stages of training lead to their run, their model, or the page that starts them
PAGE_OF_NEED = {
    "workers": "health",
    "review": "review",
    "schedule": "schedules",
    "failed_run": "train",
}


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The projects of this person; of somebody with one only, that one at once."""
    seats = Shell(request).seats
    if len(seats) == 1:
        return redirect("project_home", seats[0].project.slug)
    figures = {mine.project.pk: mine for mine in my_work.figures(person(request))}
    cards = [
        {"seat": seat, "own": figures.get(seat.project.pk), "open_tasks": desk.open_tasks(seat.project)}
        for seat in seats
    ]
    return render(request, "feedback/platform/home/projects.html", {"cards": cards})


@project_page()
def project_home(request: HttpRequest, project: Project) -> HttpResponse:
    if access.may(viewer(request), project, ADMIN):
        return _ring(request, project)
    mine = next((one for one in my_work.figures(person(request)) if one.project.pk == project.pk), None)
    context = {
        "project": project,
        "own": mine,
        "open_tasks": desk.open_tasks(project),
        "guidelines": desk.guidelines(project),
    }
    return render(request, "feedback/platform/home/judge.html", context)


def _ring(request: HttpRequest, project: Project) -> HttpResponse:
    ring = home_selectors.pipeline(project)
    stations = []
    for place, explained in enumerate(STATIONS):
        now = ring.stations[explained.key]
        stations.append(
            {
                "about": explained,
                "now": now,
                "address": _address(project, explained.key, now.row),
                "percent": round(100 * now.share) if now.share is not None else None,
                "before": STATIONS[place - 1] if place else None,
                "after": STATIONS[place + 1] if place + 1 < len(STATIONS) else None,
            }
        )
    context = {
        "project": project,
        "stations": stations,
        "missing": ring.missing_workers,
        "happenings": events.as_sentences(home_selectors.events(project)),
        "needs": [
            {"need": need, "address": _of_need(project, need)} for need in home_selectors.needs_a_person(project)
        ],
    }
    return page_or_partial(request, "platform/home/pipeline", context)


def _of_need(project: Project, need: home_selectors.Need) -> str:
    """The page where it is decided."""
    if isinstance(need.row, ModelVersion):
        return _page("model", project, need.row.public_id)
    return _page(PAGE_OF_NEED.get(need.kind, "train"), project)


def _address(project: Project, station: str, row: Any) -> str:
    """The page behind a station."""
    if isinstance(row, TrainingRun):
        return _page("run", project, row.public_id)
    if isinstance(row, ModelVersion):
        return _page("model", project, row.public_id)
    return _page(PAGE_OF_STATION.get(station, "train"), project)


def _page(name: str, project: Project, *args: Any) -> str:
    try:
        return reverse(name, args=[project.slug, *args])
    except NoReverseMatch:
        return ""
