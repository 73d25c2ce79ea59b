"""Annotations in the form that the rules of agreement, reliability and bias take."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, combinations, starmap
from operator import attrgetter, eq
from typing import NamedTuple

from django.db.models.functions import Length

from feedback.models import Person, Prompt, Response
from feedback.rules.collection.kinds.registry import KINDS, PAIRWISE
from feedback.rules.collection.label_renames import Names
from feedback.rules.collection.payloads import Payload
from feedback.rules.json_types import JsonObject
from feedback.rules.quality import bias, reliability
from feedback.rules.quality.agreement import (
    Agreement,
    agreement,
    cohen_kappa,
)
from feedback.rules.quality.bias import Choice
from feedback.rules.quality.findings import Counted, Seen
from feedback.rules.quality.gold import is_right
from feedback.rules.quality.reliability import Vote

CHUNK = 5_000  # keys in one query
COLUMNS = (  # of assignments, in the order of the fields of `AnswerRow`
    *("task_id", "current__annotator_id", "current__kind", "current__payload", "current__shown", "order"),
    *("current__seconds", "current__created_at", "task__gold", "task__training_round", "current__timed"),
    "task__prompt_id",
)


class AnswerRow(NamedTuple):
    """An assignment with its current annotation, as `COLUMNS` reads it."""

    task: int
    annotator: int
    kind: str
    payload: JsonObject
    shown: list[str]  # public ids of responses, in the order shown; empty if that is not known
    order: list[int]  # keys of responses, in the order of the assignment
    seconds: float
    at: datetime
    gold: JsonObject | None
    training_round: bool
    timed: bool
    prompt: int


@dataclass(frozen=True)
class Judgments:
    """A response: its public id, its length in characters, and its author or model."""

    name: str
    characters: int
    source: object


@dataclass(frozen=True)
class Texts:
    """Responses by key, and the lengths in characters of prompts by key, for tasks without responses."""

    responses: Mapping[int, Judgments]
    prompts: Mapping[int, int]

    @classmethod
    def of(cls, rows: Sequence[AnswerRow]) -> "Texts":
        """The texts that these rows are about."""
        return cls(
            responses_of(chain.from_iterable(map(attrgetter("order"), rows))),
            prompt_lengths(row.prompt for row in rows if not row.order),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The current annotation of an assignment.

    `value` names a response by its place in the task's own order, so that it means the same for everybody. `first`: the
    response shown first was preferred; None without a preference. `read`: characters that had to be read for it, the
    responses, or the prompt where there are none.
    """

    task: int
    annotator: int
    kind: str
    payload: Payload
    value: str
    first: bool | None
    swapped: bool  # shown in the reverse of the task's own order
    seconds: float
    at: datetime
    gold: Payload | None
    shown: tuple[Judgments, Judgments] | None
    timed: bool = False
    read: int = 0

    @property
    def too_fast(self) -> bool:
        """Whether it came faster than anybody can read. False unless a client measured the time."""
        return self.timed and is_too_fast(self.kind, self.seconds, self.read)

    @classmethod
    def of(cls, row: AnswerRow, texts: "Texts", names: Names) -> "Answer":
        """Read a row under the present names of labels and dimensions.

        Gold is left out where it says nothing about the annotator: in the qualification round, and where it names a
        label or dimension that the project no longer has.
        """
        payload, order, responses = names.read(row.payload), row.order, texts.responses
        known = list(filter(None, map(responses.get, order)))
        swapped = len(order) == 2 and order[0] > order[1]
        value = KINDS[row.kind].category(payload)
        first: bool | None = None
        if payload.get("outcome") == "prefer" and row.shown:
            first = payload["chosen"] == row.shown[0]
            value = _place(first, swapped)
        elif value == "prefer" and order[0] in responses:  # imported: the order in which it was shown is not known
            value = _place(payload["chosen"] == responses[order[0]].name, swapped)
        gold = shown = None
        if row.gold and not row.training_round and names.fits(row.gold):
            gold = names.read(row.gold)
        if len(order) == 2 and len(known) == 2:
            shown = (known[0], known[1])
        read = sum(map(attrgetter("characters"), known))
        if not order:
            read = texts.prompts[row.prompt]
        return cls(
            task=row.task,
            annotator=row.annotator,
            kind=row.kind,
            payload=payload,
            value=value,
            first=first,
            swapped=swapped,
            seconds=row.seconds,
            at=row.at,
            gold=gold,
            shown=shown,
            timed=row.timed,
            read=read,
        )


