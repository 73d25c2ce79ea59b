"""The K slots of a task: taken in one statement, given back, counted. Exactly K, whatever everybody does at once.

The database refuses a second holder of a slot. Call these while holding the task's row lock, which `lock` takes: the
task first, then the assignment, the one order everywhere, so that no two of them wait for each other.
"""

from typing import Any

from django.db.models import BooleanField, Case, Count, Exists, F, Model, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from feedback.db.compiled_queries import CompiledSelect, CompiledUpdate, Param
from feedback.errors import NotHeld
from feedback.models import Annotation, Assignment, Draft, Exclusion, GuidelineVersion, PreferencePair, Task
from feedback.selectors.collection.blindness import authors_readable, has_a_hand_in, reviews
from feedback.services.evaluation import contest_votes
from feedback.services.quality import concerns

State = Assignment.State

REVISIONS = Annotation.objects.filter(assignment=OuterRef("pk")).order_by("-revision")
GUIDELINES = GuidelineVersion.objects.filter(project=OuterRef("project")).order_by("-number")
READS_AUTHORS = Case(
    When(Q(annotator__is_site_admin=True) | reviews("project", "annotator"), then=True),
    When(Q(task__prompt__conversation__isnull=False), then=False),  # who talks is answered by letter
    When(
        authors_readable(F("annotator"), "task__prompt__") | Q(has_a_hand_in(OuterRef("annotator"), "task")), then=True
    ),
    default=False,
    output_field=BooleanField(),
)
lock_task = CompiledSelect(lambda: Task.objects.select_for_update().filter(pk=Param("task")))
lock_assignment = CompiledSelect(
    lambda: (
        Assignment.objects.select_for_update(of=("self",))
        .select_related("current")
        .annotate(
            revisions=Coalesce(Subquery(REVISIONS.values("revision")[:1]), 0),
            guidelines=Subquery(GUIDELINES.values("pk")[:1]),
            has_draft=Exists(Draft.objects.filter(assignment=OuterRef("pk"))),
            reads_authors=READS_AUTHORS,
        )
        .filter(pk=Param("assignment"))
    )
)
select_taken = CompiledSelect(
    lambda: Assignment.objects.filter(task=Param("task"), state__in=Assignment.LIVE).values_list("slot")
)
COUNTED = Assignment.objects.filter(task=OuterRef("pk"), counted=True).order_by().values("task")
settle_if_complete = CompiledUpdate(
    lambda: Task.objects.filter(
        pk=Param("task"),
        state__in=[Task.State.OPEN, Task.State.ASIDE],
        annotations_wanted__lte=Subquery(COUNTED.annotate(number=Count("pk")).values("number")),
    ),
    state=Task.State.SETTLED,
)


def lock(assignment: Assignment) -> tuple[Task, Any]:
    """The task's row, then the assignment's, both locked. What does not change is taken from `assignment` if it has it:
    the project, the annotator and the prompt. The assignment also tells how many `revisions` it has, which `guidelines`
    are the newest (a key), whether it `has_draft`, and whether its annotator `reads_authors` of what they judge."""
    (task,) = lock_task.all(task=assignment.task_id)
    (held,) = lock_assignment.all(assignment=assignment.pk)
    _carry(assignment, held, "project", "annotator")
    if "task" in assignment._state.fields_cache:
        _carry(assignment.task, task, "prompt")
    held.task = task
    return task, held


def _carry(known: Model, fresh: Model, *names: str) -> None:
    """Rows that `known` refers to and has at hand, so that they are not read again."""
    for name in names:
        if name in known._state.fields_cache:
            setattr(fresh, name, getattr(known, name))


def take_slot(task: Task) -> bool:
    """One statement takes one slot, or nothing. Tasks without K have room for everybody."""
    if task.annotations_wanted is None:
        return task.state == Task.State.OPEN
    free = Task.objects.open().filter(pk=task.pk, free_slots__gt=0)
    return bool(free.update(free_slots=F("free_slots") - 1))


def lowest_free_slot(task: Task) -> int | None:
    """The slot's number (1 to K) for a slot just taken."""
    if task.annotations_wanted is None:
        return None
    if task.annotations_wanted == 1:
        return 1
    taken = {slot for (slot,) in select_taken.all(task=task.pk)}
    return next(slot for slot in range(1, task.annotations_wanted + 1) if slot not in taken)


def extras() -> QuerySet[Assignment]:
    """Answers beyond the K that may fill a place; those of people who are excluded may not."""
    out = Exclusion.objects.filter(project=OuterRef("project"), person=OuterRef("annotator"), lifted_at=None)
    return Assignment.objects.filter(state=State.SUBMITTED, counted=False, slot=None).exclude(Exists(out))


def free_slot(task: Task) -> None:
    """Give a slot back. An extra answer that is already there fills it; not in a contest, where extras are no votes."""
    if task.annotations_wanted is None:
        return
    if task.contest_id is not None:
        if contest_votes.wants_votes(task):
            Task.objects.filter(pk=task.pk).update(free_slots=F("free_slots") + 1)
        return
    extra = extras().filter(task=task).order_by("pk").first()
    if extra is not None:
        Assignment.objects.filter(pk=extra.pk).update(counted=True, slot=lowest_free_slot(task))
        settle(task)
        return
    Task.objects.filter(pk=task.pk).update(free_slots=F("free_slots") + 1)
    Task.objects.filter(pk=task.pk, state=Task.State.SETTLED).update(state=Task.State.OPEN)


def settle(task: Task) -> None:
    """Settled when it has all the counted answers it wants; if they disagree, a reviewer is called on to decide."""
    wanted = task.annotations_wanted
    if wanted is not None and settle_if_complete(task=task.pk) and wanted > 1:
        concerns.raise_disagreement(task)


def take_out(task: Task, held: Assignment, to: str, skip_reason: str = "") -> None:
    """The current annotation no longer counts or trains; its slot is free again."""
    if held.current is None:
        raise NotHeld
    close_pairs(held.current)
    if task.contest_id is not None:
        contest_votes.remove(task, held.current)
    had_slot = held.slot is not None
    held.state, held.slot, held.counted, held.current, held.skip_reason = to, None, False, None, skip_reason
    held.save(update_fields=["state", "slot", "counted", "current", "skip_reason"])
    if had_slot:
        free_slot(task)


def close_pairs(annotation: Annotation) -> None:
    """Preference pairs of this annotation are no longer used for training."""
    PreferencePair.objects.filter(annotation=annotation, closed_at=None).update(closed_at=timezone.now())
