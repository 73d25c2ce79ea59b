"""Writes checked items as rows: prompts, responses, tasks and annotations, some hundreds in one transaction.

The rows are the same as those of the desk, so that quality, lineage and training treat them alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from feedback.db.bulk_writer import Writer, as_json, as_time, new_uuids, reserve
from feedback.formats.annotations.items import LETTERS, AnnotationItem, Who
from feedback.models import (
    Annotation,
    Assignment,
    Concern,
    Person,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Split,
    Task,
    TaskResponse,
    Thumb,
    Verdict,
)
from feedback.rules.collection import payloads
from feedback.rules.collection.consensus import disagree
from feedback.rules.collection.pairing import queue_key
from feedback.rules.collection.preferences import CLEAR
from feedback.selectors.screening import guard_models
from feedback.services.collection import tasks
from feedback.services.data import import_people, splits
from feedback.services.data.import_checks import Known, Part, Ready
from feedback.services.screening import arrivals


@dataclass(frozen=True)
class Written:
    """Counts of a batch: tasks, prompts that would link two splits, and prompts whose split differs from the file's."""

    tasks: int = 0
    linking: int = 0
    moved: int = 0


def write(project: Project, by: Person | None, batch: Sequence[Ready], seen: Known) -> Written:
    """Write what is new. Call in a transaction, after `Known.look_up` of the batch."""
    new = [ready for ready in batch if seen.digests.keys().isdisjoint(ready.keys)]
    if not new:
        return Written()
    places = splits.place(project, [one.newcomer for one in new])
    now = datetime.now(UTC)
    prompt_keys = reserve(Prompt, len(new))
    response_keys = iter(reserve(Response, sum(map(_responses, new))))
    parts = list(chain.from_iterable(ready.parts for ready in new))
    task_keys = iter(reserve(Task, len(parts)))
    names = iter(new_uuids(len(new) + len(parts)))
    rows = _Rows(project, by, now, seen)
    for one, prompt_key, placed in zip(new, prompt_keys, places, strict=True):
        keys = _Keys(one, prompt_key, response_keys)
        rows.add_prompt(one, next(names), placed.split, keys)
        for number, part in enumerate(one.parts):
            rows.add_task(one, part, number, next(task_keys), next(names), keys)
    rows.write()
    if rows.held or guard_models.of(project).marker:
        arrivals.ask_worker(project)
    if any(part.item.priority for part in parts):
        tasks.rewind_cursors(project)
    linking = sum(placed.split == Split.NONE for placed in places)
    return Written(len(parts), linking, sum(placed.moved for placed in places))


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer with its payload, the keys of its task and of the response it writes, and its slot if it counts."""

    annotation: AnnotationItem
    payload: payloads.Payload
    task: int
    slot: int | None
    written: tuple[int, str] | None


class _Keys:
    """Keys of a prompt, of its responses in the item's order, and of the responses that its answers write."""

    def __init__(self, one: Ready, prompt: int, fresh: Iterator[int]) -> None:
        self.prompt = prompt
        self.written: dict[tuple[int, int], tuple[int, str]] = {}
        self.responses: list[int] = []
        for candidate, name in zip(one.item.responses, one.names, strict=True):
            self.responses.append(next(fresh))
            if candidate.answer_of is not None:
                self.written[candidate.answer_of] = (self.responses[-1], name)
        for number, part in enumerate(one.parts):
            for place in range(len(part.payloads)):
                if (number, place) not in self.written and part.writes(place):
                    self.written[number, place] = (next(fresh), new_uuids(1)[0])


