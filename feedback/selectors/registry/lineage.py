"""Lineage: from an annotation to every model version it trained, and back."""

from datetime import datetime
from operator import attrgetter
from typing import TypedDict

from django.db.models import Count

from feedback.models import Annotation, DatasetSnapshot, ModelVersion, Person, SnapshotAnnotation, TrainingRun


class AnnotatorShare(TypedDict):
    person: Person
    annotations: int


class Step(TypedDict):
    """A version with the run that made it, what it was trained on, and who annotated that."""

    version: ModelVersion
    run: TrainingRun | None
    snapshot: DatasetSnapshot | None
    annotators: list[AnnotatorShare]


class ModelLineage(TypedDict):
    version: ModelVersion
    steps: list[Step]
    children: list[ModelVersion]


class AnnotationLineage(TypedDict):
    annotation: Annotation
    snapshots: list[DatasetSnapshot]
    versions: list[ModelVersion]


class PersonLineage(TypedDict):
    person: Person
    snapshots: list[DatasetSnapshot]
    versions: list[ModelVersion]


def of_model(version: ModelVersion) -> ModelLineage:
    """The ancestors of a version, nearest first, each with its run and snapshot, down to the corpus."""
    steps = []
    for one in ancestors(version):
        step = Step(version=one, run=one.run, snapshot=None, annotators=[])
        if one.run is not None:
            step["snapshot"] = one.run.snapshot
            if one.run.snapshot is not None:
                step["annotators"] = annotators(one.run.snapshot)
        steps.append(step)
    return {"version": version, "steps": steps, "children": list(version.children.order_by("pk"))}


def ancestors(version: ModelVersion) -> list[ModelVersion]:
    """The version, what it began as, and the reward models that it was trained to please; nearest first."""
    found: dict[int, ModelVersion] = {}
    waiting: list[ModelVersion | None] = [version]
    while waiting:
        one = waiting.pop(0)
        if one is None or one.pk in found:
            continue
        found[one.pk] = one
        waiting.append(one.parent)
        if one.run is not None:
            waiting.append(one.run.reward_model)
    return list(found.values())


def annotators(snapshot: DatasetSnapshot) -> list[AnnotatorShare]:
    """The annotators of a snapshot with their numbers of annotations, most first."""
    counts = dict(
        SnapshotAnnotation.objects.filter(snapshot=snapshot)
        .values_list("annotation__annotator")
        .annotate(annotations=Count("pk"))
        .order_by("-annotations")
    )
    people = Person.objects.in_bulk(counts)
    return [AnnotatorShare(person=people[key], annotations=count) for key, count in counts.items()]


def of_annotation(annotation: Annotation, until: datetime | None = None) -> AnnotationLineage:
    """Every snapshot this annotation is in, and every version trained on those or descended from such a version.

    Args:
        until: leaves out snapshots that were requested since then.
    """
    found = DatasetSnapshot.objects.filter(members__annotation=annotation)
    if until is not None:
        found = found.filter(created_at__lt=until)
    snapshots = list(found.order_by("pk"))
    return {"annotation": annotation, "snapshots": snapshots, "versions": trained_on(snapshots)}


def of_person(person: Person) -> PersonLineage:
    """Every snapshot and version that this person's annotations are in."""
    snapshots = list(DatasetSnapshot.objects.filter(members__annotation__annotator=person).distinct().order_by("pk"))
    return {"person": person, "snapshots": snapshots, "versions": trained_on(snapshots)}


def trained_on(snapshots: list[DatasetSnapshot]) -> list[ModelVersion]:
    """Versions trained on these snapshots, on a reward model that was, or continued from a version that was."""
    found: dict[int, ModelVersion] = {}
    fresh = list(ModelVersion.objects.filter(run__snapshot__in=snapshots))
    while fresh:
        for version in fresh:
            found[version.pk] = version
        descended = ModelVersion.objects.filter(parent__in=fresh)
        descended |= ModelVersion.objects.filter(run__reward_model__in=fresh)
        fresh = [version for version in descended if version.pk not in found]
    return sorted(found.values(), key=attrgetter("pk"))
