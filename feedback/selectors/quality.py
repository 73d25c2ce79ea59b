"""How good the judgements are: agreement of a project, and each annotator's habits."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.db.models import Q

from feedback.models import Annotation, Assignment, Kind, Person, Project
from feedback.rules.agreement import Agreement, agreement
from feedback.rules.intervals import wilson

NEWEST = 20_000  # answers looked at: the page stays quick in a large project, and says so


@dataclass(frozen=True)
class Habits:
    """One annotator in a project. Shares come with their 95 % interval; None where nothing was observed."""

    person: Person
    answers: int
    median_seconds: float
    first_share: float | None  # how often the response shown first was preferred; 0.5 without a bias
    first_interval: tuple[float, float]
    agreement: float | None  # with others on the same tasks
    agreement_interval: tuple[float, float]
    ties: int
    both_bad: int
    gold_right: int
    gold_asked: int


@dataclass(frozen=True)
class Quality:
    agreement: Agreement
    annotators: list[Habits]
    looked_at: int
    truncated: bool


def quality(project: Project) -> Quality:
    """Agreement and habits over the newest answers to comparisons."""
    rows = _answers(project)
    by_task: dict[int, dict[int, str]] = defaultdict(dict)
    for row in rows:
        by_task[row["task_id"]][row["annotator_id"]] = _value(row["payload"])
    units = [list(values.values()) for values in by_task.values()]
    return Quality(
        agreement=agreement(units),
        annotators=_habits(rows, by_task),
        looked_at=len(rows),
        truncated=len(rows) >= NEWEST,
    )


def _answers(project: Project) -> list[dict[str, Any]]:
    standing = Assignment.objects.filter(
        Q(state=Assignment.State.SUBMITTED), project=project, current__isnull=False, current__kind=Kind.COMPARISON
    )
    keys = standing.order_by("-current_id").values_list("current_id", flat=True)[:NEWEST]
    rows = Annotation.objects.filter(pk__in=list(keys)).order_by("pk")
    columns = ("pk", "task_id", "annotator_id", "payload", "shown", "seconds", "task__gold")
    return [dict(zip(columns, row, strict=True)) for row in rows.values_list(*columns)]


def _value(payload: dict[str, Any]) -> str:
    return str(payload.get("chosen") or payload.get("outcome"))


def _habits(rows: list[dict[str, Any]], by_task: dict[int, dict[int, str]]) -> list[Habits]:
    mine: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        mine[row["annotator_id"]].append(row)
    people = Person.objects.in_bulk(list(mine))
    return sorted((_one(people[key], answers, by_task) for key, answers in mine.items()), key=lambda one: -one.answers)


def _one(person: Person, answers: list[dict[str, Any]], by_task: dict[int, dict[int, str]]) -> Habits:
    sided = [row for row in answers if row["payload"].get("outcome") == "prefer" and row["shown"]]
    first = sum(row["payload"]["chosen"] == row["shown"][0] for row in sided)
    same = met = 0
    for row in answers:
        others = [value for key, value in by_task[row["task_id"]].items() if key != person.pk]
        met += len(others)
        same += sum(value == _value(row["payload"]) for value in others)
    gold = [row for row in answers if row["task__gold"]]
    outcomes = [row["payload"].get("outcome") for row in answers]
    return Habits(
        person=person,
        answers=len(answers),
        median_seconds=median(row["seconds"] for row in answers),
        first_share=first / len(sided) if sided else None,
        first_interval=wilson(first, len(sided)),
        agreement=same / met if met else None,
        agreement_interval=wilson(same, met),
        ties=outcomes.count("tie"),
        both_bad=outcomes.count("both_bad"),
        gold_right=sum(_value(row["payload"]) == str(row["task__gold"].get("chosen")) for row in gold),
        gold_asked=len(gold),
    )
