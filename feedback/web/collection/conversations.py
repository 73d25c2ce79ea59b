"""Talking with the model: a message, two answers that come side by side, a key for the better one, and on with it.

The page holds the whole talk, so that it can be loaded again at any moment. Script reads the answers while they are
written and keeps what was chosen in the outbox; plain forms work on the same paths.
"""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import Conversation, Kind, Project
from feedback.selectors.collection import conversations as talks
from feedback.selectors.collection import desk
from feedback.selectors.platform import access, health
from feedback.services.collection import annotations, conversations, generation
from feedback.services.platform import idempotency
from feedback.web.collection.annotation_forms import from_form
from feedback.web.collection.task_cards import DIMENSION_KEYS, SCALE
from feedback.web.htmx import page_or_partial
from feedback.web.json_views import body_of, is_json, json_view
from feedback.web.pages import person, project_page, viewer

MOST_LISTED = 12
GONE = (talks.FAILED, talks.BLOCKED)  # a turn that nothing comes of: it can be requested again, or phrased otherwise


@never_cache
@project_page()
def begin(request: HttpRequest, project: Project) -> HttpResponse:
    """One's open talks, and the first message of another."""
    error, text = None, request.POST.get("text", "")
    if request.method == "POST":
        try:
            turn = conversations.start(project=project, person=person(request), text=text)
            assert turn.conversation is not None
            return redirect("talk", project.slug, turn.conversation.public_id)
        except DomainError as refused:
            error = refused
    mine = talks.of_person(project, person(request)).prefetch_related("turns")
    listed = [(one, sorted(one.turns.all(), key=lambda turn: turn.turn)) for one in mine[:MOST_LISTED]]
    context = {
        "project": project,
        "has_kind": Kind.CONVERSATION in project.kinds,
        "serves": generation.can_be_asked(project),
        "there": health.queue_now("generate"),
        "is_admin": access.may(viewer(request), project, access.ADMIN),
        "open": [(one, turns) for one, turns in listed if one.ended_at is None],
        "ended": [(one, turns) for one, turns in listed if one.ended_at is not None],
        "openings": talks.openings(project),
        "text": text,
        "error": error,
    }
    return render(
        request, "feedback/collection/conversations/begin.html", context, status=error.status if error else 200
    )


@never_cache
@project_page()
def talk(request: HttpRequest, project: Project, conversation_id: uuid.UUID) -> HttpResponse:
    conversation = access.get_conversation(viewer(request), conversation_id)
    return page_or_partial(request, "collection/conversations/talk", _shown(request, conversation))


@require_POST
@json_view
def say(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    conversation = access.get_conversation(viewer(request), conversation_id)
    if not is_json(request):
        conversations.say(conversation=conversation, text=request.POST.get("text", ""))
        return _back(conversation)
    body = body_of(request)

    def act() -> tuple[int, Any]:
        return 201, {"turn": conversations.say(conversation=conversation, text=str(body.get("text", ""))).turn}

    _once(request, body, act)
    return JsonResponse({"html": _html(request, conversation)})


@require_POST
@json_view
def answer(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """Which answer is better. Taken in once per key, however often the outbox sends it."""
    assignment = access.get_assignment(viewer(request), assignment_id)
    conversation = access.get_conversation(viewer(request), access.conversation_of(assignment))
    if not is_json(request):
        given = from_form(desk.payload(assignment), request.POST)
        annotations.submit(assignment=assignment, answer=given, client="web")
        return _back(conversation)
    body = body_of(request)

    def act() -> tuple[int, Any]:
        seconds = body.get("seconds")
        annotation = annotations.submit(
            assignment=assignment,
            answer=body.get("answer"),
            seconds=float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else None,
            client="web",
        )
        return 200, {"counted": assignment.counted, "late": annotation.late}

    reply = _once(request, {name: value for name, value in body.items() if name != "showing"}, act)
    return JsonResponse(reply | {"talk": str(conversation.public_id), "html": _html(request, conversation)})


@require_POST
@json_view
def retry(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Request again answers of the last turn that failed or were held back."""
    conversation = access.get_conversation(viewer(request), conversation_id)
    turn = conversation.turns.select_related("conversation__person").order_by("-turn").first()
    if turn is not None:
        conversations.retry(turn=turn)
    return JsonResponse({"html": _html(request, conversation)}) if is_json(request) else _back(conversation)


@require_POST
@json_view
def end(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    conversation = conversations.end(conversation=access.get_conversation(viewer(request), conversation_id))
    return JsonResponse({"html": _html(request, conversation)}) if is_json(request) else _back(conversation)


def _back(conversation: Conversation) -> HttpResponse:
    return redirect("talk", conversation.project.slug, conversation.public_id)


def _once(request: HttpRequest, body: dict[str, Any], act: Any) -> dict[str, Any]:
    key = (request.headers.get("Idempotency-Key") or "")[:200] or None
    _, reply = idempotency.once(person=person(request), route=f"POST {request.path}", key=key, body=body, act=act)
    return dict(reply)


def _html(request: HttpRequest, conversation: Conversation) -> str:
    return render_to_string("feedback/collection/conversations/_talk.html", _shown(request, conversation), request)


def _shown(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """The talk as its person sees it: what is settled, and the turn at hand."""
    project = conversation.project
    shown = talks.conversation_data(conversation)
    settled = list(shown["turns"])
    present = settled.pop() if settled and settled[-1]["state"] != talks.ANSWERED else None
    last = settled[-1] if settled else None
    # What takes the place of the last message when nothing was stated that the talk could go on with.
    again = present if present else last if last and last["goes_on"] is None else None
    name = f"{conversation.public_id}-{present['turn']}" if present else ""
    task: dict[str, Any] = {"id": name, "asks_reason": False}
    if present and present["state"] == talks.READY:
        assignment = access.get_assignment(viewer(request), present["assignment"])
        task = desk.payload(assignment)
    return {
        "project": project,
        "conversation": conversation,
        "settled": settled,
        "present": present,
        "both_bad": bool(last and not present and last["goes_on"] is None),
        "composing": conversation.ended_at is None and (not present or present["state"] in GONE),
        "prefilled": again["message"] if again else "",
        "task": task,
        "scale": SCALE,
        "reason_key": "n",
        "dimensions": [
            {"name": name, "keys": DIMENSION_KEYS[place] if place < len(DIMENSION_KEYS) else ""}
            for place, name in enumerate(project.dimensions)
        ],
        "progress": desk.progress(project, person(request)),
    }
