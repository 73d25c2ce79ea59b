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
    found: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    live = Assignment.objects.filter(task__in=tasks, state__in=Assignment.LIVE)
    for row in live.values("task_id", "state", "counted").annotate(n=Count("pk")):
        if row["state"] == Assignment.State.HELD:
            kind = "held"
        elif row["counted"]:
            kind = "counted"
        else:
            kind = "extra"
        found[row["task_id"]][kind] += row["n"]
    return [TaskRow(task, found[task.pk]["counted"], found[task.pk]["held"], found[task.pk]["extra"]) for task in tasks]


def assignments_of(task: Task) -> list[tuple[Assignment, AnnotationRow | None]]:
    """The assignments of a task with their annotations."""
    rows = task.assignments.select_related("annotator", "current__assignment", "current__task").order_by("pk")
    order = response_order(task)
    return [(row, in_words(row.current, order) if row.current else None) for row in rows]


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
    payloads = [names.read(row.current.payload) for row in rows if row.current and row.current.payload]
    order = response_order(task)
    counts = Counter(describe(task.kind, payload, order) for payload in payloads)
    agreed = consensus.majority(task.kind, payloads) if len(payloads) > 1 else None
    return Together(
        answers=len(payloads),
        counts=counts.most_common(),
        consensus=describe(task.kind, agreed, order) if agreed else "",
        apart=consensus.disagree(task.kind, payloads),
    )


def response_order(task: Task) -> list[str]:
    """Public ids of the task's responses in its own order; a reader's letters follow it, not what an annotator saw."""
    return [str(key) for key in task.placed.order_by("position").values_list("response__public_id", flat=True)]


def right_answer(task: Task, order: list[str]) -> str:
    """What is known to be right, in words. How much better is no part of it."""
    gold = task.project.names.read(task.gold or {})
    return describe(task.kind, {name: value for name, value in gold.items() if name != "strength"}, order)
