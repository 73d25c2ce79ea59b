"""The thread from an answer to every model it trained, and back."""

from typing import Any

from django.db.models import Count

from feedback.models import Annotation, DatasetSnapshot, ModelVersion, Person, SnapshotAnnotation


def of_model(version: ModelVersion) -> dict[str, Any]:
    """Where a version comes from: each step back with its run, snapshot and what was in it; down to the corpus."""
    steps = []
    seen: set[int] = set()
    waiting: list[ModelVersion | None] = [version]
    while waiting:
        one = waiting.pop(0)
        if one is None or one.pk in seen:
            continue
        seen.add(one.pk)
        run = one.run
        steps.append(
            {
                "version": one,
                "run": run,
                "snapshot": run.snapshot if run else None,
                "annotators": annotators(run.snapshot) if run and run.snapshot else [],
            }
        )
        waiting += [one.parent, run.reward_model if run else None]
    return {"version": version, "steps": steps, "children": list(version.children.order_by("pk"))}


def annotators(snapshot: DatasetSnapshot) -> list[dict[str, Any]]:
    """Who is in a snapshot, with how many annotations, most first."""
    rows = (
        SnapshotAnnotation.objects.filter(snapshot=snapshot)
        .values("annotation__annotator")
        .annotate(annotations=Count("pk"))
        .order_by("-annotations")
    )
    people = Person.objects.in_bulk([row["annotation__annotator"] for row in rows])
    return [{"person": people[row["annotation__annotator"]], "annotations": row["annotations"]} for row in rows]


def of_annotation(annotation: Annotation) -> dict[str, Any]:
    """Every snapshot this annotation is in, and every version trained on those or descended from such a version."""
    snapshots = list(DatasetSnapshot.objects.filter(members__annotation=annotation).order_by("pk"))
    return {"annotation": annotation, "snapshots": snapshots, "versions": trained_on(snapshots)}


def of_person(person: Person) -> dict[str, Any]:
    """Every snapshot and version that this person's annotations are in."""
    snapshots = list(DatasetSnapshot.objects.filter(members__annotation__annotator=person).distinct().order_by("pk"))
    return {"person": person, "snapshots": snapshots, "versions": trained_on(snapshots)}


def trained_on(snapshots: list[DatasetSnapshot]) -> list[ModelVersion]:
    """Versions trained on these snapshots, on a reward model that was, or continued from a version that was."""
    found: dict[int, ModelVersion] = {}
    fresh = list(ModelVersion.objects.filter(run__snapshot__in=snapshots))
    while fresh:
        found |= {version.pk: version for version in fresh}
        fresh = [
            version
            for version in ModelVersion.objects.filter(parent__in=fresh)
            | ModelVersion.objects.filter(run__reward_model__in=fresh)
            if version.pk not in found
        ]
    return sorted(found.values(), key=lambda version: version.pk)
