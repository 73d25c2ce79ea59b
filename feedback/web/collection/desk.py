"""The desk, where annotators work on tasks with the keyboard.

The page holds the present task and the next one. A submission returns another task in its reply, so that the annotator
never waits. Without scripts, plain forms do the same with one page per task.
"""

import uuid
from collections.abc import Callable
from typing import TypedDict, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import AlreadySubmitted, DomainError, Invalid, NotFound, NotHeld
from feedback.models import Assignment, Membership, Person, Project
from feedback.rules.collection import queue_policy
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import desk as desk_selectors
from feedback.selectors.collection import empty_desk, my_work, tasks
from feedback.selectors.platform import access
from feedback.services.collection import annotations, assignment_queue, assignments
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.platform import idempotency, projects
from feedback.services.quality import qualification
from feedback.web.collection.annotation_forms import from_form
from feedback.web.collection.task_cards import card
from feedback.web.htmx import wants_fragment
from feedback.web.json_views import body_of, is_json, json_view
from feedback.web.pages import Context, person, project_page, viewer

MAX_KNOWN = 100  # tasks that a page may report: those held ahead, and those with unsent answers


@never_cache
@project_page()
def desk(request: HttpRequest, project: Project) -> HttpResponse:
    """The desk. With `?revise=`, an own annotation is shown first, as it was submitted."""
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
    present, ahead_card = None, ""
    if isinstance(found, Assignment):
        if not revising:
            present = found
        ahead = assignment_queue.next_assignment(project=project, annotator=who, ahead=True)
        if isinstance(ahead, Assignment) and ahead.pk != found.pk:
            ahead_card = card(request, ahead)
        shown = card(request, found)
    else:
        shown = _no_task(request, project, found)
    context = {
        "project": project,
        "shown": shown,
        "ahead": ahead_card,
        "present": present,
        "progress": desk_selectors.progress(project, who),
        "limit": desk_selectors.daily_limit(project, who),
        "guidelines": desk_selectors.guidelines(project),
        "unread": desk_selectors.unread_guidelines(project, who),
        "skip_reasons": queue_policy.SKIP_REASONS,
        "key_sheets": [(kind, f"feedback/collection/desk/_keys_{kind}.html") for kind in KINDS],
        "error": error,
    }
    return render(request, "feedback/collection/desk/desk.html", context, status=status)


# --- requests of the script ------------------------------------------------------------------------------


