"""The reviewer's queue: what needs a decision first, decided by one key, with the next one in its place."""

import json
import uuid
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedback.errors import Conflict, DomainError, Invalid
from feedback.models import Assignment, Concern, Kind, Project
from feedback.selectors.collection import desk
from feedback.selectors.platform import access, members
from feedback.selectors.platform.access import REVIEWER
from feedback.selectors.quality import reviews as review_selectors
from feedback.selectors.quality.reviews import Filters
from feedback.services.collection import tasks
from feedback.services.quality import reviews
from feedback.web.collection.annotation_forms import from_form
from feedback.web.collection.task_cards import card
from feedback.web.htmx import page_or_partial, wants_fragment
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project

DONE = {
    "accept": "Accepted.",
    "correct": "Corrected. Your annotation replaces it.",
    "send_back": "Returned. The task is open again, and the annotator sees your note.",
    "decide": "Decided. Your decision is the consensus of this task.",
    "dismiss": "Dismissed.",
    "withdraw": "Withdrawn. This task is no longer assigned.",
    "reopen": "Reopened. This task is assigned again.",
}


@never_cache
@project_page(REVIEWER)
def review(request: HttpRequest, project: Project) -> HttpResponse:
    return _page(request, project)


@require_POST
@project_page(REVIEWER)
def decide(request: HttpRequest, project: Project, concern_id: Any) -> HttpResponse:
    """One decision; the reply shows what comes next, or the same again with what was wrong."""
    concern = access.get_concern(viewer(request), concern_id)
    same_project(concern, project)
    decision = request.POST.get("decision", "")
    notice, error = "", ""
    try:
        _act(request, concern, decision)
        notice = DONE[decision]
    except Conflict as conflict:
        error = conflict.sentence
        concern.refresh_from_db()
    except DomainError as wrong:
        return _page(request, project, error=wrong.sentence, again=concern)
    if not wants_fragment(request):
        (messages.warning if error else messages.success)(request, error or notice)
        query = urlencode({**_query(request), "after": str(concern.public_id)})
        return redirect(f"{reverse('review', args=[project.slug])}?{query}")
    return _page(request, project, notice=notice, error=error, after=concern)


def _act(request: HttpRequest, concern: Concern, decision: str) -> None:
    who, note = person(request), request.POST.get("note", "")
    if decision in ("accept", "correct", "send_back"):
        annotation = access.get_annotation(viewer(request), request.POST.get("annotation", ""))
        answer = _answer(request, annotation.assignment) if decision == "correct" else None
        reviews.review(annotation=annotation, by=who, decision=decision, note=note, answer=answer)
    elif decision == "decide":
        answer = _answer(request, desk.in_own_order(concern.task))
        reviews.decide(task=concern.task, by=who, answer=answer, note=note)
    elif decision == "dismiss":
        reviews.dismiss(concern=concern, by=who)
    elif decision == "withdraw":
        tasks.withdraw_task(by=who, task=concern.task)
    elif decision == "reopen":
        tasks.reopen_task(by=who, task=concern.task)
    else:
        raise Invalid(f"Choose one of {', '.join(DONE)}.", field="decision")


def _answer(request: HttpRequest, assignment: Assignment) -> Any:
    """As script reads it off the card, or as a plain form brings it."""
    return answer_of(request, desk.payload(assignment))


def answer_of(request: HttpRequest, seen: dict[str, Any]) -> Any:
    if given := request.POST.get("answer"):
        try:
            return json.loads(given)
        except ValueError:
            raise Invalid("The annotation cannot be read. Reload the page.", field="answer") from None
    return from_form(seen, request.POST)


def _page(
    request: HttpRequest,
    project: Project,
    *,
    notice: str = "",
    error: str = "",
    again: Concern | None = None,
    after: Concern | None = None,
) -> HttpResponse:
    query = _query(request)
    waiting = review_selectors.waiting(project, person(request), _filters(query))
    previous = access.get_concern(viewer(request), request.GET["after"]) if request.GET.get("after") else None
    concern = again or _next(waiting, after or previous)
    look = review_selectors.look(concern) if concern is not None else None
    context = {
        "project": project,
        "notice": notice,
        "error": error,
        "look": look,
        "waiting": review_selectors.count(waiting),
        "counted": review_selectors.COUNTED,
        "card": _card(request, project, look, query) if look is not None else "",
        "later": urlencode({**query, "after": str(concern.public_id)}) if concern is not None else "",
        "filters": query,
        "reasons": list(review_selectors.WORDS.items()),
        "kinds": Kind.values,
        "members": members.members(project),
    }
    return page_or_partial(request, "quality/reviews/review", context)


def _next(waiting: QuerySet[Concern], after: Concern | None) -> Concern | None:
    """What comes after that one, and from the start again when it was the last."""
    held = ("assignment__annotator", "assignment__current", "assignment__project", "assignment__task__prompt")
    rows = waiting.select_related("project", "task__prompt", "task__project", *held)
    if after is not None:
        later = rows.filter(Q(rank__gt=after.rank) | Q(rank=after.rank, pk__gt=after.pk)).first()
        if later is not None:
            return later
        rows = rows.exclude(pk=after.pk) if after.closed_at is not None else rows
    return rows.first()


def _card(request: HttpRequest, project: Project, look: review_selectors.Look, query: dict[str, str]) -> str:
    """The desk's own card, with a reviewer's buttons at its end."""
    concern = look.concern
    about = concern.assignment if look.about_answer and concern.assignment is not None else None
    action = reverse("review_decide", args=[project.slug, concern.public_id])
    return card(
        request,
        about or desk.in_own_order(concern.task),
        action=f"{action}?{urlencode(query)}" if query else action,
        target="#review",
        ends="feedback/quality/reviews/_end.html",
        look=look,
        mode="answer" if about else "decide" if concern.reason == Concern.Reason.DISAGREEMENT else "task",
        later=urlencode({**query, "after": str(concern.public_id)}),
        project=project,
    )


def _query(request: HttpRequest) -> dict[str, str]:
    """The filters of the address, those that say something."""
    return {name: request.GET[name] for name in ("reason", "kind", "annotator", "week") if request.GET.get(name)}


def _filters(query: dict[str, str]) -> Filters:
    return Filters(
        reason=query.get("reason", ""),
        kind=query.get("kind", ""),
        annotator=_read(uuid.UUID, query.get("annotator", "")),
        week=_read(date.fromisoformat, query.get("week", "")),
    )


def _read(kind: Any, text: str) -> Any:
    try:
        return kind(text) if text else None
    except ValueError:
        return None
