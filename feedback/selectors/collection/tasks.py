"""Tasks with figures for each, and what the annotations of one come to."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from feedback.models import Assignment, Project, Task
from feedback.rules.collection import consensus
from feedback.rules.collection.payloads import describe
from feedback.selectors.collection.annotations import AnnotationRow, in_words


@dataclass(frozen=True)
class TaskRow:
    """`counted` of `wanted` (None: everybody may answer once); `held` now; `extra` answers beyond K."""

    task: Task
    counted: int
    held: int
    extra: int

    @property
    def wanted(self) -> int | None:
        return self.task.annotations_wanted


def tasks_of(project: Project, state: str = "") -> QuerySet[Task]:
    rows = Task.objects.filter(project=project).select_related("prompt")
    if state in Task.State.values:
        return rows.filter(state=state)
    return rows


def with_progress(tasks: Sequence[Task]) -> list[TaskRow]:
    found: dict[int, Counter[str]] = defaultdict(Counter)
    live = Assignment.objects.filter(task__in=tasks, state__in=Assignment.LIVE)
    for row in live.values("task_id", "state", "counted").annotate(n=Count("pk")):
        if row["state"] == Assignment.State.HELD:
            kind = "held"
        elif row["counted"]:
            kind = "counted"
        else:
            kind = "extra"
        found[row["task_id"]][kind] += row["n"]
    rows = []
    for task in tasks:
        counts = found[task.pk]
        rows.append(TaskRow(task, counts["counted"], counts["held"], counts["extra"]))
    return rows


def assignments_of(task: Task) -> list[tuple[Assignment, AnnotationRow | None]]:
    """The assignments of a task with their annotations."""
    rows = task.assignments.select_related("annotator", "current__assignment", "current__task").order_by("pk")
    order = response_order(task)
    found: list[tuple[Assignment, AnnotationRow | None]] = []
    for row in rows:
        if row.current is None:
            found.append((row, None))
        else:
            found.append((row, in_words(row.current, order)))
    return found


@dataclass(frozen=True)
class Together:
    """What all standing answers to one task say: how many each, and what they come to (nothing without a majority)."""

    answers: int
    counts: list[tuple[str, int]]
    consensus: str
    apart: bool  # they differ in what matters


def together(task: Task) -> Together:
    """Of the answers that count and of the extras, in the letters of the task's own order."""
    rows = task.assignments.filter(state=Assignment.State.SUBMITTED, current__isnull=False).select_related("current")
    names = task.project.names
    payloads = []
    for row in rows:
        if row.current is not None and row.current.payload:
            payloads.append(names.read(row.current.payload))
    order = response_order(task)
    counts = Counter(describe(task.kind, payload, order) for payload in payloads)
    agreed = ""
    if len(payloads) > 1 and (majority := consensus.majority(task.kind, payloads)):
        agreed = describe(task.kind, majority, order)
    return Together(len(payloads), counts.most_common(), agreed, apart=consensus.disagree(task.kind, payloads))


def response_order(task: Task) -> list[str]:
    """Public ids of the task's responses in its own order; a reader's letters follow it, not what an annotator saw."""
    return list(map(str, task.placed.order_by("position").values_list("response__public_id", flat=True)))


def right_answer(task: Task, order: list[str]) -> str:
    """What is known to be right, in words. How much better is no part of it."""
    gold = dict(task.project.names.read(task.gold or {}))
    gold.pop("strength", None)
    return describe(task.kind, gold, order)