@require_POST
@json_view
def submit(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """Submit the annotation and return the next task. A plain form gets the page of the desk again."""
    who = viewer(request)
    assignment = access.get_assignment_to_submit(who, assignment_id)
    if not is_json(request):
        return _submit_form(request, assignment)
    body = body_of(request)
    _, reply = idempotency.once_in_unit_of_work(**_repeat_key(request, body), act=lambda: _submitted(assignment, body))
    if access.has_left(who, assignment):
        why = assignment_queue.NOT_A_MEMBER
        html = render_to_string(
            "feedback/collection/desk/_nothing.html", {"why": why, "project": assignment.project}, request
        )
        nothing = {"html": html, "retry_after": why.retry_after}
        return JsonResponse({**reply, "next": None, "nothing": nothing})
    return _with_next_task(request, assignment.project, body, reply)


@require_POST
@json_view
def revise(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    assignment = access.get_assignment(viewer(request), assignment_id)
    body = body_of(request)

    def act() -> tuple[int, JsonObject]:
        annotation = annotations.revise(
            assignment=assignment,
            answer=body.get("answer"),
            by=person(request),
            seconds=_seconds(body),
            client="web",
        )
        return 200, {"counted": assignment.counted, "late": False, "revision": annotation.revision}

    return _with_next_task(request, assignment.project, body, _once(request, body, act))


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
    return _with_next_task(request, assignment.project, body, {"skipped": True})


@require_POST
@json_view
def flag(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    assignment = access.get_assignment(viewer(request), assignment_id)
    body = body_of(request)

    def act() -> tuple[int, JsonObject]:
        annotations.flag(assignment=assignment, by=person(request), reason=str(body.get("reason", "")))
        return 201, {"flagged": True}

    return JsonResponse(_once(request, body, act))


@require_POST
@json_view
def draft(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    assignment = access.get_assignment(viewer(request), assignment_id)
    payload = body_of(request).get("payload")
    try:
        annotations.save_draft(assignment=assignment, payload=cast(JsonObject, payload))
    except AlreadySubmitted:  # the annotation arrived before its draft
        return JsonResponse({"kept": False})
    return JsonResponse({"kept": True})


@require_POST
@json_view
def renew(request: HttpRequest) -> HttpResponse:
    """Renew the assignments on the desk. `lost` lists those that somebody else holds now."""
    ids = body_of(request).get("ids")
    if not isinstance(ids, list):
        ids = []
    lost = []
    for key in ids[: assignment_queue.AT_MOST_HELD]:
        try:
            assignments.renew(assignment=access.get_assignment(viewer(request), key))
        except (NotHeld, NotFound):
            lost.append(str(key))
    return JsonResponse({"lost": lost})


@require_POST
@json_view
def release(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """Release an assignment held ahead, sent when the page is left, so that others can take it at once."""
    assignment = access.get_assignment(viewer(request), assignment_id)
    if assignment.ahead:
        assignments.release(assignment=assignment)
    return HttpResponse(status=204)


@require_POST
@json_view
def next_task(request: HttpRequest, slug: str) -> HttpResponse:
    """The next task: one ahead of the task that is shown, or one to show now if there is none."""
    project = access.get_project(viewer(request), slug)
    return _with_next_task(request, project, body_of(request), {})


@require_POST
@login_required
def reopen_sent_back(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """Show a task that a reviewer sent back on the desk again, with its annotation."""
    assignment = access.get_assignment(viewer(request), assignment_id)
    assignments.take_again(assignment=assignment)
    return redirect("desk", assignment.project.slug)


@require_POST
@project_page()
def read_guidelines(request: HttpRequest, project: Project) -> HttpResponse:
    """Record that the annotator has read a version of the guidelines. The reply replaces the request on the page."""
    version = desk_selectors.guidelines(project)
    if version is not None and str(version.number) == request.POST.get("number"):
        projects.guidelines_read(project=project, person=person(request), version=version)
    if wants_fragment(request):
        return HttpResponse()
    return redirect("desk", project.slug)


@require_GET
@json_view
def undo(request: HttpRequest, slug: str) -> HttpResponse:
    """The last annotation, to be revised."""
    project = access.get_project(viewer(request), slug)
    assignment = desk_selectors.undoable(project, person(request))
    if assignment is None:
        return JsonResponse({"html": "", "sentence": "No annotation from the last hour can be undone."})
    return JsonResponse({"id": str(assignment.public_id), "html": card(request, assignment)})


# --- parts -----------------------------------------------------------------------------------------


def _submitted(assignment: Assignment, body: JsonObject) -> tuple[int, JsonObject]:
    annotation = annotations.submit(
        assignment=assignment, answer=body.get("answer"), seconds=_seconds(body), client="web"
    )
    reply = {"counted": assignment.counted, "late": annotation.late}
    verdict = qualification.verdict_of(assignment)
    if verdict is None:
        return 200, reply
    return 200, reply | {
        "feedback": _verdict_html(assignment, verdict),
        "passed": verdict.training == Membership.Training.PASSED,
    }


def _verdict_html(assignment: Assignment, verdict: qualification.QualificationVerdict) -> str:
    """The right answer and the reason, with the letters that the annotator saw."""
    order = []
    if assignment.current is not None:
        order = assignment.current.shown
    words = tasks.right_answer(assignment.task, order)
    return render_to_string(
        "feedback/collection/desk/_verdict.html", {"verdict": verdict, "words": words, "key": assignment.public_id}
    )


def _submit_form(request: HttpRequest, assignment: Assignment) -> HttpResponse:
    answer: JsonObject = {}
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
    context = {"project": assignment.project, "verdict": _verdict_html(assignment, verdict)}
    return render(request, "feedback/collection/desk/verdict.html", context)


class RepeatKey(TypedDict):
    """What identifies a request when it is repeated."""

    person: Person
    route: str
    key: str | None
    body: JsonObject


def _repeat_key(request: HttpRequest, body: JsonObject) -> RepeatKey:
    """The key of a request. The fields that describe the state of the page are no part of the submission."""
    fields = {name: value for name, value in body.items() if name not in ("showing", "have")}
    key = request.headers.get("Idempotency-Key") or None
    if key and len(key) > 200:
        raise Invalid("An Idempotency-Key has at most 200 characters.")
    return {"person": person(request), "route": f"POST {request.path}", "key": key, "body": fields}


def _once(request: HttpRequest, body: JsonObject, act: Callable[[], tuple[int, JsonObject]]) -> JsonObject:
    """Do `act` once per Idempotency-Key, and return the body of its reply."""
    _, reply = idempotency.once(**_repeat_key(request, body), act=act)
    return dict(reply)


def _with_next_task(request: HttpRequest, project: Project, body: JsonObject, reply: JsonObject) -> HttpResponse:
    """`reply` with a task that the page does not have, or the reason why there is none, and today's progress."""
    who = person(request)
    showing, have = body.get("showing"), body.get("have")
    if not isinstance(have, list):
        have = []
    have = list(map(str, have[:MAX_KNOWN]))
    if showing:
        _mark_shown(request, showing)
    found = assignment_queue.next_assignment(project=project, annotator=who, ahead=bool(showing), have=have)
    reply = dict(reply, next=None, nothing=None)
    if isinstance(found, Assignment):
        if str(found.public_id) not in (showing, *have):
            reply["next"] = {"id": str(found.public_id), "html": card(request, found)}
    elif not showing:
        reply["nothing"] = {"html": _no_task(request, project, found), "retry_after": found.retry_after}
    done = desk_selectors.progress(project, who)
    reply["progress"] = {"today": done.today, "seconds": done.seconds}
    return JsonResponse(reply)


def _mark_shown(request: HttpRequest, showing: object) -> None:
    try:
        assignment = access.get_assignment(viewer(request), str(showing))
        if assignment.ahead or assignment.state != Assignment.State.HELD:
            assignments.mark_shown(assignment=assignment)
    except (NotHeld, NotFound):
        pass  # submitted already, or held by somebody else: its annotation is accepted all the same


def _no_task(request: HttpRequest, project: Project, why: NoTask) -> str:
    """Why there is no task, with the guidelines if the reason is about this person, else the state of the project."""
    context: Context = {"why": why, "project": project}
    if why.for_you:
        context["guidelines"] = desk_selectors.guidelines(project)
    else:
        context["waiting"] = empty_desk.for_tasks(project)
    return render_to_string("feedback/collection/desk/_nothing.html", context, request)


def _seconds(body: JsonObject) -> float | None:
    seconds = body.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        return None
    return float(seconds)
