"""Conversations with the serving model: a message, two responses side by side, and a choice between them.

The page holds the whole conversation, so that it can be reloaded at any time. A script shows the responses while they
are written and keeps the choice in the outbox. Plain forms work on the same paths.
"""

import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import Conversation, Kind, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import conversations as conversation_selectors
from feedback.selectors.collection import desk
from feedback.selectors.platform import access, health
from feedback.services.collection import annotations, conversations, generation
from feedback.services.platform import idempotency
from feedback.web.collection.annotation_forms import from_form
from feedback.web.collection.task_cards import SCALE, dimension_rows
from feedback.web.htmx import page_or_partial
from feedback.web.json_views import body_of, is_json, json_view
from feedback.web.pages import Context, person, project_page, viewer

MAX_LISTED = 12
# A turn in one of these states has no responses: they can be requested again, or the message can be rephrased.
WITHOUT_RESPONSES = (conversation_selectors.FAILED, conversation_selectors.BLOCKED)


@never_cache
@project_page()
def begin(request: HttpRequest, project: Project) -> HttpResponse:
    """The open conversations of the annotator, and the form that starts another one."""
    error, text = None, request.POST.get("text", "")
    if request.method == "POST":
        try:
            turn = conversations.start(project=project, person=person(request), text=text)
            assert turn.conversation is not None
            return redirect("talk", project.slug, turn.conversation.public_id)
        except DomainError as refused:
            error = refused
    mine = conversation_selectors.of_person(project, person(request)).prefetch_related("turns")
    still_open, ended = [], []
    for conversation in mine[:MAX_LISTED]:
        turns = sorted(conversation.turns.all(), key=lambda turn: turn.turn)
        if conversation.ended_at is None:
            still_open.append((conversation, turns))
        else:
            ended.append((conversation, turns))
    context = {
        "project": project,
        "has_kind": Kind.CONVERSATION in project.kinds,
        "serves": generation.can_be_asked(project),
        "there": health.queue_now("generate"),
        "is_admin": access.may(viewer(request), project, access.ADMIN),
        "open": still_open,
        "ended": ended,
        "openings": conversation_selectors.openings(project),
        "text": text,
        "error": error,
    }
    status = 200
    if error is not None:
        status = error.status
    return render(request, "feedback/collection/conversations/begin.html", context, status=status)


@never_cache
@project_page()
def talk(request: HttpRequest, project: Project, conversation_id: uuid.UUID) -> HttpResponse:
    conversation = access.get_conversation(viewer(request), conversation_id)
    return page_or_partial(request, "collection/conversations/talk", _talk_context(request, conversation))


@require_POST
@json_view
def say(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    conversation = access.get_conversation(viewer(request), conversation_id)
    if not is_json(request):
        conversations.say(conversation=conversation, text=request.POST.get("text", ""))
        return _back(conversation)
    body = body_of(request)

    def act() -> tuple[int, JsonObject]:
        return 201, {"turn": conversations.say(conversation=conversation, text=str(body.get("text", ""))).turn}

    _once(request, body, act)
    return JsonResponse({"html": _html(request, conversation)})


@require_POST
@json_view
def answer(request: HttpRequest, assignment_id: uuid.UUID) -> HttpResponse:
    """Submit the choice between the two responses, once per key, however often the outbox sends it."""
    assignment = access.get_assignment(viewer(request), assignment_id)
    conversation = access.get_conversation(viewer(request), access.conversation_of(assignment))
    if not is_json(request):
        given = from_form(desk.payload(assignment), request.POST)
        annotations.submit(assignment=assignment, answer=given, client="web")
        return _back(conversation)
    body = body_of(request)

    def act() -> tuple[int, JsonObject]:
        annotation = annotations.submit(
            assignment=assignment, answer=body.get("answer"), seconds=_seconds(body), client="web"
        )
        return 200, {"counted": assignment.counted, "late": annotation.late}

    reply = _once(request, {name: value for name, value in body.items() if name != "showing"}, act)
    return JsonResponse(reply | {"talk": str(conversation.public_id), "html": _html(request, conversation)})


@require_POST
@json_view
def retry(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Request the failed or blocked responses of the last turn again."""
    conversation = access.get_conversation(viewer(request), conversation_id)
    turn = conversation.turns.select_related("conversation__person").order_by("-turn").first()
    if turn is not None:
        conversations.retry(turn=turn)
    return _reply(request, conversation)


@require_POST
@json_view
def end(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    conversation = conversations.end(conversation=access.get_conversation(viewer(request), conversation_id))
    return _reply(request, conversation)


def _reply(request: HttpRequest, conversation: Conversation) -> HttpResponse:
    """The conversation as HTML for the script, or its page for a plain form."""
    if is_json(request):
        return JsonResponse({"html": _html(request, conversation)})
    return _back(conversation)


def _seconds(body: JsonObject) -> float | None:
    seconds = body.get("seconds")
    if isinstance(seconds, int | float) and 0 <= seconds < 1e9:
        return float(seconds)
    return None


def _back(conversation: Conversation) -> HttpResponse:
    return redirect("talk", conversation.project.slug, conversation.public_id)


def _once(request: HttpRequest, body: JsonObject, act: Callable[[], tuple[int, JsonObject]]) -> JsonObject:
    """Do `act` once per Idempotency-Key, and return the body of its reply."""
    key = (request.headers.get("Idempotency-Key") or "")[:200] or None
    _, reply = idempotency.once(person=person(request), route=f"POST {request.path}", key=key, body=body, act=act)
    return dict(reply)


def _html(request: HttpRequest, conversation: Conversation) -> str:
    return render_to_string(
        "feedback/collection/conversations/_talk.html", _talk_context(request, conversation), request
    )


def _talk_context(request: HttpRequest, conversation: Conversation) -> Context:
    """The conversation as its annotator sees it: the answered turns, and the present one if there is one."""
    project = conversation.project
    settled = list(conversation_selectors.conversation_data(conversation)["turns"])
    present = None
    if settled and settled[-1]["state"] != conversation_selectors.ANSWERED:
        present = settled.pop()
    both_bad = bool(settled) and present is None and settled[-1]["goes_on"] is None
    # The form for the next message holds the last one again, if that one got no response to continue with.
    prefilled = ""
    if present is not None:
        prefilled = present["message"]
    elif both_bad:
        prefilled = settled[-1]["message"]
    task: JsonObject = {"id": "", "asks_reason": False}
    if present is not None:
        task["id"] = f"{conversation.public_id}-{present['turn']}"
        if present["state"] == conversation_selectors.READY and present["assignment"] is not None:  # has not ended
            task = desk.payload(access.get_assignment(viewer(request), present["assignment"]))
    return {
        "project": project,
        "conversation": conversation,
        "settled": settled,
        "present": present,
        "both_bad": both_bad,
        "composing": conversation.ended_at is None and (not present or present["state"] in WITHOUT_RESPONSES),
        "prefilled": prefilled,
        "task": task,
        "scale": SCALE,
        "reason_key": "n",
        "dimensions": dimension_rows(project.dimensions),
        "progress": desk.progress(project, person(request)),
    }
