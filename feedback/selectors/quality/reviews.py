"""What waits for a reviewer, what matters most first, and what a reviewer needs to see of it."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypedDict

from django.db.models import Q, QuerySet

from feedback.models import Assignment, Concern, Flag, Person, Project, Review, Task
from feedback.rules.collection.queue_policy import TAKEN_BACK
from feedback.selectors.collection import annotations, tasks

COUNTED = 1000
WORDS = {
    Concern.Reason.FLAGGED: "Flagged",
    Concern.Reason.SKIPPED: "Skipped too often",
    Concern.Reason.DISAGREEMENT: "Annotations disagree",
    Concern.Reason.UNRELIABLE: "Annotator with low agreement",
    Concern.Reason.SAMPLE: "Random sample",
}


@dataclass(frozen=True)
class Filters:
    """What a reviewer wants to see: of one reason, kind, annotator, or week (any day of it)."""

    reason: str = ""
    kind: str = ""
    annotator: uuid.UUID | None = None
    week: date | None = None


def waiting(project: Project, reviewer: Person, filters: Filters = Filters()) -> QuerySet[Concern]:
    """Open concerns that this reviewer may decide about: not about their own answers, nor tasks they answered."""
    own = Q(assignment__annotator=reviewer) | Q(
        reason=Concern.Reason.DISAGREEMENT,
        task__in=Assignment.objects.filter(
            project=project, annotator=reviewer, state=Assignment.State.SUBMITTED
        ).values("task"),
    )
    found = Concern.objects.filter(project=project, closed_at=None).exclude(own)
    if filters.reason:
        found = found.filter(reason=filters.reason)
    if filters.kind:
        found = found.filter(task__kind=filters.kind)
    if filters.annotator:
        found = found.filter(assignment__annotator__public_id=filters.annotator)
    if filters.week:
        monday = filters.week - timedelta(days=filters.week.weekday())
        start = datetime(monday.year, monday.month, monday.day, tzinfo=UTC)
        found = found.filter(created_at__gte=start, created_at__lt=start + timedelta(days=7))
    return found.order_by("rank", "id")


def count(concerns: QuerySet[Concern]) -> int:
    """No further than a thousand."""
    return len(concerns.order_by().values_list("pk", flat=True)[:COUNTED])


def skips(task: Task) -> dict[str, int]:
    """How many skipped it, by reason."""
    rows = task.assignments.filter(state=Assignment.State.SKIPPED).exclude(skip_reason=TAKEN_BACK)
    return dict(Counter(rows.values_list("skip_reason", flat=True)).most_common())


@dataclass(frozen=True)
class Look:
    """A concern with what a reviewer needs: why it is here, and what was submitted."""

    concern: Concern
    why: str
    details: list[str]
    answers: Sequence[annotations.AnnotationRow]
    assignment: Assignment | None  # whose answer is to be decided about; None: the task as a whole

    @property
    def about_answer(self) -> bool:
        return self.assignment is not None and self.assignment.current is not None


def look(concern: Concern) -> Look:
    task = concern.task
    details: list[str] = []
    if concern.reason == Concern.Reason.SKIPPED:
        rows = task.assignments.filter(state=Assignment.State.SKIPPED).exclude(skip_reason=TAKEN_BACK)
        for held in rows.select_related("annotator").order_by("pk"):
            detail = f"{held.annotator}, {held.skip_reason.replace('_', ' ')}"
            if held.skip_note:
                detail += f": {held.skip_note}"
            details.append(detail)
    elif concern.reason == Concern.Reason.FLAGGED:
        flags = Flag.objects.filter(assignment=concern.assignment).select_related("person").order_by("pk")
        details += [f"{flag.person}: {flag.reason}" for flag in flags]
    order = tasks.response_order(task)
    submitted = task.assignments.filter(state=Assignment.State.SUBMITTED)
    answers = []
    for held in submitted.select_related("current__annotator", "current__assignment").order_by("pk"):
        if held.current is not None:
            answers.append(annotations.in_words(held.current, order))
    return Look(
        concern=concern,
        why=WORDS[Concern.Reason(concern.reason)],
        details=details,
        answers=answers,
        assignment=concern.assignment,
    )


class SentBack(TypedDict):
    assignment: Assignment
    at: datetime | None


def sent_back_to(person: Person) -> list[SentBack]:
    """Assignments of this person that reviewers sent back and nobody has done again, newest first."""
    mine = Assignment.objects.filter(annotator=person, state=Assignment.State.RELEASED).exclude(sent_back="")
    rows = list(mine.select_related("project", "task__prompt").order_by("-pk")[:20])
    when = dict(
        Review.objects.filter(annotation__assignment__in=rows, decision=Review.Decision.SEND_BACK)
        .order_by("pk")
        .values_list("annotation__assignment_id", "created_at")
    )
    return [SentBack(assignment=row, at=when.get(row.pk)) for row in rows]
