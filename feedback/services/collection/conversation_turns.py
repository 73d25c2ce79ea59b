"""A turn of a conversation becomes a task: once both of its answers are there, for the one person who talks."""

import uuid
from datetime import timedelta
from operator import attrgetter

from django.db import transaction
from django.utils import timezone

from feedback.models import Assignment, Kind, Prompt, Response, Task
from feedback.rules.collection.pairing import queue_key
from feedback.selectors.collection.conversations import ANSWERS, answers_of
from feedback.services.collection import tasks

# A talk is nobody else's, so nothing is gained by giving a turn of it back after ten minutes.
HELD_FOR = timedelta(days=365)


def make_task(turn: Prompt) -> Task | None:
    """The turn's task, held by its person, when both answers are ready. Call inside a transaction, the turn locked."""
    answers = answers_of(turn)
    if len(answers) < ANSWERS or any(answer.state != Response.State.READY for answer in answers):
        return None
    conversation = turn.conversation
    assert conversation is not None
    if conversation.ended_at is not None or turn.tasks.exists():
        return None
    now = timezone.now()
    public_id = uuid.uuid4()
    with transaction.atomic():
        task = Task.objects.create(
            public_id=public_id,
            project_id=turn.project_id,
            kind=Kind.CONVERSATION,
            prompt=turn,
            annotations_wanted=1,
            free_slots=0,
            queue_key=queue_key(0, public_id),
            arm="conversation",
            created_by_id=conversation.person_id,
        )
        tasks.place_responses(task, sorted(answers, key=attrgetter("pk")))
        Assignment.objects.create(
            project_id=turn.project_id,
            task=task,
            annotator_id=conversation.person_id,
            slot=1,
            order=[answer.pk for answer in answers],
            held_until=now + HELD_FOR,
            shown_at=now,
        )
    return task
