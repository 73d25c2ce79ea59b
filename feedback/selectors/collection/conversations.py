"""Conversations as their person sees them: blind, each turn with two responses by letter."""

from typing import Any

from django.db.models import QuerySet

from feedback.models import Assignment, Conversation, Person, Project, Prompt, Response
from feedback.rules.collection.kinds.conversation import goes_on_with
from feedback.rules.collection.pairing import shown_order
from feedback.rules.collection.payloads import LETTERS, unresolve

ANSWERS = 2
WRITING, READY, ANSWERED, FAILED, BLOCKED = "writing", "ready", "answered", "failed", "blocked"
OPENING = "opening"  # the source of prompts that an admin offers to begin with
MOST_OPENINGS = 6


def of_person(project: Project, person: Person) -> QuerySet[Conversation]:
    return Conversation.objects.filter(project=project, person=person).order_by("-pk")


def openings(project: Project) -> list[str]:
    """Opening messages that admins offer: the newest prompts of the source `opening`."""
    found = Prompt.objects.filter(project=project, source=OPENING).exclude(state=Prompt.State.BLOCKED)
    return list(dict.fromkeys(prompt.text for prompt in found.order_by("-pk")[: 4 * MOST_OPENINGS]))[:MOST_OPENINGS]


def conversation_data(conversation: Conversation) -> dict[str, Any]:
    turns = conversation.turns.select_related("conversation__person").order_by("turn")
    return {
        "id": conversation.public_id,
        "project": conversation.project.slug,
        "state": "ended" if conversation.ended_at else "open",
        "created_at": conversation.created_at,
        "ended_at": conversation.ended_at,
        "turns": [turn_data(turn) for turn in turns],
    }


def turn_data(turn: Prompt) -> dict[str, Any]:
    """A turn. `state`: writing, ready (to be judged), answered, failed or blocked; `sentence` gives the reason."""
    assignment = assignment_of(turn)
    answer = _answer(assignment)
    answers = _in_order_shown(assignment) if assignment else answers_of(turn)
    state, sentence = _state(turn, assignment, answers, answer)
    return {
        "turn": turn.turn,
        "message": turn.text,
        "state": state,
        "sentence": sentence,
        "assignment": assignment.public_id if assignment and turn.conversation.ended_at is None else None,  # type: ignore[union-attr]
        "responses": [
            {"letter": LETTERS[place], "state": row.state, "text": row.text} for place, row in enumerate(answers)
        ],
        "answer": answer,
        "goes_on": continuation(turn) if answer else None,
    }


def _state(
    turn: Prompt, assignment: Assignment | None, answers: list[Response], answer: dict[str, Any] | None
) -> tuple[str, str]:
    if answer is not None:
        return ANSWERED, ""
    if assignment is not None:
        return READY, ""
    if is_awaited(turn):
        return WRITING, ""
    if turn.state == Prompt.State.BLOCKED:
        return BLOCKED, "The guard model blocked this message. Write another message."
    gone = turn.responses.filter(state__in=[Response.State.FAILED, Response.State.BLOCKED]).order_by("-pk").first()
    if gone is None and len(answers) < ANSWERS:
        return WRITING, ""
    if gone is not None and gone.state == Response.State.BLOCKED:
        return BLOCKED, "The guard model blocked a response. Regenerate it."
    return FAILED, (gone.error if gone else "") or "The responses could not be generated."


def _in_order_shown(assignment: Assignment) -> list[Response]:
    rows = Response.objects.in_bulk(assignment.order)
    return [rows[key] for key in assignment.order]


def _answer(assignment: Assignment | None) -> dict[str, Any] | None:
    current = assignment.current if assignment else None
    if assignment is None or current is None or current.withdrawn:
        return None
    return unresolve(assignment.task.kind, current.payload, current.shown)


def answers_of(turn: Prompt) -> list[Response]:
    """The two responses of a turn, in the order that its person sees; fewer while some have failed.

    Whatever fails is requested again as another response; the failed ones stay, and are no answers any more.
    """
    standing = [Response.State.QUEUED, Response.State.RUNNING, Response.State.SCREENING, Response.State.READY]
    found = list(turn.responses.filter(state__in=standing, author=None).order_by("pk")[:ANSWERS])
    assert turn.conversation is not None
    places = shown_order(range(ANSWERS), turn.public_id, turn.conversation.person.public_id)
    return [found[place] for place in places if place < len(found)]


def is_awaited(turn: Prompt) -> bool:
    """Whether its message is being screened, or a response generated or screened."""
    final = [Response.State.READY, Response.State.FAILED, Response.State.BLOCKED]
    return turn.state == Prompt.State.RECEIVED or turn.responses.exclude(state__in=final).exists()


def assignment_of(turn: Prompt) -> Assignment | None:
    return Assignment.objects.filter(task__prompt=turn).select_related("current", "task").first()


def continuation(turn: Prompt) -> str | None:
    """The response with which the conversation continues; None if there is none yet, or both were bad."""
    assignment = assignment_of(turn)
    current = assignment.current if assignment else None
    if current is None or current.withdrawn:
        return None
    if current.payload.get("rewrite"):
        return str(current.payload["rewrite"])
    chosen = goes_on_with(current.payload, current.shown)
    if chosen:
        return Response.objects.values_list("text", flat=True).get(public_id=chosen)
    return None
