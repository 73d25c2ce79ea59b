"""The home pages: the pipeline of a project for its admins, and the own work for annotators."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse

from feedback.models import Campaign, Contest, ModelVersion, Project, TrainingRun
from feedback.rules.platform.learn.course import STAGE_OF_STATION
from feedback.selectors.collection import desk, my_work
from feedback.selectors.platform import access
from feedback.selectors.platform import home as home_selectors
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.training import campaigns
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
}  # a training stage links to its run, its model, or the page that starts training
PAGE_OF_NEED = {
    "workers": "health",
    "review": "review",
    "schedule": "schedules",
    "failed_run": "train",
}


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The projects of this person. With only one project, redirect to it."""
    seats = Shell(request).seats
    if len(seats) == 1:
        return redirect("project_home", seats[0].project.slug)
    figures = {own.project.pk: own for own in my_work.figures(person(request))}
    cards = []
    for seat in seats:
        own = figures.get(seat.project.pk)
        cards.append({"seat": seat, "own": own, "open_tasks": desk.open_tasks(seat.project)})
    return render(request, "feedback/platform/home/projects.html", {"cards": cards})


@project_page()
def project_home(request: HttpRequest, project: Project) -> HttpResponse:
    if access.may(viewer(request), project, ADMIN):
        return _pipeline(request, project)
    figures = my_work.figures(person(request))
    own = next((figure for figure in figures if figure.project.pk == project.pk), None)
    context = {
        "project": project,
        "own": own,
        "open_tasks": desk.open_tasks(project),
        "guidelines": desk.guidelines(project),
    }
    return render(request, "feedback/platform/home/judge.html", context)


def _pipeline(request: HttpRequest, project: Project) -> HttpResponse:
    pipeline = home_selectors.pipeline(project)
    stations = []
    for card in STATIONS:
        now = pipeline.stations[card.key]
        percent = None
        if now.share is not None:
            percent = round(100 * now.share)
        stations.append(
            {
                "about": card,
                "now": now,
                "address": page_of_station(project, card.key, now.row),
                "percent": percent,
                "learn": STAGE_OF_STATION[card.key],
            }
        )
    needs = []
    for need in home_selectors.needs_a_person(project):
        needs.append({"need": need, "address": _page_of_need(project, need)})
    context = {
        "project": project,
        "stations": stations,
        "missing": pipeline.missing_workers,
        "happenings": events.as_sentences(home_selectors.events(project)),
        "needs": needs,
        "loop": campaigns.loop_state(project),
    }
    return page_or_partial(request, "platform/home/pipeline", context)


def _page_of_need(project: Project, need: home_selectors.Need) -> str:
    """The page where the need is met."""
    if isinstance(need.row, ModelVersion):
        page = "live_accuracy" if need.kind == "drift" else "model"
        return _page(page, project, need.row.public_id)
    if isinstance(need.row, Campaign):
        return _page("campaign", project, need.row.public_id)
    if isinstance(need.row, Contest):
        return _page("contest", project, need.row.public_id)
    return _page(PAGE_OF_NEED.get(need.kind, "train"), project)


def page_of_station(project: Project, station: str, row: object) -> str:
    """The page that a station links to."""
    if isinstance(row, TrainingRun):
        return _page("run", project, row.public_id)
    if isinstance(row, ModelVersion):
        return _page("model", project, row.public_id)
    return _page(PAGE_OF_STATION.get(station, "train"), project)


def _page(name: str, project: Project, *args: UUID) -> str:
    """The path of a page, or "" if there is none of that name."""
    try:
        return reverse(name, args=[project.slug, *args])
    except NoReverseMatch:
        return ""
