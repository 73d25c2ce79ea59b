"""Decisions of reviewers: about one annotation, about a task whose annotations disagree, or to dismiss a concern.

A decision is not an annotation. Of two reviewers who decide at once, the second one gets a conflict.
"""

from datetime import datetime
from operator import attrgetter

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from feedback.errors import Conflict, Forbidden, Invalid
from feedback.models import Annotation, Assignment, Concern, Person, Project, Review, Task, Verdict
from feedback.rules.collection import payloads
from feedback.selectors.quality.quality import quality
from feedback.services.collection import annotations
from feedback.services.collection.task_slots import close_pairs, lock, take_out
from feedback.services.platform import events
from feedback.services.quality import concerns
from feedback.services.quality import gold as gold_service

DOUBTED = ("agreement", "inverted", "gold")  # findings of the quality page that put somebody's answers in doubt
MOST_DOUBTED = 10  # of one annotator, waiting at a time
OWN = "You cannot review your own annotation. Ask another reviewer."


def review(*, annotation: Annotation, by: Person, decision: str, note: str = "", answer: object = None) -> Review:
    """Decide about an annotation.

    `correct` replaces it by the reviewer's answer. `send_back` no longer counts it, reopens its slot and returns it to
    its annotator with a note; somebody else may take the slot first.

    Raises:
        Forbidden: it is the reviewer's own.
        Invalid: unknown decision, a correction without an answer, or something sent back without a word why.
        Conflict: the annotation is no longer the current one, or somebody else decided first.
    """
    if decision not in Review.Decision.values:
        raise Invalid(f"The decision must be one of {', '.join(Review.Decision.values)}.", field="decision")
    with transaction.atomic():
        task, held = lock(annotation.assignment)
        if by.pk in (held.annotator_id, annotation.annotator_id):
            raise Forbidden(OWN)
        _check_undecided(annotation)
        if held.current_id != annotation.pk or held.state != Assignment.State.SUBMITTED:
            raise Conflict("This annotation was revised or withdrawn in the meantime. Reload it.")
        row = Review.objects.create(annotation=annotation, reviewer=by, decision=decision, note=note)
        if decision == Review.Decision.CORRECT:
            if answer is None:
                raise Invalid("A correction needs the reviewer's annotation.", field="answer")
            close_pairs(annotation)
            held.current = annotations.append(task, held, answer, by, 0, "review", late=False)
            held.save(update_fields=["current"])
        elif decision == Review.Decision.SEND_BACK:
            if not note.strip():
                raise Invalid("Describe what to change in a few words.", field="note")
            take_out(task, held, Assignment.State.RELEASED)
            Assignment.objects.filter(pk=held.pk).update(sent_back=note.strip()[:500])
        concerns.close(task=task, by=by, assignment=held)
        events.record("annotation.reviewed", row, actor=by, project=annotation.project, decision=decision)
    return row


def decide(*, task: Task, by: Person, answer: object, note: str = "") -> Verdict:
    """Set the answer of a task whose annotators disagree. Their annotations stay; the consensus is this answer.

    Args:
        answer: in letters of the task's own order.

    Raises:
        Forbidden: the reviewer answered the task.
        Invalid: the answer does not fit.
        Conflict: somebody else decided first, or there is no answer to decide about.
    """
    responses = gold_service.responses_of(task)
    question = gold_service.question(task.project, task.kind, task.prompt, responses, task.ask)
    with transaction.atomic():
        locked = Task.objects.select_for_update().get(pk=task.pk)
        before = Verdict.objects.filter(task=locked).select_related("reviewer").first()
        if before is not None:
            raise Conflict(f"{before.reviewer} decided about this task at {before.created_at:%H:%M} UTC.")
        submitted = Assignment.objects.filter(task=locked, state=Assignment.State.SUBMITTED)
        if submitted.filter(annotator=by).exists():
            raise Forbidden(OWN)
        if not submitted.exists():
            raise Conflict("This task has no annotations yet, so there is nothing to decide.")
        try:
            if isinstance(answer, dict):
                answer = task.project.names.read(answer, task.ask.get("scheme", ""))
            payload = payloads.resolve(answer, question)
        except payloads.InvalidAnswer as error:
            raise Invalid(error.sentence, field=error.field) from None
        row = Verdict.objects.create(
            project_id=locked.project_id, task=locked, reviewer=by, payload=payload, shown=question.shown, note=note
        )
        concerns.close(task=locked, by=by)
        events.record("task.decided", row, actor=by, project=locked.project)
    return row


def dismiss(*, concern: Concern, by: Person) -> Concern:
    """Close a concern without a change. A task on hold stays on hold: withdraw it, or reopen it.

    Raises:
        Forbidden: it is about the reviewer's own answer.
        Conflict: somebody else closed it first.
    """
    if concern.assignment is not None and concern.assignment.annotator_id == by.pk:
        raise Forbidden(OWN)
    if concern.reason == Concern.Reason.SKIPPED:
        raise Conflict("This task was skipped too often and is suspended. Withdraw or reopen it.")
    if not Concern.objects.filter(pk=concern.pk, closed_at=None).update(closed_at=timezone.now(), closed_by=by):
        raise Conflict("Another reviewer has already handled this.")
    events.record("concern.dismissed", concern, actor=by, project=concern.project)
    concern.refresh_from_db()
    return concern


def doubt_unreliable(since: datetime) -> int:
    """Call `doubt` for annotators with too little agreement or gold accuracy, in projects with annotations since then.

    Returns how many answers went to reviewers' queues. Harmless when two do it at once.
    """
    busy = Project.objects.filter(state=Project.State.OPEN).filter(
        Exists(Annotation.objects.filter(project=OuterRef("pk"), created_at__gte=since))
    )
    count = 0
    for project in busy:
        found = {finding.person for finding in quality(project).findings if finding.check in DOUBTED}
        for person in sorted(found, key=attrgetter("pk")):
            count += doubt(project=project, annotator=person)
    return count


def doubt(*, project: Project, annotator: Person, most: int = MOST_DOUBTED) -> int:
    """Add the newest annotations of an unreliable annotator to the review queue, a few at a time.

    What was looked at once for this reason, or decided about, does not come again. Returns how many came.
    """
    mine = Assignment.objects.filter(project=project, annotator=annotator, counted=True, task__gold__isnull=True)
    doubted = Concern.objects.filter(assignment=OuterRef("pk"), reason=Concern.Reason.UNRELIABLE)
    decided = Review.objects.filter(annotation=OuterRef("current"))
    waiting = Concern.objects.filter(assignment__in=mine, reason=Concern.Reason.UNRELIABLE, closed_at=None).count()
    fresh = mine.exclude(Exists(doubted)).exclude(Exists(decided)).select_related("task").order_by("-pk")
    found = list(fresh[: max(0, most - waiting)])
    for assignment in found:
        concerns.raise_concern(Concern.Reason.UNRELIABLE, assignment.task, assignment)
    return len(found)


def _check_undecided(annotation: Annotation) -> None:
    before = Review.objects.filter(annotation=annotation).select_related("reviewer").first()
    if before is not None:
        done = {"accept": "accepted", "correct": "corrected", "send_back": "sent back"}[before.decision]
        raise Conflict(f"{before.reviewer} {done} this annotation at {before.created_at:%H:%M} UTC.")