def _place(is_first: bool, swapped: bool) -> str:
    """The place in the task's own order of the preferred response: "1" or "2"."""
    if is_first != swapped:
        return "1"
    return "2"


@dataclass(frozen=True)
class KindAgreement:
    """Of one kind. `tau`: mean rank correlation of two annotators, for rankings. `f1`: mean F1 of two, for spans."""

    kind: str
    answers: int
    agreement: Agreement
    tau: float | None = None
    f1: float | None = None


@dataclass(frozen=True)
class PairAgreement:
    one: Person
    other: Person
    tasks: int
    raw: float
    interval: tuple[float, float]
    kappa: float | None


def is_too_fast(kind: str, seconds: float, read: int) -> bool:
    """Whether nobody can have read so many characters and judged them in that time."""
    return seconds < bias.plausible_seconds(read, KINDS[kind].reads_one_text)


def characters_of(keys: Iterable[int]) -> dict[int, int]:
    """Lengths of responses by key."""
    wanted = sorted(set(keys))
    found: dict[int, int] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = Response.objects.filter(pk__in=wanted[start : start + CHUNK])
        found.update(rows.values_list("pk", Length("text")))
    return found


def responses_of(keys: Iterable[int]) -> dict[int, Judgments]:
    wanted = sorted(set(keys))
    found = {}
    for start in range(0, len(wanted), CHUNK):
        rows = Response.objects.filter(pk__in=wanted[start : start + CHUNK])
        for key, name, *source, characters in rows.values_list(
            "pk", "public_id", "model_version_id", "model_name", "author_id", Length("text")
        ):
            found[key] = Judgments(str(name), characters or 0, tuple(source))
    return found


def prompt_lengths(keys: Iterable[int]) -> dict[int, int]:
    wanted = sorted(set(keys))
    found = {}
    for start in range(0, len(wanted), CHUNK):
        for prompt in Prompt.objects.filter(pk__in=wanted[start : start + CHUNK]).only("messages"):
            found[prompt.pk] = len(prompt.text)
    return found


def by_annotator(answers: Iterable[Answer]) -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        found[answer.annotator].append(answer)
    return found


def by_task(answers: Iterable[Answer]) -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        found[answer.task].append(answer)
    return found


# --- agreement -------------------------------------------------------------------------------------


def comparison_agreement(answers: Iterable[Answer]) -> Agreement:
    values: dict[int, list[str]] = defaultdict(list)  # by task
    for answer in answers:
        if answer.kind in PAIRWISE:
            values[answer.task].append(answer.value)
    return agreement(list(values.values()))


def by_kind(answers: Sequence[Answer]) -> list[KindAgreement]:
    """Agreement of each kind that has annotations.

    Rankings are compared by pairs of responses, ratings by dimension, spans as sets. Written texts are never the same,
    so demonstrations are only counted.
    """
    found = []
    for name, kind in KINDS.items():
        rows = [answer for answer in answers if answer.kind == name and answer.payload]
        if rows:
            figures = kind.measure_agreement(list(by_task(rows).values()))
            found.append(KindAgreement(name, len(rows), figures.agreement, figures.tau, figures.f1))
    return found


