"""A person's own page: tokens, and figures of their annotations."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, F, Max, Q
from django.db.models.query import QuerySet
from django.utils import timezone

from feedback.errors import NotFound
from feedback.models import (
    Annotation,
    ApiToken,
    Assignment,
    ModelVersion,
    Person,
    Project,
    SnapshotAnnotation,
)
from feedback.rules.collection.kinds.registry import KINDS
from feedback.selectors.platform.access import Viewer, projects_for
from feedback.selectors.quality import exclusions


@dataclass(frozen=True)
class OwnFigures:
    """Figures of a person in a project."""

    project: Project
    total: int
    today: int
    this_week: int
    seconds_median: float | None
    last_at: datetime | None
    trained: list[tuple[ModelVersion, int]]
    checks: int = 0  # checks answered last week (Monday to Sunday, UTC): a total only, so that none can be guessed
    checks_right: int = 0
    set_aside: bool = False  # an admin is to look at their annotations before they are used


class Counts(NamedTuple):
    """Counts of a person's first annotations in a project, and the time of the last."""

    total: int = 0
    today: int = 0
    this_week: int = 0
    last_at: datetime | None = None


def tokens(person: Person) -> QuerySet[ApiToken]:
    """Live tokens first, newest first."""
    return person.tokens.select_related("project").order_by("revoked_at", "-id")


def answers(project: Project, person: Person) -> QuerySet[Annotation]:
    """Current annotations of this person in a project: the last revision of each."""
    mine = Annotation.objects.filter(project=project, annotator=person, assignment__current=F("pk"))
    return mine.select_related("assignment__task__prompt", "assignment__project", "assignment__current", "task__prompt")


def may_revise(annotation: Annotation) -> bool:
    """Not in the training round, where what is right was reported; a talk is revised within it."""
    return not (annotation.withdrawn or annotation.task.training_round or KINDS[annotation.kind].has_own_page)


def revisable(project: Project, person: Person, key: str) -> Assignment:
    """An annotation of the person, for a revision.

    Raises:
        NotFound: it is nobody's, somebody else's, or not to be changed at the desk.
    """
    try:
        wanted = uuid.UUID(key)
    except ValueError:
        raise NotFound from None
    found = answers(project, person).filter(assignment__public_id=wanted).first()
    if found is None or not may_revise(found):
        raise NotFound
    return found.assignment


def figures(person: Person) -> list[OwnFigures]:
    """Figures by project; projects without annotations have zeros."""
    now = timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    standing = Annotation.objects.filter(annotator=person, withdrawn=False, revision=1)
    rows = standing.values("project").annotate(
        total=Count("id"),
        today=Count("id", filter=Q(created_at__gte=midnight)),
        this_week=Count("id", filter=Q(created_at__gte=now - timedelta(days=7))),
        last_at=Max("created_at"),
    )
    counts: dict[int, Counts] = {}
    for key, *counted in rows.values_list("project", "total", "today", "this_week", "last_at"):
        counts[key] = Counts(*counted)
    projects = projects_for(Viewer(person)).filter(Q(memberships__person=person) | Q(pk__in=counts)).distinct()
    return [_figures(person, project, counts.get(project.pk, Counts())) for project in projects.order_by("name")]


def _figures(person: Person, project: Project, counts: Counts) -> OwnFigures:
    recent = sorted(
        Annotation.objects.filter(annotator=person, project=project, seconds__gt=0)
        .order_by("-id")
        .values_list("seconds", flat=True)[:50]
    )
    median: float | None = None
    if recent:
        median = recent[len(recent) // 2]
    checks: list[bool] = []
    trained: list[tuple[ModelVersion, int]] = []
    if counts.total:
        checks, trained = _checks_last_week(person, project), _trained(person, project)
    return OwnFigures(
        project=project,
        total=counts.total,
        today=counts.today,
        this_week=counts.this_week,
        seconds_median=median,
        last_at=counts.last_at,
        trained=trained,
        checks=len(checks),
        checks_right=sum(checks),
        set_aside=exclusions.of_person(project, person) is not None,
    )


def _checks_last_week(person: Person, project: Project) -> list[bool]:
    """Whether each check answered in the last whole week was right. The training round was shown already."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    rows = Annotation.objects.filter(
        annotator=person,
        project=project,
        revision=1,
        created_at__gte=monday - timedelta(days=7),
        created_at__lt=monday,
        task__gold__isnull=False,
        task__training_round=False,
        assignment__current__isnull=False,
    )
    judged = []
    for payload, gold in rows.values_list("assignment__current__payload", "task__gold"):
        right = project.names.right(payload, gold or {})
        if right is not None:
            judged.append(right)
    return judged


def _trained(person: Person, project: Project, limit: int = 5) -> list[tuple[ModelVersion, int]]:
    """The newest model versions trained on this person's annotations, with their numbers."""
    by_snapshot = dict(
        SnapshotAnnotation.objects.filter(annotation__annotator=person, snapshot__project=project)
        .values_list("snapshot")
        .annotate(n=Count("id"))
        .order_by("-snapshot")[:20]
    )
    versions = ModelVersion.objects.filter(project=project, run__snapshot__in=by_snapshot).select_related("run")
    trained = []
    for version in versions.order_by("-id")[:limit]:
        if version.run is not None and version.run.snapshot_id is not None:
            trained.append((version, by_snapshot[version.run.snapshot_id]))
    return trained
