"""Items into rows: prompts, responses, tasks, and what people said about them, some hundreds in one transaction.

A row is known by its external id, or by the hash of what it says: the same item brought in twice is there once. What
is written are the rows that the desk writes, so that quality, lineage and training treat them alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from feedback.formats.items import LETTERS, PROMPT, THUMB, InvalidRow, Item, Said
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
    Task,
    TaskResponse,
    Thumb,
)
from feedback.rules import gold as gold_rules
from feedback.rules import messages as message_rules
from feedback.rules import payloads, schemes
from feedback.rules.canonical import body_hash
from feedback.rules.consensus import disagree
from feedback.rules.kinds.question import PROMPT as ON_PROMPT
from feedback.rules.pairing import PRIORITIES, queue_key
from feedback.rules.preference import CLEAR
from feedback.rules.splits import family_of, split_of
from feedback.services import guarding, people, tasks
from feedback.services.bulk import Writer, as_json, digests_of, new_uuids, reserve

HASHED = "sha256:"  # begins the external ids that are hashes of the item, which exports leave out
MOST_ANSWERS = 100
MOST_RESPONSES = 32
MOST_TEXT = 200_000
MOST_SECONDS = 86_400
KINDS = (*Kind.values, PROMPT, THUMB)


@dataclass(slots=True)
class Ready:
    """A checked item: its key, the hash of its content, the public ids that its answers name, and texts to store."""

    item: Item
    key: str
    digest: str
    family: str
    prompt: str
    metadata: str
    names: list[str]
    gold: dict[str, Any] | None = None
    payloads: list[dict[str, Any]] = field(default_factory=list)
    screening: str = '{"guard": null}'


def ready(project: Project, item: Item) -> Ready:
    """Check an item against the rules of its kind.

    Raises:
        InvalidRow: with the field and a sentence.
    """
    if item.kind not in KINDS:
        raise InvalidRow("kind", f"It must be one of {', '.join(KINDS)}; got {item.kind!r}.")
    try:
        item.prompt = message_rules.checked(item.prompt)
    except message_rules.InvalidMessages as error:
        raise InvalidRow(error.field.replace("messages", "prompt", 1), error.sentence) from None
    told = _personal(project, item) if project.screening else {}
    _check_responses(item)
    if not 0 <= item.priority < PRIORITIES:
        raise InvalidRow("priority", f"It must lie between 0 and {PRIORITIES - 1}.")
    if item.wanted is not None and not 1 <= item.wanted <= 100:
        raise InvalidRow("annotations_wanted", "It must lie between 1 and 100.")
    if item.gold is None and (item.training_round or item.explanation):
        name = "training_round" if item.training_round else "explanation"
        raise InvalidRow(name, "It goes with a right answer. Say under gold what is right.")
    texts = (("external_id", item.external_id or "", 200), ("source", item.source, 100))
    for name, value, most in (*texts, ("explanation", item.explanation, 5000)):
        if len(value) > most:
            raise InvalidRow(name, f"It has {len(value)} characters; at most {most} are kept.")
    _check_scheme(project, item)
    digest = body_hash(
        [
            item.kind, item.prompt, [[one.text, one.model] for one in item.responses],
            [[one.annotator, one.source, one.answer, one.shown] for one in item.answers],
            item.gold, item.ask, item.source, item.priority, item.wanted, item.metadata,
            *([item.explanation, item.training_round] if item.explanation or item.training_round else []),
        ]
    )  # fmt: skip
    family = family_of(project.split_salt, item.prompt)
    try:
        metadata = as_json(item.metadata) if item.metadata else "{}"
    except ValueError:
        raise InvalidRow("metadata", "A number in it is beyond measure.") from None
    names = new_uuids(len(item.responses))
    one = Ready(item, item.external_id or HASHED + digest, digest, family, as_json(item.prompt), metadata, names)
    if told:
        one.screening = as_json(told)
    _resolve(project, one)
    return one


def write(project: Project, by: Person | None, batch: Sequence[Ready], seen: "Known") -> int:
    """Write what is new. Call in a transaction, after `Known` was asked for the batch. Returns how many tasks."""
    new = [one for one in batch if one.key not in seen.digests]
    if not new:
        return 0
    now = datetime.now(UTC)
    prompt_keys = reserve(Prompt, len(new))
    response_keys = reserve(Response, sum(len(one.item.responses) + _written(one) for one in new))
    asked = [one for one in new if one.item.kind not in (PROMPT, THUMB)]
    task_keys = iter(reserve(Task, len(asked)))
    names = iter(new_uuids(len(new) + len(asked)))
    rows = _Rows(project, by, now, seen)
    place = 0
    for one, prompt_key in zip(new, prompt_keys, strict=True):
        count = len(one.item.responses)
        keys = response_keys[place : place + count]
        place += count
        rows.add_prompt(one, prompt_key, next(names), keys)
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
    return len(asked)


class Known:
    """What came before, and the people met so far."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.digests: dict[str, str] = {}
        self.people: dict[tuple[str, str], int] = {}

    def look_up(self, batch: Sequence[Ready]) -> None:
        """Forget the last batch and find this one's keys, among prompts and among tasks. One query each."""
        keys = [one.key for one in batch]
        of_tasks = [key for key in keys if not key.startswith(HASHED)]
        self.digests = {}
        for model, wanted in ((Task, of_tasks), (Prompt, keys)):
            if wanted:
                self.digests.update(digests_of(model, self.project.pk, wanted))

    def meet(self, batch: Sequence[Ready]) -> None:
        """Make the people who are new, in small transactions of their own."""
        for one in batch:
            for said in one.item.answers:
                if (said.source, said.annotator) not in self.people:
                    person = people.imported_person(source=said.source, name=said.annotator)
                    self.people[said.source, said.annotator] = person.pk