def by_pair(answers: Iterable[Answer], people: Mapping[int, Person], fewest: int = 5) -> list[PairAgreement]:
    """Pairs of annotators with at least `fewest` comparisons in common, least agreement first."""
    met: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for rows in by_task(answer for answer in answers if answer.kind in PAIRWISE).values():
        values = sorted(map(attrgetter("annotator", "value"), rows))
        for (one, mine), (other, theirs) in combinations(values, 2):
            met[one, other].append((mine, theirs))
    found = []
    for (one, other), pairs in met.items():
        if len(pairs) >= fewest and one != other:
            same = Counted(sum(starmap(eq, pairs)), len(pairs))
            found.append(
                PairAgreement(
                    people[one], people[other], len(pairs), same.share or 0.0, same.interval(), cohen_kappa(pairs)
                )
            )
    return sorted(found, key=lambda pair: (pair.raw, -pair.tasks))


def agreement_with_others(answers: Iterable[Answer]) -> dict[int, Counted]:
    """How often each annotator agrees with another on a comparison, over all pairs of answers."""
    same: dict[int, int] = defaultdict(int)
    met: dict[int, int] = defaultdict(int)
    everybody = set()
    tasks: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        everybody.add(answer.annotator)
        if answer.kind in PAIRWISE:
            tasks[answer.task].append(answer)
    for rows in tasks.values():
        values = Counter(map(attrgetter("value"), rows))
        for row in rows:
            met[row.annotator] += len(rows) - 1
            same[row.annotator] += values[row.value] - 1
    return {key: Counted(same[key], met[key]) for key in everybody}


# --- annotators -------------------------------------------------------------------------------------


def seen(answers: Sequence[Answer]) -> dict[int, Seen]:
    """Reliability, leanings, pace and gold results of each annotator."""
    decided = [answer for answer in answers if answer.first is not None]
    consensus = reliability.consensus_of([Vote(row.task, row.annotator, row.first != row.swapped) for row in decided])
    advantage = _advantages(decided)
    choices: dict[int, list[Choice]] = defaultdict(list)
    for row, others in zip(decided, consensus.others, strict=True):
        if row.shown is None or row.first is None:
            continue
        one, other = row.shown
        choices[row.annotator].append(
            Choice(
                first=row.first,
                length=math.log((1 + one.characters) / (1 + other.characters)),
                others=_in_order_shown(others, row.swapped),
                source=advantage(row.annotator, one.source) - advantage(row.annotator, other.source),
                seconds=row.seconds,
            )
        )
    leaning = bias.leanings(choices)  # type: ignore[arg-type]
    found = {}
    for key, rows in by_annotator(answers).items():
        paces, checks = [], []
        for row in rows:
            if row.timed:
                paces.append(row.too_fast)
            if row.gold:
                checks.append(is_right(row.payload, row.gold))
        decisions = len(choices.get(key, ()))
        found[key] = Seen(consensus.annotators.get(key), leaning.get(key), decisions, paces, checks)
    return found


def _in_order_shown(log_odds: float, swapped: bool) -> float:
    """Log-odds of the first response in the task's own order, turned into those of the one shown first."""
    if swapped:
        return -log_odds
    return log_odds


def _advantages(decided: Sequence[Answer]) -> Callable[[int, object], float]:
    """A function of annotator and source: log-odds that the source wins in the answers of all other annotators."""
    won: dict[object, int] = defaultdict(int)
    met: dict[object, int] = defaultdict(int)
    for row in decided:
        if row.shown is None or row.shown[0].source == row.shown[1].source:
            continue
        for response, wins in zip(row.shown, (row.first, not row.first), strict=True):
            for key in (response.source, (row.annotator, response.source)):
                met[key] += 1
                won[key] += bool(wins)
    kept: dict[tuple[int, object], float] = {}

    def advantage(annotator: int, source: object) -> float:
        key = (annotator, source)
        if key not in kept:
            n, wins = met[source] - met[key], won[source] - won[key]
            kept[key] = math.log((wins + 5) / (n - wins + 5))  # five wins and five losses before anything is known
        return kept[key]

    return advantage
