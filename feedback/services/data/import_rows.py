"""Writes checked items as rows: prompts, responses, tasks and annotations, some hundreds in one transaction.

The rows are the same as those of the desk, so that quality, lineage and training treat them alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter, itemgetter

from django.db.models import Model

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
    newcomers: list[splits.Newcomer] = []
    parts: list[Part] = []
    for ready in new:
        newcomers.append(ready.newcomer)
        parts += ready.parts
    places = splits.place(project, newcomers)
    now = datetime.now(UTC)
    prompt_keys = reserve(Prompt, len(new))
    response_keys = iter(reserve(Response, sum(map(_responses, new))))
    task_keys = iter(reserve(Task, len(parts)))
    names = iter(new_uuids(len(new) + len(parts)))
    rows = _Rows(project, by, now, seen, answers=sum(len(part.payloads) for part in parts))
    linking = moved = 0
    for one, prompt_key, placed in zip(new, prompt_keys, places, strict=True):
        linking += placed.split == Split.NONE
        moved += placed.moved
        keys = _Keys(one, prompt_key, response_keys)
        rows.add_prompt(one, next(names), placed.split, keys)
        for number, part in enumerate(one.parts):
            rows.add_task(one, part, number, next(task_keys), next(names), keys)
    rows.write()
    if rows.held or guard_models.of(project).marker:
        arrivals.ask_worker(project)
    if any(map(attrgetter("item.priority"), parts)):
        tasks.rewind_cursors(project)
    return Written(len(parts), linking, moved)


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
    """The rows of one batch, by table.

    Args:
        answers: how many annotations the batch has, each with an assignment: their keys are reserved.
    """

    def __init__(self, project: Project, by: Person | None, now: datetime, known: Known, answers: int) -> None:
        self.project, self.now, self.known = project, now, known
        self.assignment_keys = iter(reserve(Assignment, answers))
        self.annotation_keys = iter(reserve(Annotation, answers))
        self.by = by.pk if by else None
        self.held = guard_models.of(project).holds_prompts
        self.open = Task.State.WAITING.value if self.held else Task.State.OPEN.value
        self.tables: dict[str, list[tuple[object, ...]]] = {name: [] for name in _COLUMNS}

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
            author, model = None, candidate.model
            if candidate.author is not None:
                author = self.known.people[candidate.author]
            elif not model:
                model = f"{item.source or 'import'} (unknown)"
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
        counted = sum(map(attrgetter("counted"), item.answers))
        answered = bool(item.answers) and part.gold is None
        wanted: int | None = None
        if answered:
            wanted = max(counted, item.wanted or 0, 1)
        elif part.gold is None:
            wanted = item.wanted or self.project.annotations_per_task
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
        for position, response in enumerate(responses):
            self.tables["placed"].append((key, response, position))
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
        person = holder
        if annotation.corrected_by is not None:
            person = self.known.people[annotation.corrected_by]
        order, shown = [], []
        for letter in annotation.shown:
            place = LETTERS.index(letter)
            order.append(responses[place])
            shown.append(part.names[place])
        assignment_key, annotation_key = next(self.assignment_keys), next(self.annotation_keys)
        slot = answer.slot
        self.tables["assignment"].append(
            (
                assignment_key, names[0], answer.task, holder, slot, as_json(order or responses), slot is not None,
                annotation_key,
            )
        )  # fmt: skip
        row = (
            annotation_key, names[1], answer.task, person, part.item.kind, as_json(payload), as_json(shown),
            annotation.seconds, annotation.blind,
        )  # fmt: skip
        if annotation.at is None and not annotation.late:
            self.tables["annotation"].append((*row, assignment_key))
        else:
            at = as_time(annotation.at or self.now)
            self.tables["dated"].append((*row, at, annotation.late, assignment_key))
        key_of = dict(zip(part.names, responses, strict=True))
        for pair in payloads.preferences_in(part.item.kind, payload):
            chosen, rejected = key_of[pair.chosen], key_of[pair.rejected]
            self.tables["pair"].append((prompt, chosen, rejected, pair.strength, annotation_key))
        if answer.written is None:
            return
        key, public_id = answer.written
        written = payloads.written_in(part.item.kind, payload, part.names)
        if written is None:
            return
        self.tables["response"].append((key, public_id, prompt, written.text, "", person, None, "", annotation_key))
        for worse in written.preferred_to:
            self.tables["pair"].append((prompt, key, key_of[worse], CLEAR, annotation_key))

    def write(self) -> None:
        """Write parents before children, so that foreign keys are checked as they are written."""
        tables, project = self.tables, self.project.pk
        names = new_uuids(len(tables["pair"]))
        tables["pair"] = [(name, *row) for name, row in zip(names, tables["pair"], strict=True)]
        common: dict[str, dict[str, object]] = {
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
_COLUMNS: dict[str, tuple[type[Model], tuple[str, ...]]] = {
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
TABLES: list[type[Model]] = list(dict.fromkeys(map(itemgetter(0), _COLUMNS.values())))


def _responses(one: Ready) -> int:
    """The number of responses of an item: those it names, and those that its answers write."""
    count = len(one.item.responses)
    for candidate in one.item.responses:
        count -= candidate.answer_of is not None
    for part in one.parts:
        for place in range(len(part.payloads)):
            count += part.writes(place)
    return count
