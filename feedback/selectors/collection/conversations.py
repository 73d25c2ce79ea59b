"""Conversations as their person sees them: blind, each turn with two responses by letter."""

from datetime import datetime
from operator import attrgetter
from typing import TypedDict
from uuid import UUID

from django.db.models import QuerySet

from feedback.models import Assignment, Conversation, Person, Project, Prompt, Response
from feedback.rules.collection.kinds.conversation import goes_on_with
from feedback.rules.collection.pairing import shown_order
from feedback.rules.collection.payloads import LETTERS, Answer, unresolve

ANSWERS = 2
WRITING, READY, ANSWERED, FAILED, BLOCKED = "writing", "ready", "answered", "failed", "blocked"
OPENING = "opening"  # the source of prompts that an admin offers to begin with
MOST_OPENINGS = 6


def of_person(project: Project, person: Person) -> QuerySet[Conversation]:
    return Conversation.objects.filter(project=project, person=person).order_by("-pk")


def openings(project: Project) -> list[str]:
    """Opening messages that admins offer: the newest prompts of the source `opening`."""
    found = Prompt.objects.filter(project=project, source=OPENING).exclude(state=Prompt.State.BLOCKED)
    newest = found.order_by("-pk")[: 4 * MOST_OPENINGS]
    texts = dict.fromkeys(map(attrgetter("text"), newest))
    return list(texts)[:MOST_OPENINGS]


class TurnResponse(TypedDict):
    letter: str
    state: str
    text: str


class TurnData(TypedDict):
    """A turn. `state`: writing, ready (to be judged), answered, failed or blocked; `sentence` gives the reason."""

    turn: int
    message: str
    state: str
    sentence: str
    assignment: UUID | None
    responses: list[TurnResponse]
    answer: Answer | None
    goes_on: str | None


class ConversationData(TypedDict):
    id: UUID
    project: str
    state: str
    created_at: datetime
    ended_at: datetime | None
    turns: list[TurnData]


def conversation_data(conversation: Conversation) -> ConversationData:
    turns = conversation.turns.select_related("conversation__person").order_by("turn")
    state = "open"
    if conversation.ended_at:
        state = "ended"
    return {
        "id": conversation.public_id,
        "project": conversation.project.slug,
        "state": state,
        "created_at": conversation.created_at,
        "ended_at": conversation.ended_at,
        "turns": list(map(turn_data, turns)),
    }


def turn_data(turn: Prompt) -> TurnData:
    assignment = assignment_of(turn)
    answer = _answer(assignment)
    answers = _in_order_shown(assignment) if assignment else answers_of(turn)
    state, sentence = _state(turn, assignment, answers, answer)
    responses: list[TurnResponse] = []
    for letter, row in zip(LETTERS, answers, strict=False):
        responses.append({"letter": letter, "state": row.state, "text": row.text})
    assert turn.conversation is not None
    open_assignment = goes_on = None
    if assignment is not None and turn.conversation.ended_at is None:
        open_assignment = assignment.public_id
    if answer:
        goes_on = continuation(turn)
    return {
        "turn": turn.turn,
        "message": turn.text,
        "state": state,
        "sentence": sentence,
        "assignment": open_assignment,
        "responses": responses,
        "answer": answer,
        "goes_on": goes_on,
    }


def _state(
    turn: Prompt, assignment: Assignment | None, answers: list[Response], answer: Answer | None
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
    if gone is not None and gone.error:
        return FAILED, gone.error
    return FAILED, "The responses could not be generated."


def _in_order_shown(assignment: Assignment) -> list[Response]:
    rows = Response.objects.in_bulk(assignment.order)
    return [rows[key] for key in assignment.order]


def _answer(assignment: Assignment | None) -> Answer | None:
    if assignment is None:
        return None
    current = assignment.current
    if current is None or current.withdrawn:
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
    if assignment is None:
        return None
    current = assignment.current
    if current is None or current.withdrawn:
        return None
    if current.payload.get("rewrite"):
        return str(current.payload["rewrite"])
    chosen = goes_on_with(current.payload, current.shown)
    if chosen:
        return Response.objects.values_list("text", flat=True).get(public_id=chosen)
    return None
