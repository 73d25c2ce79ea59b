"""Which labels the newest reward model has yet to score, and which it must not: those that its lineage trained on."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from feedback.models import (
    Annotation,
    DatasetSnapshot,
    LabelScore,
    ModelVersion,
    PreferencePair,
    Project,
    SnapshotAnnotation,
)
from feedback.selectors.data.training_queries import HELD

LOOKED_AT = 2000  # newest labels that housekeeping looks at; a job that it asks for looks at all


def newest_reward_model(project: Project) -> ModelVersion | None:
    """The newest reward version that may be used."""
    unfit = (ModelVersion.State.REJECTED, ModelVersion.State.REVOKED)
    versions = ModelVersion.objects.filter(project=project, kind=ModelVersion.Kind.REWARD).exclude(state__in=unfit)
    for version in versions.select_related("run__snapshot").order_by("-number")[:20]:
        if not version.faults:
            return version
    return None


def snapshots_of_lineage(version: ModelVersion) -> list[int]:
    """Keys of the snapshots that the version, its ancestors, and the reward models behind these were trained on."""
    snapshots: set[int] = set()
    seen: set[int] = set()
    waiting: list[int] = [version.pk]
    while waiting:
        seen.update(waiting)
        rows = ModelVersion.objects.filter(pk__in=waiting).values_list(
            "parent", "run__base_model", "run__reward_model", "run__snapshot"
        )
        found: set[int] = set()
        for *models, snapshot in rows:
            found.update(model for model in models if model is not None)
            if snapshot is not None:
                snapshots.add(snapshot)
        waiting = sorted(found - seen)
    return sorted(snapshots)


def begins(version: ModelVersion) -> datetime:
    """Labels since then are live for the version: since its snapshot was requested, which may hold some of them."""
    if version.run is not None and version.run.snapshot is not None:
        return version.run.snapshot.created_at
    return version.created_at


def labels_of(project: Project) -> QuerySet[Annotation]:
    """Annotations with pairs that can train a reward model, revised and withdrawn ones left out."""
    standing = PreferencePair.objects.standing().filter(annotation=OuterRef("pk"))
    labels = Annotation.objects.filter(
        Exists(standing), project=project, task__gold__isnull=True, task__training_round=False
    )
    return labels.exclude(task__prompt__state__in=HELD)


def unscored(version: ModelVersion) -> QuerySet[Annotation]:
    """Live labels of the version that it has not scored and may score, oldest first.

    A label may not be scored if any label of its task is in a snapshot of the version's lineage: it has seen the pair.
    """
    trained_on = SnapshotAnnotation.objects.filter(
        snapshot__in=snapshots_of_lineage(version), annotation__task=OuterRef("task")
    )
    scored = LabelScore.objects.filter(reward_version=version, annotation=OuterRef("pk"))
    labels = labels_of(version.project).filter(created_at__gte=begins(version))
    return labels.exclude(Exists(scored)).exclude(Exists(trained_on)).order_by("pk")


def next_batch(version: ModelVersion, *, after: int, limit: int) -> list[Annotation]:
    """The next labels to score with key above `after`, with their task, prompt and standing pairs."""
    rows = unscored(version).filter(pk__gt=after).select_related("task", "task__prompt")
    return list(rows[:limit])


def pairs_of(labels: Sequence[Annotation]) -> QuerySet[PreferencePair]:
    """The standing pairs of labels, with both texts."""
    pairs = PreferencePair.objects.standing().filter(annotation__in=labels)
    return pairs.select_related("chosen", "rejected").order_by("pk")


def waits(project: Project, *, up_to: int | None = None) -> bool:
    """Whether a label waits to be scored, with key up to `up_to`."""
    version = newest_reward_model(project)
    if version is None:
        return False
    rows = unscored(version)
    if up_to is not None:
        rows = rows.filter(pk__lte=up_to)
    return rows.exists()


def waits_among_newest(project: Project) -> bool:
    """As `waits`, of the newest `LOOKED_AT` labels: what housekeeping can afford every few seconds."""
    version = newest_reward_model(project)
    if version is None:
        return False
    newest = Annotation.objects.filter(project=project).order_by("-pk").values_list("pk", flat=True)[:LOOKED_AT]
    keys = list(newest)
    return bool(keys) and unscored(version).filter(pk__gte=keys[-1]).exists()


def unknown_in(snapshot: DatasetSnapshot) -> int:
    """Labels in a snapshot that no reward version has scored, although one was there when they came."""
    version = newest_reward_model(snapshot.project)
    if version is None:
        return 0
    held = SnapshotAnnotation.objects.filter(snapshot=snapshot).values("annotation")
    return (
        unscored(version)
        .filter(pk__in=held)
        .exclude(Exists(LabelScore.objects.filter(annotation=OuterRef("pk"))))
        .count()
    )