class _Rows:
    """The rows of one batch, by table."""

    def __init__(self, project: Project, by: Person | None, now: datetime, known: Known) -> None:
        self.project, self.now, self.known = project, now, known
        self.by = by.pk if by else None
        self.held = guard_models.of(project).holds_prompts
        self.open = Task.State.WAITING.value if self.held else Task.State.OPEN.value
        self.tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}

    def add_prompt(self, one: Ready, name: str, split: str, keys: _Keys) -> None:
        item = one.item
        self.tables["prompt"].append(
            (
                keys.prompt, name, one.prompt, one.newcomer.family, split, item.group, item.source, one.key, one.digest,
                one.metadata, one.provenance, one.screening, item.responses_wanted,
            )
        )  # fmt: skip
        for key, public_id, candidate in zip(keys.responses, one.names, item.responses, strict=True):
            if candidate.answer_of is not None:
                continue  # written with its answer
            author = None if candidate.author is None else self.known.people[candidate.author]
            model = candidate.model if author else candidate.model or f"{item.source or 'import'} (unknown)"
            mine = one.digest if candidate.external_id else ""
            row = (key, public_id, keys.prompt, candidate.text, model, author, candidate.external_id, mine, None)
            self.tables["blocked" if candidate.blocked else "response"].append(row)
        for thumb in import_people.thumbs(item):
            at = as_time(thumb.at or self.now)
            person = self.known.people[thumb.person]
            row = (*new_uuids(1), keys.responses[thumb.response], person, thumb.up, thumb.comment, at)
            self.tables["thumb"].append(row)

    def add_task(self, one: Ready, part: Part, number: int, key: int, name: str, keys: _Keys) -> None:
        item = part.item
        responses = [keys.responses[place] for place in part.placed]
        counted = sum(annotation.counted for annotation in item.answers)
        wanted = None if part.gold is not None else item.wanted or self.project.annotations_per_task
        answered = bool(item.answers) and part.gold is None
        if answered:
            wanted = max(counted, item.wanted or 0, 1)
        free = wanted - counted if wanted else 1
        state = item.state or (self.open if free else "settled")
        self.tables["task"].append(
            (
                key, name, item.kind, keys.prompt, as_json(item.ask) if item.ask else "{}", state,
                wanted, free, item.priority, queue_key(item.priority, name), "imported" if item.answers else "given",
                None if part.gold is None else as_json(part.gold), item.explanation, item.training_round,
                part.key, one.digest,
            )
        )  # fmt: skip
        self.tables["placed"] += [(key, response, place) for place, response in enumerate(responses)]
        names = iter(new_uuids(2 * len(item.answers)))
        slot = 0
        for place, (annotation, payload) in enumerate(zip(item.answers, part.payloads, strict=True)):
            slot += annotation.counted
            held = slot if wanted and annotation.counted else None
            answer = _Answer(annotation, payload, key, held, keys.written.get((number, place)))
            self._add_answer(part, answer, (next(names), next(names)), keys.prompt, responses)
        if item.verdict is not None:
            at, reviewer = as_time(item.verdict.at or self.now), self.known.people[item.verdict.reviewer]
            texts = (as_json(part.verdict), as_json(part.names), item.verdict.note)
            self.tables["verdict"].append((*new_uuids(1), key, reviewer, *texts, at))
        elif answered and state == "settled" and len(part.payloads) > 1 and disagree(item.kind, part.payloads):
            self.tables["concern"].append((*new_uuids(1), key))

    def _add_answer(
        self, part: Part, answer: _Answer, names: tuple[str, str], prompt: int, responses: list[int]
    ) -> None:
        annotation, payload = answer.annotation, answer.payload
        holder = self.known.people[Who(annotation.annotator, annotation.source)]
        person = holder if annotation.corrected_by is None else self.known.people[annotation.corrected_by]
        order = [responses[LETTERS.index(letter)] for letter in annotation.shown] or responses
        shown = [part.names[LETTERS.index(letter)] for letter in annotation.shown]
        # The annotation's key is filled in by `write`, where as many are reserved as there are.
        slot = answer.slot
        self.tables["assignment"].append((names[0], answer.task, holder, slot, as_json(order), slot is not None))
        place = len(self.tables["annotation"])
        timing = (
            (None, False)
            if annotation.at is None and not annotation.late
            else (as_time(annotation.at or self.now), annotation.late)
        )
        self.tables["annotation"].append(
            (
                names[1],
                answer.task,
                person,
                part.item.kind,
                as_json(payload),
                as_json(shown),
                annotation.seconds,
                annotation.blind,
                *timing,
            )
        )
        key_of = dict(zip(part.names, responses, strict=True))
        for pair in payloads.preferences_in(part.item.kind, payload):
            self.tables["pair"].append((prompt, key_of[pair.chosen], key_of[pair.rejected], pair.strength, place))
        if answer.written is None:
            return
        key, public_id = answer.written
        written = payloads.written_in(part.item.kind, payload, part.names)
        if written is None:
            return
        self.tables["response"].append((key, public_id, prompt, written.text, "", person, None, "", place))
        for worse in written.preferred_to:
            self.tables["pair"].append((prompt, key, key_of[worse], CLEAR, place))

    def write(self) -> None:
        """Write parents before children, so that foreign keys are checked as they are written."""
        tables, project = self.tables, self.project.pk
        assignments = reserve(Assignment, len(tables["assignment"]))
        annotations = reserve(Annotation, len(tables["annotation"]))
        tables["response"] = [
            (*row[:-1], None if row[-1] is None else annotations[row[-1]]) for row in tables["response"]
        ]
        tables["assignment"] = [
            (key, *row, current)
            for key, row, current in zip(assignments, tables["assignment"], annotations, strict=True)
        ]
        values = [
            (key, *row, held) for key, row, held in zip(annotations, tables["annotation"], assignments, strict=True)
        ]
        tables["annotation"] = [(*row[:-3], row[-1]) for row in values if row[-3] is None]
        tables["dated"] = [row for row in values if row[-3] is not None]
        names = new_uuids(len(tables["pair"]))
        tables["pair"] = [
            (name, *row[:-1], annotations[row[-1]]) for name, row in zip(names, tables["pair"], strict=True)
        ]
        common: dict[str, dict[str, Any]] = {
            "prompt": {"project_id": project, "state": "received" if self.held else "ready", "created_by_id": self.by},
            "response": {"project_id": project, "state": arrivals.written_state(self.project)},
            "blocked": {"project_id": project, "state": "blocked"},
            "task": {"project_id": project, "created_by_id": self.by},
            "assignment": {"project_id": project, "state": "submitted", "held_until": self.now},
            "annotation": {"project_id": project, "client": "import"},
            "dated": {"project_id": project, "client": "import"},
            "verdict": {"project_id": project},
            "pair": {"project_id": project},
            "concern": {
                "project_id": project,
                "reason": Concern.Reason.DISAGREEMENT,
                "rank": Concern.RANK[Concern.Reason.DISAGREEMENT],
            },
        }
        for name, (model, columns) in _COLUMNS.items():
            if tables[name]:
                Writer(model, columns, **common.get(name, {})).insert(tables[name])


