"""Checked items into rows: prompts, responses, tasks, and annotations, some hundreds in one transaction.

What is written are the rows that the desk writes, so that quality, lineage and training treat them alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from feedback.formats.items import LETTERS, PROMPT, THUMB, Said
from feedback.models import (
    Annotation,
    Assignment,
    Concern,
    Kind,
    Person,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Split,
    Task,
    TaskResponse,
    Thumb,
)
from feedback.rules import payloads
from feedback.rules.consensus import disagree
from feedback.rules.pairing import queue_key
from feedback.rules.preference import CLEAR
from feedback.services import guarding, placement, tasks
from feedback.services.bulk import Writer, as_json, new_uuids, reserve
from feedback.services.intake import Known, Ready


@dataclass(frozen=True)
class Written:
    """What a batch has made: tasks, prompts that would link two splits, and prompts that moved from the file's."""

    tasks: int = 0
    linking: int = 0
    moved: int = 0


def write(project: Project, by: Person | None, batch: Sequence[Ready], seen: Known) -> Written:
    """Write what is new. Call in a transaction, after `Known` was asked for the batch."""
    new = [one for one in batch if one.key not in seen.digests]
    if not new:
        return Written()
    places = placement.place(project, [one.newcomer for one in new])
    now = datetime.now(UTC)
    prompt_keys = reserve(Prompt, len(new))
    response_keys = reserve(Response, sum(len(one.item.responses) + _written(one) for one in new))
    asked = [one for one in new if one.item.kind not in (PROMPT, THUMB)]
    task_keys = iter(reserve(Task, len(asked)))
    names = iter(new_uuids(len(new) + len(asked)))
    rows = _Rows(project, by, now, seen)
    place = 0
    for one, prompt_key, placed in zip(new, prompt_keys, places, strict=True):
        count = len(one.item.responses)
        keys = response_keys[place : place + count]
        place += count
        rows.add_prompt(one, prompt_key, next(names), placed.split, keys)
        if one.item.kind == THUMB:
            rows.add_thumbs(one, keys[0])
        elif one.item.kind != PROMPT:
            more = response_keys[place : place + _written(one)]
            place += len(more)
            rows.add_task(one, prompt_key, next(task_keys), next(names), keys, more)
    rows.write()
    if rows.held or guarding.of(project).marker:
        guarding.ask_worker(project)
    if any(one.item.priority for one in asked):
        tasks.rewind_cursors(project)
    linking = sum(placed.split == Split.NONE for placed in places)
    return Written(len(asked), linking, sum(placed.moved for placed in places))


