"""Conversations with the serving model: a message, two answers, a choice, and on with the chosen one.

A turn is a prompt (all messages so far, and the new message), two responses and a task of its person. The answer
to that task is submitted like any other; what comes next follows from it.
"""

from django.db import transaction
from django.utils import timezone

from feedback.errors import Conflict, Invalid, NoSuchKind, ProjectClosed
from feedback.models import Assignment, Conversation, Kind, Person, Project, Prompt, Response, Task
from feedback.selectors.collection import conversations
from feedback.selectors.collection.conversations import assignment_of, continuation
from feedback.services.collection import generation, prompts
from feedback.services.platform import events
from feedback.services.platform.closed_projects import refuse_when_closed

SOURCE = "conversation"
MAX_TURNS = 100
MAX_RETRIES = 8  # answers a turn may have requested, failed ones included


def start(*, project: Project, person: Person, text: str) -> Prompt:
    """Open a conversation with its first message. Returns its first turn.

    Raises:
        NoSuchKind, ProjectClosed, NoServingModel: the project has no conversations, is not open, serves nothing.
        Invalid: the message is empty or cannot be stored.
    """
    if Kind.CONVERSATION not in project.kinds:
        raise NoSuchKind("This project has no conversations. An admin can add the task kind in the project settings.")
    with transaction.atomic():
        conversation = Conversation.objects.create(project=project, person=person)
        events.record("conversation.started", conversation, actor=person)
        return _say(conversation, text, after=None)


def say(*, conversation: Conversation, text: str) -> Prompt:
    """The next message. It follows what was chosen; where both answers were bad, or none came, it replaces the last
    one, so that the same message again asks for two new answers. Returns the new turn.

    Raises:
        Conflict: the last turn's answers are being written, or wait for a choice; or the conversation has ended.
    """
    with transaction.atomic():
        locked = Conversation.objects.select_for_update(of=("self",)).select_related("project", "person")
        conversation = locked.get(pk=conversation.pk)
        _still_open(conversation)
        last = conversation.turns.order_by("-turn").first()
        return _say(conversation, text, after=last)


def retry(*, turn: Prompt) -> list[Response]:
    """Request again the answers of a turn that failed or were held back. Nothing when none is missing.

    Raises:
        Conflict: the conversation has ended, or the turn was answered, or it was tried too often.
    """
    with transaction.atomic():
        turn = Prompt.objects.select_for_update(of=("self",)).select_related("conversation", "project").get(pk=turn.pk)
        assert turn.conversation is not None
        _still_open(turn.conversation)
        refuse_when_closed(turn.project, "responses")
        missing = conversations.ANSWERS - len(conversations.answers_of(turn))
        if missing <= 0:
            return []
        if turn.responses.count() >= MAX_RETRIES:
            raise Conflict("This turn failed too often. Write another message, or end the conversation.")
        if turn.state == Prompt.State.BLOCKED:
            raise Conflict("The guard model blocked this message. Write another message, or end the conversation.")
        Prompt.objects.filter(pk=turn.pk).update(state=Prompt.State.SCREENED)
        return generation.request_responses(prompt=turn, count=missing, by=turn.conversation.person)


def end(*, conversation: Conversation) -> Conversation:
    """No more turns. What waits for a choice is withdrawn; ending twice is harmless."""
    with transaction.atomic():
        ended = Conversation.objects.filter(pk=conversation.pk, ended_at=None).update(ended_at=timezone.now())
        if ended:
            tasks = Task.objects.filter(prompt__conversation=conversation, state=Task.State.OPEN)
            held = Assignment.objects.filter(task__in=tasks.values("pk"), state=Assignment.State.HELD)
            held.update(state=Assignment.State.RELEASED, slot=None)
            tasks.update(state=Task.State.WITHDRAWN)
            events.record("conversation.ended", conversation, actor=conversation.person)
    conversation.refresh_from_db()
    return conversation


def _say(conversation: Conversation, text: str, *, after: Prompt | None) -> Prompt:
    project = conversation.project
    refuse_when_closed(project, "messages")
    if project.state != Project.State.OPEN:
        raise ProjectClosed(f"{project.name} is {project.state}; no new messages are accepted.")
    if not text.strip():
        raise Invalid("Write a message.", field="text")
    if after is not None and after.turn >= MAX_TURNS:
        raise Conflict(f"A conversation has at most {MAX_TURNS} turns. End this one and start another.")
    prompt, _ = prompts.submit_prompt(
        project=project,
        by=conversation.person,
        messages=[*_before(after), {"role": "user", "content": text}],
        source=SOURCE,
        responses_wanted=conversations.ANSWERS,
        turn_of=conversation,
        follows=after,
    )
    return prompt


def _before(last: Prompt | None) -> list[dict[str, str]]:
    """All that stands when the next message is stated."""
    if last is None:
        return []
    messages: list[dict[str, str]] = list(last.messages)
    words = continuation(last)
    if words is not None:
        return [*messages, {"role": "assistant", "content": words}]
    assignment = assignment_of(last)
    if assignment is not None and assignment.state != Assignment.State.SUBMITTED:
        raise Conflict("Choose between the two responses first.", turn=last.turn)
    if assignment is None and conversations.is_awaited(last):
        raise Conflict("The responses to your last message are still being generated.", turn=last.turn)
    return messages[:-1]


def _still_open(conversation: Conversation) -> None:
    if conversation.ended_at is not None:
        raise Conflict("This conversation has ended. Start another one.")
