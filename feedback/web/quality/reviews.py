"""The review queue: the most urgent entry first, decided with one key and replaced by the next one."""

import json
import uuid
from collections.abc import Callable
from datetime import date
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedback.errors import Conflict, DomainError, Invalid
from feedback.models import Assignment, Concern, Kind, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import desk
from feedback.selectors.platform import access, projects
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

T = TypeVar("T")
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
def decide(request: HttpRequest, project: Project, concern_id: UUID) -> HttpResponse:
    """Carry out a decision. The reply shows the next entry, or the same one with an error."""
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
        if error:
            messages.warning(request, error)
        else:
            messages.success(request, notice)
        query = urlencode({**_query(request), "after": str(concern.public_id)})
        return redirect(f"{reverse('review', args=[project.slug])}?{query}")
    return _page(request, project, notice=notice, error=error, after=concern)


def _act(request: HttpRequest, concern: Concern, decision: str) -> None:
    who, note = person(request), request.POST.get("note", "")
    if decision in ("accept", "correct", "send_back"):
        annotation = access.get_annotation(viewer(request), request.POST.get("annotation", ""))
        answer = None
        if decision == "correct":
            answer = _answer(request, annotation.assignment)
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


def _answer(request: HttpRequest, assignment: Assignment) -> JsonObject:
    return answer_of(request, desk.payload(assignment))


def answer_of(request: HttpRequest, seen: JsonObject) -> JsonObject:
    """The answer that a script read off the card, or that of a plain form.

    Args:
        seen: the task as in `desk.payload`.
    """
    if given := request.POST.get("answer"):
        try:
            answer: JsonObject = json.loads(given)
            return answer
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
    if after is None and request.GET.get("after"):
        after = access.get_concern(viewer(request), request.GET["after"])
    concern = again or _next(waiting, after)
    look, card_html, later = None, "", ""
    if concern is not None:
        look = review_selectors.look(concern)
        card_html = _card(request, project, look, query)
        later = urlencode({**query, "after": str(concern.public_id)})
    context = {
        "project": project,
        "notice": notice,
        "error": error,
        "look": look,
        "waiting": review_selectors.count(waiting),
        "counted": review_selectors.COUNTED,
        "card": card_html,
        "later": later,
        "filters": query,
        "reasons": list(review_selectors.WORDS.items()),
        "kinds": Kind.values,
        "members": projects.members(project),
    }
    return page_or_partial(request, "quality/reviews/review", context)


def _next(waiting: QuerySet[Concern], after: Concern | None) -> Concern | None:
    """The entry after `after`; the first one if `after` was the last, or is None."""
    held = ("assignment__annotator", "assignment__current", "assignment__project", "assignment__task__prompt")
    rows = waiting.select_related("project", "task__prompt", "task__project", *held)
    if after is not None:
        later = rows.filter(Q(rank__gt=after.rank) | Q(rank=after.rank, pk__gt=after.pk)).first()
        if later is not None:
            return later
        if after.closed_at is not None:
            rows = rows.exclude(pk=after.pk)
    return rows.first()


def _card(request: HttpRequest, project: Project, look: review_selectors.Look, query: dict[str, str]) -> str:
    """The card of the desk with the buttons of a reviewer at its end."""
    concern = look.concern
    mode, assignment = "task", desk.in_own_order(concern.task)
    if look.about_answer and concern.assignment is not None:
        mode, assignment = "answer", concern.assignment
    elif concern.reason == Concern.Reason.DISAGREEMENT:
        mode = "decide"
    action = reverse("review_decide", args=[project.slug, concern.public_id])
    if query:
        action = f"{action}?{urlencode(query)}"
    return card(
        request,
        assignment,
        action=action,
        target="#review",
        ends="feedback/quality/reviews/_end.html",
        look=look,
        mode=mode,
        later=urlencode({**query, "after": str(concern.public_id)}),
        project=project,
    )


def _query(request: HttpRequest) -> dict[str, str]:
    """The filters of the query that are not empty."""
    return {name: request.GET[name] for name in ("reason", "kind", "annotator", "week") if request.GET.get(name)}


def _filters(query: dict[str, str]) -> Filters:
    return Filters(
        reason=query.get("reason", ""),
        kind=query.get("kind", ""),
        annotator=_parsed(uuid.UUID, query.get("annotator", "")),
        week=_parsed(date.fromisoformat, query.get("week", "")),
    )


def _parsed(parse: Callable[[str], T], text: str) -> T | None:
    """The parsed text, or None if it is empty or invalid."""
    try:
        return parse(text)
    except ValueError:
        return None