class _Rows:
    """The statements of one batch."""

    def __init__(self, project: Project, by: Person | None, now: datetime, known: Known) -> None:
        self.project, self.now, self.known = project, now, known
        self.by = by.pk if by else None
        self.held = guarding.of(project).holds_prompts
        self.open = Task.State.WAITING.value if self.held else Task.State.OPEN.value
        self.tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}

    def add_prompt(self, one: Ready, key: int, name: str, split: str, responses: list[int]) -> None:
        item = one.item
        self.tables["prompt"].append(
            (
                key, name, one.prompt, one.newcomer.family, split, item.group, item.source, one.key, one.digest,
                one.metadata, one.provenance, one.screening,
            )
        )  # fmt: skip
        for response, public_id, candidate in zip(responses, one.names, item.responses, strict=True):
            model = candidate.model or f"{item.source or 'import'} (unknown)"
            self.tables["response"].append((response, public_id, key, candidate.text, model, None, None))

    def add_thumbs(self, one: Ready, response: int) -> None:
        for name, said in zip(new_uuids(len(one.item.answers)), one.item.answers, strict=True):
            person = self.known.people[said.source, said.annotator]
            self.tables["thumb"].append((name, response, person, said.answer["up"]))

    def add_task(self, one: Ready, prompt: int, key: int, name: str, responses: list[int], more: list[int]) -> None:
        item = one.item
        wanted = None if one.gold is not None else item.wanted or self.project.annotations_per_task
        settled = bool(item.answers) and one.gold is None
        if settled:
            wanted = max(len(item.answers), item.wanted or 0)
        free = (wanted or 1) - len(item.answers) if wanted else 1
        self.tables["task"].append(
            (
                key, name, item.kind, prompt, as_json(item.ask) if item.ask else "{}", self.open if free else "settled",
                wanted, free, item.priority, queue_key(item.priority, name), "imported" if item.answers else "given",
                None if one.gold is None else as_json(one.gold), item.explanation, item.training_round,
                one.key, one.digest,
            )
        )  # fmt: skip
        self.tables["placed"] += [(key, response, place) for place, response in enumerate(responses)]
        names = iter(new_uuids(2 * len(item.answers)))
        for slot, (said, payload) in enumerate(zip(item.answers, one.payloads, strict=True), start=1):
            asked = (key, prompt, slot if wanted else None)
            self._add_answer(one, said, payload, asked, (next(names), next(names)), responses, more)
        if settled and not free and len(one.payloads) > 1 and disagree(item.kind, one.payloads):
            self.tables["concern"].append((*new_uuids(1), key))

    def _add_answer(
        self,
        one: Ready,
        said: Said,
        payload: dict[str, Any],
        asked: tuple[int, int, int | None],
        names: tuple[str, str],
        responses: list[int],
        more: list[int],
    ) -> None:
        task, prompt, slot = asked
        person = self.known.people[said.source, said.annotator]
        order = [responses[LETTERS.index(letter)] for letter in said.shown] or responses
        shown = [one.names[LETTERS.index(letter)] for letter in said.shown]
        # The annotation's key is filled in by `write`, where as many are reserved as there are.
        self.tables["assignment"].append((names[0], task, person, slot, as_json(order), slot is not None))
        place = len(self.tables["annotation"])
        self.tables["annotation"].append(
            (names[1], task, person, one.item.kind, as_json(payload), as_json(shown), said.seconds)
        )
        key_of = dict(zip(one.names, responses, strict=True))
        for pair in payloads.preferences_in(one.item.kind, payload):
            self.tables["pair"].append((prompt, key_of[pair.chosen], key_of[pair.rejected], pair.strength, place))
        if one.item.kind == Kind.DEMONSTRATION:
            written = more.pop(0)
            row = (written, new_uuids(1)[0], prompt, payload["text"], "", person, place)
            self.tables["response"].append(row)
            if payload["original"] is not None:
                self.tables["pair"].append((prompt, written, key_of[payload["original"]], CLEAR, place))

    def write(self) -> None:
        """Parents before children, so that keys are checked as they are written."""
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
        tables["annotation"] = [
            (key, *row, held) for key, row, held in zip(annotations, tables["annotation"], assignments, strict=True)
        ]
        names = new_uuids(len(tables["pair"]))
        tables["pair"] = [
            (name, *row[:-1], annotations[row[-1]]) for name, row in zip(names, tables["pair"], strict=True)
        ]
        common: dict[str, dict[str, Any]] = {
            "prompt": {"project_id": project, "state": "received" if self.held else "ready", "created_by_id": self.by},
            "response": {"project_id": project, "state": guarding.written_state(self.project)},
            "task": {"project_id": project, "created_by_id": self.by},
            "assignment": {"project_id": project, "state": "submitted", "held_until": self.now},
            "annotation": {"project_id": project, "client": "import"},
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


_COLUMNS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "prompt": (
        Prompt,
        (
            "id", "public_id", "messages", "family", "split", "group", "source", "external_id", "body_hash", "metadata",
            "provenance", "screening",
        ),
    ),
    "response": (Response, ("id", "public_id", "prompt_id", "text", "model_name", "author_id", "annotation_id")),
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
    "annotation": (
        Annotation,
        ("id", "public_id", "task_id", "annotator_id", "kind", "payload", "shown", "seconds", "assignment_id"),
    ),
    "pair": (
        PreferencePair, ("public_id", "prompt_id", "chosen_id", "rejected_id", "strength", "annotation_id"),
    ),
    "concern": (Concern, ("public_id", "task_id")),
    "thumb": (Thumb, ("public_id", "response_id", "person_id", "up")),
}  # fmt: skip
TABLES = [model for model, _ in _COLUMNS.values()]


def _written(one: Ready) -> int:
    """How many responses its answers write: every demonstration is one."""
    return len(one.item.answers) if one.item.kind == Kind.DEMONSTRATION else 0
