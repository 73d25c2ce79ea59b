"""Lists of prompts, tasks and annotations: a page of rows with figures for each."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, QuerySet

from feedback.models import Annotation, Assignment, Job, Person, Project, Prompt, Response, Task
from feedback.rules.collection import consensus
from feedback.rules.collection.payloads import LETTERS, describe

RECENT = 2_000
WANTED = (Response.State.QUEUED, Response.State.RUNNING)


# --- prompts -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PromptRow:
    prompt: Prompt
    ready: int
    awaited: int
    failed: int
    tasks: int


def prompts_of(project: Project) -> QuerySet[Prompt]:
    return Prompt.objects.filter(project=project)


def narrowed(prompts: QuerySet[Prompt], chosen: dict[str, Any]) -> QuerySet[Prompt] | None:
    """Prompts with the chosen state, split, source, group and text; None when nothing is chosen."""
    equal = {name: chosen[name] for name in ("state", "split", "source", "group") if chosen.get(name)}
    if chosen.get("q"):
        # The column is JSON text: a quotation mark or a letter beyond ASCII is escaped in it.
        equal["messages__icontains"] = chosen["q"]
    if equal:
        return prompts.filter(**equal)
    return None


def with_figures(prompts: Sequence[Prompt]) -> list[PromptRow]:
    """Add figures to a page of prompts, with two queries."""
    states: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    counted = Response.objects.filter(prompt__in=prompts).values("prompt_id", "state").annotate(n=Count("pk"))
    for row in counted:
        states[row["prompt_id"]][row["state"]] += row["n"]
    tasks = dict(
        Task.objects.filter(prompt__in=prompts)
        .values("prompt_id")
        .annotate(n=Count("pk"))
        .values_list("prompt_id", "n")
    )
    return [
        PromptRow(
            prompt=prompt,
            ready=states[prompt.pk][Response.State.READY],
            awaited=sum(states[prompt.pk][state] for state in WANTED),
            failed=states[prompt.pk][Response.State.FAILED],
            tasks=tasks.get(prompt.pk, 0),
        )
        for prompt in prompts
    ]


def recent_sources(project: Project) -> list[str]:
    """Sources among the newest prompts: suggestions for the filter, not all there are."""
    newest = prompts_of(project).order_by("-pk").values_list("source", flat=True)[:RECENT]
    return sorted({source for source in newest if source})[:40]


def responses_to(prompt: Prompt) -> list[Response]:
    return list(prompt.responses.select_related("model_version__project", "author", "job").order_by("pk"))


def generation_job(project: Project) -> Job | None:
    """The job that generates the awaited responses."""
    jobs = Job.objects.filter(project=project, kind=Job.Kind.GENERATION)
    return jobs.filter(status__in=Job.ACTIVE).order_by("-pk").first() or jobs.order_by("-pk").first()


# --- tasks ---------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class AnnotationRow:
    """An annotation in words, with its state."""

    annotation: Annotation
    words: str
    dimensions: list[tuple[str, str]] = field(default_factory=list)
    reason: str = ""
    current: bool = True
    counted: bool = False

    @property
    def standing(self) -> str:
        if not self.current:
            return "superseded"
        if self.annotation.withdrawn:
            return "withdrawn"
        if self.counted:
            return "counted"
        if self.annotation.late:
            return "late, extra"
        return "extra"


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


# --- annotations ---------------------------------------------------------------------------------


def annotations_of(project: Project, annotator: Person | None = None, task: Task | None = None) -> QuerySet[Annotation]:
    rows = Annotation.objects.filter(project=project)
    if annotator is not None:
        rows = rows.filter(annotator=annotator)
    if task is not None:
        rows = rows.filter(task=task)
    return rows.select_related("annotator", "assignment", "task__prompt", "task__project", "guideline")


def annotation_rows(annotations: Sequence[Annotation]) -> list[AnnotationRow]:
    """Annotations in words, in the letters that each annotator saw."""
    return [in_words(annotation, annotation.shown) for annotation in annotations]


def right_answer(task: Task, order: list[str]) -> str:
    """What is known to be right, in words. How much better is no part of it."""
    gold = task.project.names.read(task.gold or {})
    return describe(task.kind, {name: value for name, value in gold.items() if name != "strength"}, order)


def in_words(annotation: Annotation, order: list[str]) -> AnnotationRow:
    payload = annotation.task.project.names.read(annotation.payload or {})
    letter_of = {key: LETTERS[place].upper() for place, key in enumerate(order[: len(LETTERS)])}
    return AnnotationRow(
        annotation=annotation,
        words="withdrawn" if annotation.withdrawn else describe(annotation.kind, payload, order),
        dimensions=[
            (name, "same" if chosen == "same" else letter_of.get(str(chosen), "?"))
            for name, chosen in (payload.get("dimensions") or {}).items()
        ],
        reason=str(payload.get("reason") or ""),
        current=annotation.assignment.current_id == annotation.pk,
        counted=annotation.assignment.counted and annotation.assignment.current_id == annotation.pk,
    )


def revisions(annotation: Annotation) -> list[AnnotationRow]:
    """All revisions of the same person on the same task, newest first."""
    rows = annotation.assignment.annotations.select_related("assignment", "annotator", "guideline")
    return annotation_rows(list(rows.order_by("-revision")))


def shown_responses(annotation: Annotation) -> list[tuple[str, Response | None]]:
    """Responses by the letter under which this annotator saw them."""
    found = {str(row.public_id): row for row in Response.objects.filter(public_id__in=annotation.shown)}
    return [(LETTERS[place].upper(), found.get(key)) for place, key in enumerate(annotation.shown[: len(LETTERS)])]


def in_order_of(annotation: Annotation, others: Sequence[Annotation]) -> list[AnnotationRow]:
    """What others stated to the same task, in the letters of this annotation, so that they can be compared."""
    return [in_words(other, annotation.shown) for other in others]
