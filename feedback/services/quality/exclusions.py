"""Exclusions: leave out the annotations of people who are flagged for pace or gold, and lift that.

K counts submissions, so an exclusion changes no task by itself: an admin reopens what it leaves unfilled.
"""

import logging
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from feedback.errors import Conflict, ProjectClosed
from feedback.models import Annotation, Assignment, Exclusion, Person, Project, Task
from feedback.selectors.quality import exclusions
from feedback.services.collection import task_slots
from feedback.services.platform import events

log = logging.getLogger(__name__)

CHUNK = 200  # tasks in one transaction


def exclude_careless(project: Project) -> list[Exclusion]:
    """Exclude annotators who are flagged for pace or gold. Of two callers at once, one creates the row.

    Returns:
        The exclusions that this call made.
    """
    made = []
    for found in exclusions.careless(project):
        try:
            with transaction.atomic():
                row = Exclusion.objects.create(
                    project=project,
                    person_id=found.person,
                    reason=found.reason,
                    hits=found.hits,
                    looked_at=found.looked_at,
                    round=found.round,
                    since=timezone.now(),
                )
                events.record("exclusion.made", row, actor=None, person=row.person.public_id, reason=row.reason)
        except IntegrityError:  # somebody else made this round's, and it may have been lifted since
            log.info("an exclusion in project %s was made by somebody else", project.slug)
            continue
        made.append(row)
    return made


def exclude_where_busy(since: datetime) -> int:
    """Call `exclude_careless` for every open project with annotations since then. Returns the number of exclusions."""
    fresh = Annotation.objects.filter(project=OuterRef("pk"), created_at__gte=since)
    busy = Project.objects.exclude(state=Project.State.CLOSED).filter(Exists(fresh))
    return sum(len(exclude_careless(project)) for project in busy)


def lift(*, by: Person, exclusion: Exclusion) -> Exclusion:
    """Lift an exclusion. The person is judged by what they submit from now on.

    Raises:
        Conflict: somebody lifted it before.
    """
    with transaction.atomic():
        rows = Exclusion.objects.filter(pk=exclusion.pk, lifted_at=None)
        if not rows.update(lifted_at=timezone.now(), lifted_by=by):
            raise Conflict("This exclusion was already lifted. Reload the page.")
        events.record("exclusion.lifted", exclusion, actor=by, person=exclusion.person.public_id)
    exclusion.refresh_from_db()
    return exclusion


def reopen_tasks(*, by: Person, exclusion: Exclusion) -> int:
    """Open the slots of excluded annotations for others. The annotations stay as extras.

    Some tasks at a time, each once: pressed twice at the same moment, the second press finds nothing left.

    Returns:
        How many tasks have a free place again.

    Raises:
        Conflict: the exclusion was lifted.
        ProjectClosed: the project gives no tasks out any more.
    """
    if exclusion.project.state == Project.State.CLOSED:
        raise ProjectClosed("The project is closed, so tasks cannot be reopened. Open the project first.")
    if exclusion.lifted_at is not None:
        raise Conflict("This exclusion was lifted, so its annotations count again.")
    wanted = list(exclusions.fills(exclusion).order_by("task_id").values_list("task_id", flat=True))
    count = 0
    for start in range(0, len(wanted), CHUNK):
        with transaction.atomic():
            count += _free(exclusion, wanted[start : start + CHUNK])
    if count:
        events.record("exclusion.tasks_reopened", exclusion, actor=by, tasks=count)
    return count


def _free(exclusion: Exclusion, keys: list[int]) -> int:
    tasks = {task.pk: task for task in Task.objects.select_for_update().filter(pk__in=keys).order_by("pk")}
    if not Exclusion.objects.filter(pk=exclusion.pk, lifted_at=None).exists():
        return 0  # lifted while this went on: what is reopened by now stays so
    filled = exclusions.fills(exclusion).filter(task__in=tasks)
    freed = list(filled.values_list("task_id", flat=True))
    Assignment.objects.filter(pk__in=list(filled.values_list("pk", flat=True))).update(counted=False, slot=None)
    with_extras = set(task_slots.extras().filter(task__in=freed).values_list("task_id", flat=True))
    for key in with_extras:
        task_slots.free_slot(tasks[key])
    plain = Task.objects.filter(pk__in=set(freed) - with_extras)
    plain.update(free_slots=F("free_slots") + 1)
    plain.filter(state=Task.State.SETTLED).update(state=Task.State.OPEN)
    return len(freed)
