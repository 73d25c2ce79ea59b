"""Concerns: what a reviewer should look at, recorded by the services that flag, skip, settle and import."""

from django.utils import timezone

from feedback.models import Assignment, Concern, Person, Project, Task
from feedback.rules.collection.consensus import disagree
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.queue_policy import QueuePolicy
from feedback.rules.data.seeds import stable_seed

SAMPLE_BITS = 32


def raise_concern(reason: str, task: Task, assignment: Assignment | None = None) -> None:
    """Record a concern, unless one is open for the same task, annotation and reason."""
    concern = Concern(
        project_id=task.project_id,
        task=task,
        assignment=assignment,
        reason=reason,
        rank=Concern.RANK[Concern.Reason(reason)],
    )
    Concern.objects.bulk_create([concern], ignore_conflicts=True)


def raise_disagreement(task: Task) -> None:
    """Record a concern if the counted annotations of a task that has just been settled disagree."""
    payloads = Assignment.objects.filter(task=task, counted=True).values_list("current__payload", flat=True)
    given = list(payloads)
    if KINDS[task.kind].uses_names:
        given = list(map(task.project.names.read, given))
    if disagree(task.kind, given):
        raise_concern(Concern.Reason.DISAGREEMENT, task)


def draw_sample(project: Project, task: Task, assignment: Assignment) -> None:
    """Draw a share of annotations for review. The draw follows from the id, so that nobody chooses."""
    share = QueuePolicy.of(project.queue_policy).review_share
    if share and stable_seed("review", assignment.public_id, bits=SAMPLE_BITS) < share * (1 << SAMPLE_BITS):
        raise_concern(Concern.Reason.SAMPLE, task, assignment)


def close(*, task: Task, by: Person, assignment: Assignment | None = None) -> int:
    """Close concerns after a decision about one annotation, or about the task as a whole."""
    open_ones = Concern.objects.filter(task=task, assignment=assignment, closed_at=None)
    return open_ones.update(closed_at=timezone.now(), closed_by=by)