class _Rows:
    """The statements of one batch."""

    def __init__(self, project: Project, by: Person | None, now: datetime, known: Known) -> None:
        self.project, self.now, self.known = project, now, known
        self.by = by.pk if by else None
        self.held = guarding.of(project).holds_prompts
        self.open = Task.State.WAITING.value if self.held else Task.State.OPEN.value
        self.tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}

    def add_prompt(self, one: Ready, key: int, name: str, responses: list[int]) -> None:
        item = one.item
        self.tables["prompt"].append(
            (
                key,
                name,
                one.prompt,
                one.family,
                split_of(one.family),
                item.source,
                one.key,
                one.digest,
                one.metadata,
                one.screening,
            )
        )
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
            "id", "public_id", "messages", "family", "split", "source", "external_id", "body_hash", "metadata",
            "screening",
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


def _personal(project: Project, item: Item) -> dict[str, Any]:
    """What is told of personal data in the prompt, which is masked, noted or refused as the project says.

    Raises:
        InvalidRow: it is refused; or masking it would move what was marked in it.
    """
    arrival = guarding.arrive(project, item.prompt)
    found = ", ".join(arrival.told.get("personal", []))
    if arrival.state == Prompt.State.BLOCKED:
        raise InvalidRow("prompt", f"It holds personal data ({found}), which this project does not take.")
    if arrival.told.get("masked") and item.kind == Kind.SPANS and (item.answers or item.gold):
        raise InvalidRow(
            "prompt", f"It holds personal data ({found}); masking would displace its marks. Mask it first."
        )
    item.prompt = arrival.messages
    return arrival.told


def _check_responses(item: Item) -> None:
    fewest, most = {PROMPT: (0, MOST_RESPONSES), THUMB: (1, 1)}.get(item.kind) or tasks.RESPONSES_OF[item.kind]
    count = len(item.responses)
    if not fewest <= count <= most:
        wanted = str(most) if fewest == most else f"{fewest} to {most}"
        raise InvalidRow("responses", f"A {item.kind} has {wanted} responses; there are {count}.")
    for place, one in enumerate(item.responses):
        if len(one.text) > MOST_TEXT:
            raise InvalidRow(f"responses[{place}]", f"It is longer than {MOST_TEXT} characters.")
    if count == 2 and item.kind == Kind.COMPARISON and item.responses[0].text == item.responses[1].text:
        raise InvalidRow("responses", "Both responses are the same text, so neither can be better.")
    if item.answers and item.kind == PROMPT:
        raise InvalidRow("answers", "Just a prompt has no answers; say which kind of task it is.")
    if len(item.answers) > MOST_ANSWERS:
        raise InvalidRow("answers", f"There are {len(item.answers)}; at most {MOST_ANSWERS} are taken.")
    people_met = [(said.source, said.annotator) for said in item.answers]
    if len(set(people_met)) != len(people_met):
        raise InvalidRow("answers", "One person answers it twice.")
    if not all(0 <= said.seconds <= MOST_SECONDS for said in item.answers):
        raise InvalidRow("answers", "The seconds spent on one must be a number, at most a day.")
    for source, name in people_met:
        if not name or not source or len(name) > 200 or len(source) > 100:
            raise InvalidRow("answers", "Every answer needs an annotator (at most 200 characters) and a source (100).")


def _check_scheme(project: Project, item: Item) -> None:
    if item.kind not in (Kind.CLASSIFICATION, Kind.SPANS):
        if item.ask:
            raise InvalidRow("ask", f"A {item.kind} has no label scheme.")
        return
    fitting = sorted(name for name, scheme in project.label_scheme.items() if scheme.get("kind") == item.kind)
    if set(item.ask) != {"scheme"} or item.ask["scheme"] not in fitting:
        choices = ", ".join(fitting) or "none yet: add one to the project"
        raise InvalidRow("ask.scheme", f"Name a label scheme of the project for {item.kind}: {choices}.")


def _resolve(project: Project, one: Ready) -> None:
    """Letters into public ids, by the rules of the kind."""
    item = one.item
    if item.kind == THUMB:
        for place, said in enumerate(item.answers):
            if set(said.answer) != {"up"} or not isinstance(said.answer["up"], bool):
                raise InvalidRow(f"answers[{place}].answer", 'A thumb is {"up": true} or {"up": false}.')
        return
    if not item.answers and item.gold is None:
        return
    scheme = schemes.asked(project.label_scheme, item.ask)
    texts = dict(zip(one.names, (response.text for response in item.responses), strict=True))
    texts[ON_PROMPT] = next(turn["content"] for turn in reversed(item.prompt) if turn["role"] == "user")
    question = payloads.Question(item.kind, one.names, texts, project.dimensions, scheme=scheme)
    where = "gold"
    try:
        if item.gold is not None:
            one.gold = gold_rules.checked(item.gold, question)
        for place, said in enumerate(item.answers):
            where = f"answers[{place}].answer"
            one.payloads.append(payloads.resolve(said.answer, question))
    except payloads.InvalidAnswer as error:
        raise InvalidRow(f"{where}.{error.field}", error.sentence) from None


def _written(one: Ready) -> int:
    """How many responses its answers write: every demonstration is one."""
    return len(one.item.answers) if one.item.kind == Kind.DEMONSTRATION else 0
