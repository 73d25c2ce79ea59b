"""Annotations in words: those of a project, of a person, and all revisions of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from feedback.models import Annotation, Person, Project, Response, Task
from feedback.rules.collection.payloads import LETTERS, describe


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


def in_words(annotation: Annotation, order: list[str]) -> AnnotationRow:
    payload = annotation.task.project.names.read(annotation.payload or {})
    words = "withdrawn"
    if not annotation.withdrawn:
        words = describe(annotation.kind, payload, order)
    letter_of = {"same": "same"} | dict(zip(order, LETTERS.upper(), strict=False))
    dimensions = []
    for name, chosen in (payload.get("dimensions") or {}).items():
        dimensions.append((name, letter_of.get(str(chosen), "?")))
    is_current = annotation.assignment.current_id == annotation.pk
    return AnnotationRow(
        annotation=annotation,
        words=words,
        dimensions=dimensions,
        reason=str(payload.get("reason") or ""),
        current=is_current,
        counted=annotation.assignment.counted and is_current,
    )


def revisions(annotation: Annotation) -> list[AnnotationRow]:
    """All revisions of the same person on the same task, newest first."""
    rows = annotation.assignment.annotations.select_related("assignment", "annotator", "guideline")
    return annotation_rows(list(rows.order_by("-revision")))


def shown_responses(annotation: Annotation) -> list[tuple[str, Response | None]]:
    """Responses by the letter under which this annotator saw them."""
    found = {str(row.public_id): row for row in Response.objects.filter(public_id__in=annotation.shown)}
    responses = map(found.get, annotation.shown)
    return list(zip(LETTERS.upper(), responses, strict=False))


def in_order_of(annotation: Annotation, others: Sequence[Annotation]) -> list[AnnotationRow]:
    """What others stated to the same task, in the letters of this annotation, so that they can be compared."""
    return [in_words(other, annotation.shown) for other in others]
