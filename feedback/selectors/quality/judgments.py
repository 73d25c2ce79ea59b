"""Answers as the rules of agreement, reliability and bias want them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from django.db.models.functions import Length

from feedback.models import Person, Prompt, Response
from feedback.rules.collection.kinds.registry import KINDS, PAIRWISE
from feedback.rules.collection.label_renames import Names
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


@dataclass(frozen=True)
class Judgments:
    """Of a response: its public id, its length in characters, and who or what wrote it."""

    name: str
    characters: int
    source: object


@dataclass(frozen=True)
class Texts:
    """What answers are about: responses by key, and by key the length in characters of prompts without responses."""

    responses: Mapping[int, Judgments]
    prompts: Mapping[int, int]

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> "Texts":
        """All that the rows name in their columns `order` and `task__prompt_id`."""
        order, prompt = columns.index("order"), columns.index("task__prompt_id")
        rows = list(rows)
        return cls(
            responses_of(key for row in rows for key in row[order]),
            prompt_lengths(row[prompt] for row in rows if not row[order]),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One standing answer.

    `value` names a response by its place in the task's own order, so that it means the same for everybody. `first`: the
    response shown first was preferred; None without a preference. `read`: characters that had to be read for it, the
    responses, or the prompt where there are none.
    """

    task: int
    annotator: int
    kind: str
    payload: dict[str, Any]
    value: str
    first: bool | None
    swapped: bool  # shown the other way round than the task's own order
    seconds: float
    at: datetime
    gold: dict[str, Any] | None
    shown: tuple[Judgments, Judgments] | None
    timed: bool = False
    read: int = 0

    @property
    def too_fast(self) -> bool:
        """Nobody can have read what it is about. Only what a client measured is ever too fast."""
        return self.timed and is_too_fast(self.kind, self.seconds, self.read)

    @classmethod
    def of(cls, row: Sequence[Any], texts: "Texts", names: Names) -> "Answer":
        """From `quality.COLUMNS`, under the present names of labels and dimensions. A gold answer that names what the
        project no longer has measures nobody."""
        task, annotator, kind, payload, shown, order, seconds, at, gold, training_round, timed, prompt = row
        payload = names.read(payload)
        gold = names.read(gold) if gold and names.fits(gold) else None
        responses = texts.responses
        swapped = len(order) == 2 and order[0] > order[1]
        first = payload["chosen"] == shown[0] if payload.get("outcome") == "prefer" and shown else None
        value = KINDS[kind].category(payload)
        if first is not None:
            value = "1" if first != swapped else "2"
        elif value == "prefer" and order[0] in responses:  # how it was shown is not known: it was brought in
            value = "1" if (payload["chosen"] == responses[order[0]].name) != swapped else "2"
        known = (
            (responses[order[0]], responses[order[1]]) if len(order) == 2 and set(order) <= responses.keys() else None
        )
        read = sum(responses[key].characters for key in order if key in responses) if order else texts.prompts[prompt]
        gold = None if training_round else gold  # what is answered while learning measures nobody
        return cls(task, annotator, kind, payload, value, first, swapped, seconds, at, gold, known, timed, read)


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
    tasks = by_task(answer for answer in answers if answer.kind in PAIRWISE)
    return agreement([[answer.value for answer in rows] for rows in tasks.values()])


def by_kind(answers: Sequence[Answer]) -> list[KindAgreement]:
    """Every kind that was answered. Rankings agree by pairs of responses, ratings by dimension, spans as sets; what
    people write is never the same, so demonstrations are only counted."""
    found = []
    for name, kind in KINDS.items():
        rows = [answer for answer in answers if answer.kind == name and answer.payload]
        if rows:
            figures = kind.measure_agreement(list(by_task(rows).values()))
            found.append(KindAgreement(name, len(rows), figures.agreement, figures.tau, figures.f1))
    return found


def by_pair(answers: Iterable[Answer], people: Mapping[int, Person], fewest: int = 5) -> list[PairAgreement]:
    """Annotators who met on at least so many comparisons, those who agree least first."""
    met: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for rows in by_task(answer for answer in answers if answer.kind in PAIRWISE).values():
        values = sorted((row.annotator, row.value) for row in rows)
        for (one, mine), (other, theirs) in combinations(values, 2):
            met[one, other].append((mine, theirs))
    found = []
    for (one, other), pairs in met.items():
        if len(pairs) >= fewest and one != other:
            same = Counted(sum(a == b for a, b in pairs), len(pairs))
            found.append(
                PairAgreement(
                    people[one], people[other], len(pairs), same.share or 0.0, same.interval(), cohen_kappa(pairs)
                )
            )
    return sorted(found, key=lambda pair: (pair.raw, -pair.tasks))


def agreement_with_others(answers: Iterable[Answer]) -> dict[int, Counted]:
    """How often each annotator's answer to a comparison is the same as another's."""
    same: dict[int, int] = defaultdict(int)
    met: dict[int, int] = defaultdict(int)
    everybody = set()
    tasks: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        everybody.add(answer.annotator)
        if answer.kind in PAIRWISE:
            tasks[answer.task].append(answer)
    for rows in tasks.values():
        for row in rows:
            met[row.annotator] += len(rows) - 1
            same[row.annotator] += sum(other.value == row.value for other in rows) - 1
    return {key: Counted(same[key], met[key]) for key in everybody}


# --- annotators -------------------------------------------------------------------------------------


def seen(answers: Sequence[Answer]) -> dict[int, Seen]:
    """Reliability, leanings, haste and gold of everybody."""
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
                others=-others if row.swapped else others,
                source=advantage(row.annotator, one.source) - advantage(row.annotator, other.source),
                seconds=row.seconds,
            )
        )
    leaning = bias.leanings(choices)  # type: ignore[arg-type]
    return {
        key: Seen(
            reliability=consensus.annotators.get(key),
            leanings=leaning.get(key),
            decided=len(choices.get(key, ())),
            paces=[row.too_fast for row in rows if row.timed],
            checks=[is_right(row.payload, row.gold) for row in rows if row.gold],
        )
        for key, rows in by_annotator(answers).items()
    }


def _advantages(decided: Sequence[Answer]) -> Any:
    """Log-odds that a source wins, among everybody's answers but one annotator's."""
    won: dict[object, int] = defaultdict(int)
    met: dict[object, int] = defaultdict(int)
    for row in decided:
        if row.shown is None or row.shown[0].source == row.shown[1].source:
            continue
        for characters, wins in zip(row.shown, (row.first, not row.first), strict=True):
            for key in (characters.source, (row.annotator, characters.source)):
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
