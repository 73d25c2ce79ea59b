"""What was looked for in vain: who has seen all of a large project is not taken through all of it at every poll.

What a walk past many tasks came to is remembered in this process for a minute, for this person with what they may do
and what they hold. A new task is found at once all the same, since the newest one is looked at; a slot that comes free
in an older task waits for the minute's end at most.
"""

import hashlib

from django.core.cache import cache
from django.utils import timezone

from feedback.db.compiled_queries import CompiledSelect, Param
from feedback.models import Task
from feedback.services.collection.assignment_eligibility import Criteria, NoTask

MANY = 1000  # tasks; past fewer, walking costs less than giving one out
SECONDS = 60
KNOWN_SECONDS = 3600  # how long it is known of somebody that they walk in vain
select_newest = CompiledSelect(
    lambda: Task.objects.filter(project=Param("project"), state=Task.State.OPEN).order_by("-pk").values_list("pk")[:1]
)
select_waiting_past_many = CompiledSelect(
    lambda: (
        Task.objects.with_free_slots()
        .filter(project=Param("project"), queue_key__gte=0)
        .order_by("queue_key")
        .values_list("pk")[MANY : MANY + 1]
    )
)


class CandidateScan:
    """A look through the queue, and what the last one of the kind came to. `criteria`: all that decides what is
    given."""

    def __init__(self, project: int, criteria: Criteria) -> None:
        self.project, self.now = project, timezone.now().timestamp()
        self.name = f"fruitless-{project}-{hashlib.sha256(repr(criteria).encode()).hexdigest()}"
        self.known = cache.get(self.name)
        # Before the walk, so that a task which comes while it lasts is newer. Nobody else pays for looking.
        self.newest = select_newest.first(project=project) if self.known else None

    def recalled(self) -> NoTask | None:
        """What there was to say, if that is a short while ago and no task is newer; else None."""
        if self.known is None:
            return None
        newest, answer, until = self.known
        return answer if newest == self.newest and self.now < until else None

    def ended(self, answer: NoTask) -> NoTask:
        """`answer`, kept for the next time if the way to it was long. The first such walk only tells that there is
        somebody to look for the newest task for."""
        if select_waiting_past_many.first(project=self.project):
            kept = answer if self.newest is not None else None
            cache.set(self.name, (self.newest, kept, self.now + SECONDS), KNOWN_SECONDS)
        return answer
