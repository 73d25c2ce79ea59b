"""The desk: one task on it, the next one ready, keys for everything.

The page comes with the task and the one after it. Sending an answer brings the following one in the same reply, so the
annotator never waits. Everything works as plain forms too, one page a task, where there is no script.
"""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import AlreadySubmitted, DomainError, Invalid, NotFound, NotHeld
from feedback.models import Assignment, Membership, Project
from feedback.rules.collection import queue_policy
from feedback.rules.collection.kinds.registry import KINDS
from feedback.selectors.collection import desk as desk_selectors
from feedback.selectors.collection import empty_desk, listings, my_work
from feedback.selectors.platform import access
from feedback.services.collection import annotations, assignment_queue, assignments
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.platform import idempotency, projects
from feedback.services.quality import qualification
from feedback.web.collection.annotation_forms import from_form
from feedback.web.collection.task_cards import card
from feedback.web.htmx import wants_fragment
from feedback.web.json_views import body_of, is_json, json_view
from feedback.web.pages import person, project_page, viewer

MANY = 100  # tasks that a page may say it has: those ahead, and those whose answers wait in it


@never_cache
@project_page()
def desk(request: HttpRequest, project: Project) -> HttpResponse:
    """With `?revise=` an answer of one's own lies on top, as it was given; the tasks go on behind it."""
    if wanted := request.GET.get("revise"):
        return _page(request, project, revising=my_work.revisable(project, person(request), wanted))
    return _page(request, project)


