"""Exclusions: annotators whose annotations stay out of snapshots, the evidence, and the tasks they fill."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from feedback.models import Annotation, Assignment, Exclusion, Person, Project, Task, Verdict
from feedback.rules.collection.kinds.registry import WITH_GOLD
from feedback.rules.quality.findings import Counted, careless_at, wrong_at
from feedback.selectors.quality import judgments

CHUNK = 2_000
State = Assignment.State


def active(project: Project | None = None) -> QuerySet[Exclusion]:
    """Exclusions that are not lifted."""
    rows = Exclusion.objects.filter(lifted_at=None)
    if project is None:
        return rows
    return rows.filter(project=project)


def excluded_people(project: Project) -> QuerySet[Exclusion, Any]:
    """Keys of people whose annotations in the project stay out, for a subquery."""
    return active(project).values("person")


def annotations_of(exclusion: Exclusion) -> QuerySet[Annotation]:
    """Standing annotations that it keeps out of snapshots; those to gold tasks never go in."""
    standing = Assignment.objects.filter(project=exclusion.project_id, current__isnull=False).values("current")
    mine = Annotation.objects.filter(pk__in=standing, annotator=exclusion.person_id, withdrawn=False)
    return mine.filter(task__gold__isnull=True, task__training_round=False)


def fills(exclusion: Exclusion) -> QuerySet[Assignment]:
    """Assignments whose annotation is one of the K that their task wanted, and that no reviewer has decided about."""
    decided = Verdict.objects.filter(task=OuterRef("task"))
    mine = Assignment.objects.filter(
        project=exclusion.project_id,
        annotator=exclusion.person_id,
        current__annotator=exclusion.person_id,
        state=State.SUBMITTED,
        counted=True,
        task__annotations_wanted__isnull=False,
        task__contest=None,  # a contest keeps the votes that it counted
        task__state__in=[Task.State.OPEN, Task.State.SETTLED],
    )
    return mine.exclude(Exists(decided))


@dataclass(frozen=True)
class Excluded:
    """An exclusion as the quality page shows it."""

    row: Exclusion
    annotations: int
    tasks_to_reopen: int

    @property
    def sentence(self) -> str:
        return sentence(self.row)


def sentence(row: Exclusion) -> str:
    """The reason of an exclusion, in a sentence."""
    if row.reason == Exclusion.Reason.PACE:
        return f"{row.hits} of {row.looked_at} annotations were faster than reading speed."
    return f"{row.hits} of {row.looked_at} gold tasks had a wrong answer."


def excluded(project: Project) -> list[Excluded]:
    """Current exclusions, newest first."""
    return list(map(look, active(project).select_related("person", "project").order_by("-pk")))


def look(row: Exclusion) -> Excluded:
    return Excluded(row, annotations_of(row).count(), fills(row).count())


def of_person(project: Project, person: Person) -> Exclusion | None:
    return active(project).filter(person=person).first()


# --- what speaks for one -----------------------------------------------------------------------------


@dataclass
class Evidence:
    """Of one person since their last exclusion was lifted, oldest first: whether each annotation came too fast, and
    whether each answer to a gold task was right."""

    round: int = 1  # of the exclusion that it may lead to
    paces: list[bool] = field(default_factory=list)
    checks: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class Careless:
    """An annotator who should be excluded, with the reason."""

    person: int
    reason: str
    hits: int
    looked_at: int
    round: int


def careless(project: Project) -> list[Careless]:
    """Who is flagged for pace or gold, and not excluded yet, in a fixed order."""
    evidence = _evidence(project)
    right = total = 0
    for one in evidence.values():
        right += sum(one.checks)
        total += len(one.checks)
    out = set(active(project).values_list("person", flat=True))
    found = []
    for who, one in sorted(evidence.items()):
        if who in out:
            continue
        others = Counted(right - sum(one.checks), total - len(one.checks))
        if (at := careless_at(one.paces)) is not None:
            found.append(Careless(who, Exclusion.Reason.PACE, sum(one.paces[:at]), at, one.round))
        elif (at := wrong_at(one.checks, others)) is not None:
            found.append(Careless(who, Exclusion.Reason.GOLD, at - sum(one.checks[:at]), at, one.round))
    return found


def _evidence(project: Project) -> dict[int, Evidence]:
    """By annotator. Whose exclusion was lifted is judged by what came after: the admin has accepted the rest."""
    lifted: dict[int, datetime] = {}
    found: dict[int, Evidence] = defaultdict(Evidence)
    for row in Exclusion.objects.filter(project=project).order_by("round"):
        found[row.person_id].round = row.round + 1
        if row.lifted_at is not None:
            lifted[row.person_id] = row.lifted_at
    for who, at, too_fast in _paces(project):
        if who not in lifted or at > lifted[who]:
            found[who].paces.append(too_fast)
    for who, at, right in _checks(project):
        if who not in lifted or at > lifted[who]:
            found[who].checks.append(right)
    return found


def _paces(project: Project) -> Iterable[tuple[int, datetime, bool]]:
    """Every first annotation whose client measured the time. Revised or taken back, it was as fast as it was."""
    timed = Annotation.objects.filter(project=project, timed=True).order_by("pk")
    columns = ("annotator_id", "created_at", "kind", "seconds", "assignment__order", "task__prompt_id")
    last = 0
    while rows := list(timed.filter(pk__gt=last).values_list("pk", *columns)[:CHUNK]):
        last = rows[-1][0]
        responses: set[int] = set()
        prompts: set[int] = set()
        for *_, order, prompt in rows:
            responses.update(order)
            if not order:
                prompts.add(prompt)
        of_response, of_prompt = judgments.characters_of(responses), judgments.prompt_lengths(prompts)
        for _, who, at, kind, seconds, order, prompt in rows:
            read = of_prompt.get(prompt, 0)
            if order:
                read = sum(of_response.get(key, 0) for key in order)
            yield who, at, judgments.is_too_fast(kind, seconds, read)


def _checks(project: Project) -> Iterable[tuple[int, datetime, bool]]:
    """Every standing answer to a gold task; those of the training round were given while learning."""
    gold = Assignment.objects.filter(
        project=project,
        state=State.SUBMITTED,
        current__isnull=False,
        task__gold__isnull=False,
        task__training_round=False,
        task__kind__in=WITH_GOLD,
    )
    columns = ("current__annotator_id", "current__created_at", "current__payload", "task__gold")
    for who, at, payload, answer in gold.order_by("current_id").values_list(*columns).iterator(chunk_size=CHUNK):
        right = project.names.right(payload, answer)
        if right is not None:
            yield who, at, right
