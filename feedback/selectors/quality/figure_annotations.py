"""The annotations behind a figure of the quality page: of one annotator or two, a kind, a week, or a check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.utils import timezone

from feedback.models import Annotation, Assignment, Kind, Person, Project
from feedback.rules.quality.gold import is_right
from feedback.selectors.collection.annotations import annotations_of
from feedback.selectors.quality import judgments
from feedback.selectors.quality.judgments import Answer, AnswerRow

NEWEST = 5_000  # standing answers that a check is looked for among


def _longer(row: Answer) -> bool:
    if row.first is None or row.shown is None:
        return False
    one, other = row.shown
    if row.first:
        return one.characters > other.characters
    return other.characters > one.characters


# name → (what such answers are, whether an answer is one)
CHECKS: dict[str, tuple[str, Callable[[Answer], bool]]] = {
    "gold": ("of gold tasks", lambda row: bool(row.gold)),
    "gold_right": ("of gold tasks, correct", lambda row: bool(row.gold) and is_right(row.payload, row.gold or {})),
    "gold_wrong": (
        "of gold tasks, incorrect",
        lambda row: bool(row.gold) and not is_right(row.payload, row.gold or {}),
    ),
    "first": ("that prefer the first response", lambda row: row.first is True),
    "second": ("that prefer the second response", lambda row: row.first is False),
    "longer": ("that prefer the longer response", _longer),
    "too_fast": ("faster than reading speed", lambda row: row.too_fast),
    "tie": ("without a preference", lambda row: row.payload.get("outcome") == "tie"),
    "both_bad": ("with both responses bad", lambda row: row.payload.get("outcome") == "both_bad"),
}


@dataclass(frozen=True)
class AnnotationQuery:
    """A filter of annotations. Empty fields do not filter."""

    annotator: Person | None = None
    other: Person | None = None  # who answered the same tasks
    kind: str = ""
    week: date | None = None  # its Monday
    check: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], who: Callable[[str], Person | None]) -> "AnnotationQuery":
        """Read the parameters of an address. Unknown values are ignored; `who` finds a person by public id."""
        found = cls()
        if annotator := query.get("annotator"):
            found = replace(found, annotator=who(annotator))
        if other := query.get("other"):
            found = replace(found, other=who(other))
        if query.get("kind") in Kind.values:
            found = replace(found, kind=query["kind"])
        if query.get("check") in CHECKS:
            found = replace(found, check=query["check"])
        try:
            day = date.fromisoformat(query.get("week", ""))
        except ValueError:
            return found
        return replace(found, week=day - timedelta(days=day.weekday()))

    def __bool__(self) -> bool:
        return any((self.annotator, self.other, self.kind, self.week, self.check))

    @property
    def query(self) -> str:
        parameters = {}
        if self.annotator:
            parameters["annotator"] = str(self.annotator.public_id)
        if self.other:
            parameters["other"] = str(self.other.public_id)
        if self.kind:
            parameters["kind"] = self.kind
        if self.check:
            parameters["check"] = self.check
        if self.week:
            parameters["week"] = self.week.isoformat()
        return urlencode(parameters)

    @property
    def words(self) -> str:
        """The end of a sentence that begins with "Annotations"."""
        parts = []
        if self.annotator:
            parts.append(f"by {self.annotator}")
        if self.other:
            parts.append(f"of tasks that {self.other} also annotated")
        if self.kind:
            parts.append(f"of kind {self.kind}")
        if self.week:
            parts.append(f"in the week of {self.week.day} {self.week:%B %Y}")
        if self.check:
            parts.append(CHECKS[self.check][0])
        return " ".join(parts)


def annotations(project: Project, query: AnnotationQuery) -> tuple[QuerySet[Annotation], QuerySet[Annotation] | None]:
    """Rows that an index holds, and those of them that are wanted if that is fewer (for `paging.page_of`)."""
    base = annotations_of(project, query.annotator)
    wanted = base
    if query.kind:
        wanted = wanted.filter(kind=query.kind)
    if query.week:
        begin = timezone.make_aware(datetime.combine(query.week, time.min))
        wanted = wanted.filter(created_at__gte=begin, created_at__lt=begin + timedelta(days=7))
    if query.other:
        wanted = wanted.filter(task__in=standing(project).filter(annotator=query.other).values("task"))
    if query.check:
        wanted = wanted.filter(pk__in=_passing(project, query))
    return base, None if wanted is base else wanted


def standing(project: Project) -> QuerySet[Assignment]:
    return Assignment.objects.filter(state=Assignment.State.SUBMITTED, project=project, current__isnull=False)


def _passing(project: Project, wanted: AnnotationQuery) -> list[int]:
    """Keys of the newest current annotations that pass the check of the query."""
    rows = standing(project)
    if wanted.annotator:
        rows = rows.filter(annotator=wanted.annotator)
    if wanted.kind:
        rows = rows.filter(current__kind=wanted.kind)
    newest = rows.order_by("-current_id").values_list("current_id", *judgments.COLUMNS)[:NEWEST]
    found = {key: AnswerRow(*columns) for key, *columns in newest}
    texts = judgments.Texts.of(list(found.values()))
    passes = CHECKS[wanted.check][1]
    return [key for key, row in found.items() if passes(Answer.of(row, texts, project.names))]