def _page(
    request: HttpRequest,
    project: Project,
    *,
    revising: Assignment | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    who = person(request)
    found: Assignment | NoTask = revising or assignment_queue.next_assignment(project=project, annotator=who)
    ahead: Assignment | NoTask | None = None
    if isinstance(found, Assignment):
        ahead = assignment_queue.next_assignment(project=project, annotator=who, ahead=True)
        ahead = ahead if isinstance(ahead, Assignment) and ahead.pk != found.pk else None
    context = {
        "project": project,
        "shown": card(request, found) if isinstance(found, Assignment) else _nothing(request, project, found),
        "ahead": card(request, ahead) if isinstance(ahead, Assignment) else "",
        "present": found if isinstance(found, Assignment) and not revising else None,
        "progress": desk_selectors.progress(project, who),
        "limit": desk_selectors.daily_limit(project, who),
        "guidelines": desk_selectors.guidelines(project),
        "unread": desk_selectors.unread_guidelines(project, who),
        "skip_reasons": queue_policy.SKIP_REASONS,
        "key_sheets": [(kind, f"feedback/collection/desk/_keys_{kind}.html") for kind in KINDS],
        "error": error,
    }
    return render(request, "feedback/collection/desk/desk.html", context, status=status)


# --- what script asks ------------------------------------------------------------------------------


@require_POST
@json_view
def submit(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """Take the answer in and bring the following task. A plain form gets the desk's page again."""
    who = viewer(request)
    assignment = access.get_assignment_to_submit(who, assignment_id)
    if not is_json(request):
        return _submit_form(request, assignment)
    body = body_of(request)
    reply = _once(request, body, lambda: _submitted(assignment, body), idempotency.once_in_unit_of_work)
    if access.has_left(who, assignment):
        why = assignment_queue.NOT_A_MEMBER
        html = render_to_string(
            "feedback/collection/desk/_nothing.html", {"why": why, "project": assignment.project}, request
        )
        nothing = {"html": html, "retry_after": why.retry_after}
        return JsonResponse(reply | {"next": None, "nothing": nothing})
    return _with_following(request, assignment.project, body, reply)


@require_POST
@json_view
def revise(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    assignment = access.get_assignment(viewer(request), assignment_id)
    body = body_of(request)

    def act() -> tuple[int, Any]:
        annotation = annotations.revise(
            assignment=assignment,
            answer=body.get("answer"),
            by=person(request),
            seconds=_seconds(body),
            client="web",
        )
        return 200, {"counted": assignment.counted, "late": False, "revision": annotation.revision}

    return _with_following(request, assignment.project, body, _once(request, body, act))


@require_POST
@json_view
def skip(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    assignment = access.get_assignment(viewer(request), assignment_id)
    if not is_json(request):
        reason, note = request.POST.get("reason", ""), request.POST.get("note", "")
        assignments.skip(assignment=assignment, reason=reason, note=note)
        return redirect("desk", assignment.project.slug)
    body = body_of(request)
    assignments.skip(assignment=assignment, reason=str(body.get("reason", "")), note=str(body.get("note", "")))
    return _with_following(request, assignment.project, body, {"skipped": True})


@require_POST
@json_view
def flag(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    assignment = access.get_assignment(viewer(request), assignment_id)
    body = body_of(request)

    def act() -> tuple[int, Any]:
        annotations.flag(assignment=assignment, by=person(request), reason=str(body.get("reason", "")))
        return 201, {"flagged": True}

    return JsonResponse(_once(request, body, act))


@require_POST
@json_view
def draft(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    assignment = access.get_assignment(viewer(request), assignment_id)
    payload: Any = body_of(request).get("payload")
    try:
        annotations.save_draft(assignment=assignment, payload=payload)
    except AlreadySubmitted:  # the answer overtook its draft
        return JsonResponse({"kept": False})
    return JsonResponse({"kept": True})


@require_POST
@json_view
def renew(request: HttpRequest) -> HttpResponse:
    """More time for what is on the desk. `lost` names what is somebody else's by now."""
    ids = body_of(request).get("ids")
    lost = []
    for key in ids[: assignment_queue.AT_MOST_HELD] if isinstance(ids, list) else []:
        try:
            assignments.renew(assignment=access.get_assignment(viewer(request), key))
        except (NotHeld, NotFound):
            lost.append(str(key))
    return JsonResponse({"lost": lost})


@require_POST
@json_view
def release(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """Sent as the page goes away: what was held ahead is free for others at once."""
    assignment = access.get_assignment(viewer(request), assignment_id)
    if assignment.ahead:
        assignments.release(assignment=assignment)
    return HttpResponse(status=204)


@require_POST
@json_view
def following(request: HttpRequest, slug: str) -> HttpResponse:
    """The next task: ahead of the one that is shown, or to show now when none is."""
    project = access.get_project(viewer(request), slug)
    return _with_following(request, project, body_of(request), {})


@require_POST
@login_required
def again(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """What a reviewer sent back is on the desk once more, as it was answered."""
    assignment = access.get_assignment(viewer(request), assignment_id)
    assignments.take_again(assignment=assignment)
    return redirect("desk", assignment.project.slug)


@require_POST
@project_page()
def read_guidelines(request: HttpRequest, project: Project) -> HttpResponse:
    """requested once a version; the reply takes the question's place."""
    version = desk_selectors.guidelines(project)
    if version is not None and str(version.number) == request.POST.get("number"):
        projects.guidelines_read(project=project, person=person(request), version=version)
    return HttpResponse() if wants_fragment(request) else redirect("desk", project.slug)


@require_GET
@json_view
def undo(request: HttpRequest, slug: str) -> HttpResponse:
    """The last answer, to be looked at and revised."""
    project = access.get_project(viewer(request), slug)
    assignment = desk_selectors.undoable(project, person(request))
    if assignment is None:
        return JsonResponse({"html": "", "sentence": "No annotation from the last hour can be undone."})
    return JsonResponse({"id": str(assignment.public_id), "html": card(request, assignment)})


# --- parts -----------------------------------------------------------------------------------------


def _submitted(assignment: Assignment, body: dict[str, Any]) -> tuple[int, Any]:
    annotation = annotations.submit(
        assignment=assignment, answer=body.get("answer"), seconds=_seconds(body), client="web"
    )
    reply = {"counted": assignment.counted, "late": annotation.late}
    verdict = qualification.verdict_of(assignment)
    if verdict is None:
        return 200, reply
    return 200, reply | {
        "feedback": _told(assignment, verdict),
        "passed": verdict.training == Membership.Training.PASSED,
    }


def _told(assignment: Assignment, verdict: qualification.QualificationVerdict) -> str:
    """What is right and why, in the letters that they saw."""
    words = listings.right_answer(assignment.task, assignment.current.shown if assignment.current else [])
    return render_to_string(
        "feedback/collection/desk/_verdict.html", {"told": verdict, "words": words, "key": assignment.public_id}
    )


def _submit_form(request: HttpRequest, assignment: Assignment) -> HttpResponse:
    answer: dict[str, Any] = {}
    try:
        answer = from_form(desk_selectors.payload(assignment), request.POST)
        if assignment.state == Assignment.State.SUBMITTED:
            annotations.revise(assignment=assignment, answer=answer, by=person(request), client="web")
        else:
            annotations.submit(assignment=assignment, answer=answer, client="web")
    except DomainError as error:
        if answer and assignment.state != Assignment.State.SUBMITTED:
            annotations.save_draft(assignment=assignment, payload=answer)
        return _page(request, assignment.project, error=error.sentence, status=error.status)
    verdict = qualification.verdict_of(assignment)
    if access.has_left(viewer(request), assignment):
        messages.success(request, assignment_queue.NOT_A_MEMBER.sentence)
        return redirect("home")
    if verdict is None:
        messages.success(request, "Your annotation is saved.")
        return redirect("desk", assignment.project.slug)
    context = {"project": assignment.project, "told": _told(assignment, verdict)}
    return render(request, "feedback/collection/desk/verdict.html", context)


def _once(request: HttpRequest, body: dict[str, Any], act: Any, keep: Any = idempotency.once) -> dict[str, Any]:
    """Do it once per Idempotency-Key; what the page shows meanwhile is no part of what was submitted."""
    fields = {name: value for name, value in body.items() if name not in ("showing", "have")}
    key = request.headers.get("Idempotency-Key") or None
    if key and len(key) > 200:
        raise Invalid("An Idempotency-Key has at most 200 characters.")
    route = f"POST {request.path}"
    _, reply = keep(person=person(request), route=route, key=key, body=fields, act=act)
    return dict(reply)


def _with_following(
    request: HttpRequest, project: Project, body: dict[str, Any], reply: dict[str, Any]
) -> HttpResponse:
    """`reply`, with a task that the page does not have as HTML, or why there is none; and how far today's work is."""
    who = person(request)
    showing, have = body.get("showing"), body.get("have")
    have = [str(key) for key in have[:MANY]] if isinstance(have, list) else []
    if showing:
        _mark_shown(request, showing)
    found = assignment_queue.next_assignment(project=project, annotator=who, ahead=bool(showing), have=have)
    reply = dict(reply, next=None, nothing=None)
    if isinstance(found, Assignment):
        if str(found.public_id) not in (showing, *have):
            reply["next"] = {"id": str(found.public_id), "html": card(request, found)}
    elif not showing:
        reply["nothing"] = {"html": _nothing(request, project, found), "retry_after": found.retry_after}
    done = desk_selectors.progress(project, who)
    reply["progress"] = {"today": done.today, "seconds": done.seconds}
    return JsonResponse(reply)


def _mark_shown(request: HttpRequest, showing: Any) -> None:
    try:
        assignment = access.get_assignment(viewer(request), showing)
        if assignment.ahead or assignment.state != Assignment.State.HELD:
            assignments.mark_shown(assignment=assignment)
    except (NotHeld, NotFound):
        pass  # answered already, or its place is taken: an answer is taken in all the same


def _nothing(request: HttpRequest, project: Project, why: NoTask) -> str:
    """Why, and what would bring the next one: the project's work, or, where it is about this person, the guidelines."""
    context: dict[str, Any] = {"why": why, "project": project}
    context |= (
        {"guidelines": desk_selectors.guidelines(project)}
        if why.for_you
        else {"waiting": empty_desk.for_tasks(project)}
    )
    return render_to_string("feedback/collection/desk/_nothing.html", context, request)


def _seconds(body: dict[str, Any]) -> float | None:
    seconds = body.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        return None
    return float(seconds)
