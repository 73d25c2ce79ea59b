"""The task on an annotator's desk, and their progress."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone

from feedback.models import (
    Annotation,
    Assignment,
    Contest,
    GuidelineVersion,
    Membership,
    Person,
    Project,
    Response,
    Task,
)
from feedback.rules.collection import label_schemes
from feedback.rules.collection.payloads import LETTERS, PROMPT, unresolve
from feedback.rules.collection.queue_policy import SKIP_REASONS, QueuePolicy

UNDO_MINUTES = 60
TASK_COUNTS = (1000, 100, 10, 1, 0)  # in how many sizes annotators are shown the number of open tasks


@dataclass(frozen=True)
class Progress:
    """An annotator's day in a project. `seconds` is the time spent on today's answers."""

    today: int
    seconds: float


def payload(assignment: Assignment) -> dict[str, Any]:
    """What an annotator may see of a task.

    Blind: responses go by the letters a, b, … in the order shown; no response id, author, model, time or sampling.
    For labels and spans, `scheme` says what can be chosen, `on` whether the prompt or response a is meant, and `text`
    is what offsets count in.
    """
    task = assignment.task
    project = assignment.project
    texts = assignment.texts
    if texts is None:
        texts = dict(Response.objects.filter(pk__in=assignment.order).values_list("pk", "text"))
    draft = getattr(assignment, "draft", None)
    scheme_name, names = task.ask.get("scheme", ""), project.names
    scheme = project.label_scheme.get(scheme_name)
    on = text = draft_payload = suggestion = None
    if scheme and assignment.order:
        on, text = LETTERS[0], texts[assignment.order[0]]
    elif scheme:
        on, text = PROMPT, task.prompt.text
    if draft is not None:
        draft_payload = names.read(draft.payload, scheme_name)
    if task.suggestion:
        suggestion = _suggested(names.read(task.suggestion, scheme_name))
    return {
        "id": str(assignment.public_id),
        "kind": task.kind,
        "project": project.slug,
        "state": assignment.state,
        "ahead": assignment.ahead,
        "held_until": assignment.held_until.isoformat(),
        "prompt": task.prompt.messages,
        "responses": [{"letter": LETTERS[place], "text": texts[key]} for place, key in enumerate(assignment.order)],
        "dimensions": project.dimensions,
        "scheme": label_schemes.complete(scheme) if scheme else None,
        "on": on,
        "text": text,
        "asks_reason": project.asks_reason,
        "number_sends": project.number_sends,
        "skip_reasons": list(SKIP_REASONS),
        "draft": draft_payload,
        "suggestion": suggestion,
        "answer": _answer(assignment),
        "training_round": task.training_round,
        "sent_back": assignment.sent_back,
    }


def _suggested(suggestion: dict[str, Any]) -> dict[str, Any]:
    return {"spans": suggestion["spans"]}


def _answer(assignment: Assignment) -> dict[str, Any] | None:
    """The current answer in the letters that its annotator saw, for a revision."""
    if assignment.current is None or assignment.current.withdrawn:
        return None
    payload = assignment.project.names.read(assignment.current.payload)
    return unresolve(assignment.task.kind, payload, assignment.current.shown)


def undoable(project: Project, person: Person) -> Assignment | None:
    """The last annotation of this person, if it is recent enough to be undone."""
    last = (
        Annotation.objects.filter(project=project, annotator=person, client__in=["web", "api"])
        .select_related("task", "assignment__task__prompt", "assignment__project", "assignment__current")
        .order_by("-id")
        .first()
    )
    if last is None or last.withdrawn or last.created_at < timezone.now() - timedelta(minutes=UNDO_MINUTES):
        return None
    if last.task.training_round:  # what is right was reported
        return None
    assignment = last.assignment
    if assignment.annotator_id == person.pk and assignment.current_id == last.pk:
        return assignment
    return None


def progress(project: Project, person: Person, now: datetime | None = None) -> Progress:
    """Annotations of today (UTC). Revisions do not count again."""
    now = now or timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    mine = Annotation.objects.filter(project=project, annotator=person, revision=1, created_at__gte=midnight)
    today = mine.aggregate(count=Count("id"), seconds=Sum("seconds"))
    return Progress(today=today["count"], seconds=today["seconds"] or 0.0)


def daily_limit(project: Project, person: Person) -> int | None:
    """How many answers a day this person may give here: their own limit, else the project's; None for no limit."""
    member = Membership.objects.filter(project=project, person=person).only("daily_limit").first()
    own = member.daily_limit if member else None
    if own is not None:
        return own
    return QueuePolicy.of(project.queue_policy).daily_limit


def guidelines(project: Project) -> GuidelineVersion | None:
    return GuidelineVersion.objects.filter(project=project).order_by("-number").first()


def unread_guidelines(project: Project, person: Person) -> GuidelineVersion | None:
    """The newest guidelines, if this member has not confirmed reading them."""
    newest = guidelines(project)
    member = Membership.objects.filter(project=project, person=person).only("guidelines_read_id").first()
    if newest and member and member.guidelines_read_id != newest.pk:
        return newest
    return None


def in_own_order(task: Task) -> Assignment:
    """An unsaved assignment of the task in its own order, for a reviewer who decides or sets gold."""
    order = list(task.placed.order_by("position").values_list("response_id", flat=True))
    assignment = Assignment(task=task, project=task.project, order=order, held_until=timezone.now())
    assignment._state.fields_cache["draft"] = None
    return assignment


def open_tasks(project: Project) -> int:
    """About how many tasks wait for annotators: the largest of 1,000, 100, 10, 1 and 0 that there are.

    Not exactly: tasks of a contest are made as others are handed out, so their number hardly falls. Annotators who saw
    a number fall by one, or stay, would know which kind they were just given.
    """
    waiting = Task.objects.with_free_slots().filter(project=project).values_list("pk", flat=True)
    number = len(waiting[: TASK_COUNTS[0]])
    if not number:
        running = Task.objects.of_contests().filter(project=project, contest__state=Contest.State.RUNNING)
        number = len(running.values_list("pk", flat=True)[:1])
    return next(count for count in TASK_COUNTS if number >= count)
