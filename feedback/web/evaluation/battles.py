"""Battles: a form for a prompt, the two responses side by side, the vote, and then the names."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedback.errors import AlreadySubmitted, DomainError
from feedback.models import Battle, Project
from feedback.selectors.evaluation import battles as battle_selectors
from feedback.selectors.platform import access, health
from feedback.services.evaluation import battles
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project

MOST_LISTED = 12


@never_cache
@project_page()
def begin(request: HttpRequest, project: Project) -> HttpResponse:
    """The form that starts a battle, and the person's own battles."""
    error, text = None, request.POST.get("text", "")
    if request.method == "POST":
        try:
            battle = battles.start(project=project, person=person(request), text=text)
            return redirect("battle", project.slug, battle.public_id)
        except DomainError as refused:
            error = refused
    context = {
        "project": project,
        "entrants": battle_selectors.entrants(project),
        "mine": battle_selectors.of_person(project, person(request))[:MOST_LISTED],
        "there": health.queue_now("generate"),
        "may_admin": access.may(viewer(request), project, access.ADMIN),
        "text": text,
        "error": error,
    }
    status = 200 if error is None else error.status
    return render(request, "feedback/evaluation/battle_begin.html", context, status=status)


@never_cache
@project_page()
def battle(request: HttpRequest, project: Project, battle_id: UUID) -> HttpResponse:
    return _page(request, project, _found(request, project, battle_id))


@require_POST
@project_page()
def vote(request: HttpRequest, project: Project, battle_id: UUID) -> HttpResponse:
    found = _found(request, project, battle_id)
    try:
        battles.vote(battle=found, person=person(request), choice=request.POST.get("choice", ""))
    except AlreadySubmitted:
        pass  # sent twice: the page shows the vote that was kept
    except DomainError as error:
        return _page(request, project, found, error)
    return redirect("battle", project.slug, battle_id)


def _page(request: HttpRequest, project: Project, found: Battle, error: DomainError | None = None) -> HttpResponse:
    context = {"project": project, "found": battle_selectors.view(found), "error": error}
    return page_or_partial(request, "evaluation/battle", context, status=200 if error is None else error.status)


def _found(request: HttpRequest, project: Project, key: UUID) -> Battle:
    found = access.get_battle(viewer(request), key)
    same_project(found, project)
    return found