_RESPONSE = (
    "id", "public_id", "prompt_id", "text", "model_name", "author_id", "external_id", "body_hash", "annotation_id",
)  # fmt: skip
_ANNOTATION = ("id", "public_id", "task_id", "annotator_id", "kind", "payload", "shown", "seconds", "blind")
_COLUMNS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "prompt": (
        Prompt,
        (
            "id", "public_id", "messages", "family", "split", "group", "source", "external_id", "body_hash", "metadata",
            "provenance", "screening", "responses_wanted",
        ),
    ),
    "response": (Response, _RESPONSE),
    "blocked": (Response, _RESPONSE),
    "task": (
        Task,
        (
            "id", "public_id", "kind", "prompt_id", "ask", "state", "annotations_wanted", "free_slots", "priority",
            "queue_key", "arm", "gold", "explanation", "training_round", "external_id", "body_hash",
        ),
    ),
    "placed": (TaskResponse, ("task_id", "response_id", "position")),
    "assignment": (
        Assignment, ("id", "public_id", "task_id", "annotator_id", "slot", "order", "counted", "current_id"),
    ),
    "annotation": (Annotation, (*_ANNOTATION, "assignment_id")),
    "dated": (Annotation, (*_ANNOTATION, "created_at", "late", "assignment_id")),
    "pair": (
        PreferencePair, ("public_id", "prompt_id", "chosen_id", "rejected_id", "strength", "annotation_id"),
    ),
    "concern": (Concern, ("public_id", "task_id")),
    "thumb": (Thumb, ("public_id", "response_id", "person_id", "up", "comment", "created_at")),
    "verdict": (Verdict, ("public_id", "task_id", "reviewer_id", "payload", "shown", "note", "created_at")),
}  # fmt: skip
TABLES = list(dict.fromkeys(model for model, _ in _COLUMNS.values()))


def _responses(one: Ready) -> int:
    """The number of responses of an item: those it names, and those that its answers write."""
    named = sum(candidate.answer_of is not None for candidate in one.item.responses)
    written = sum(part.writes(place) for part in one.parts for place in range(len(part.payloads)))
    return len(one.item.responses) + written - named
