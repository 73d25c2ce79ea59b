"""Checks items of a file by the rules of their kind, before `import_rows` writes them.

A row is identified by its external id, or by the hash of its content: the same item imported twice exists once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from django.db.models import Model

from feedback.db.bulk_writer import as_json, digests_of, new_uuids
from feedback.formats.annotations.items import PROMPT, THUMB, InvalidRow, Item, Row, Who
from feedback.models import (
    Project,
    Prompt,
    Response,
    Split,
    Task,
)
from feedback.rules.collection import label_schemes, payloads
from feedback.rules.collection import messages as message_rules
from feedback.rules.collection.kinds.question import PROMPT as ON_PROMPT
from feedback.rules.collection.kinds.registry import KINDS, WITH_SCHEME
from feedback.rules.collection.pairing import PRIORITIES
from feedback.rules.collection.payloads import Payload
from feedback.rules.data.content_hash import body_hash
from feedback.rules.quality import gold as gold_rules
from feedback.rules.screening.screening import Screened
from feedback.services.data import import_people, splits
from feedback.services.platform import people
from feedback.services.screening import arrivals

HASHED = "sha256:"  # begins the external ids that are hashes of the item, which exports leave out
MOST_ANSWERS = 100
MOST_RESPONSES = 32
MOST_TEXT = 200_000
MOST_SECONDS = 86_400
MOST_TOGETHER = 2000  # responses of a prompt with all that belongs to it
MOST_WANTED, MOST_COMMENT, MOST_EXPLANATION = 16, 5000, 5000
KEYED: dict[str, type[Model]] = {"task": Task, "prompt": Prompt, "response": Response}
KINDS_OF_ITEMS = (*KINDS, PROMPT, THUMB)

# What is hashed of the parts of an item, in this order.
_of_response = attrgetter("text", "model")
_of_answer = attrgetter("annotator", "source", "answer", "shown")
_of_thumb = attrgetter("response", "person.name", "person.source", "up", "comment")


@dataclass(slots=True)
class Part:
    """A checked task of an item: its key, the places and public ids of its responses, and the resolved payloads."""

    item: Item
    key: str
    placed: Sequence[int]
    names: list[str]
    gold: Row | None = None
    payloads: list[Payload] = field(default_factory=list)
    verdict: Payload | None = None

    def writes(self, number: int) -> bool:
        """Whether the answer at this place writes a new response."""
        return payloads.written_in(self.item.kind, self.payloads[number], self.names) is not None


@dataclass(slots=True)
class Ready:
    """A checked item: its key, the hash of its content, the public ids of its responses, its tasks, texts to store.

    `keys` are all the external ids that it takes, each with the name of its table.
    """

    item: Item
    key: str
    digest: str
    newcomer: splits.Newcomer
    prompt: str
    metadata: str
    provenance: str
    names: list[str]
    parts: list[Part]
    keys: list[tuple[str, str]]
    screening: str = '{"guard": null}'


def ready(project: Project, item: Item) -> Ready:
    """Check an item against the rules of its kind.

    Raises:
        InvalidRow: with the field and a sentence.
    """
    if item.kind not in KINDS_OF_ITEMS:
        raise InvalidRow("kind", f"It must be one of {', '.join(KINDS_OF_ITEMS)}; got {item.kind!r}.")
    try:
        item.prompt = message_rules.checked(item.prompt)
    except message_rules.InvalidMessages as error:
        raise InvalidRow(error.field.replace("messages", "prompt", 1), error.sentence) from None
    personal: Screened | None = None
    if project.screening:
        personal = _personal(project, item)
    _check_prompt(item)
    import_people.thumbs(item)
    for place, task in enumerate(item.tasks):
        task.prompt, task.responses = item.prompt, [item.responses[one] for one in task.placed]
        try:
            _check_task(project, task)
        except InvalidRow as error:
            raise InvalidRow(f"tasks[{place}].{error.field}", error.sentence) from None
    _check_task(project, item)
    digest = _digest(item)
    new = splits.newcomer(project, item.prompt, group=item.group, opening=item.family, wanted=item.split)
    try:
        metadata = as_json(item.metadata) if item.metadata else "{}"
        provenance = as_json(item.provenance) if item.provenance else "{}"
    except ValueError:
        raise InvalidRow("metadata", "It contains a number that is too large.") from None
    names = new_uuids(len(item.responses))
    given = item.external_id if item.prompt_id is None else item.prompt_id
    key = given or HASHED + digest
    parts = _parts(project, item, names, digest)
    keys = _keys(item, key, parts)
    one = Ready(item, key, digest, new, as_json(item.prompt), metadata, provenance, names, parts, keys)
    if personal:
        one.screening = as_json(personal)
    _check_written(item, parts)
    return one


def _parts(project: Project, item: Item, names: list[str], digest: str) -> list[Part]:
    """The tasks of an item, with its own where it has no list of them."""
    if not item.tasks:
        if item.kind in (PROMPT, THUMB):
            return []
        part = Part(item, item.external_id or HASHED + digest, range(len(names)), names)
        _resolve(project, part)
        return [part]
    parts = []
    for place, task in enumerate(item.tasks):
        key = task.external_id or f"{HASHED}{digest}#{place + 1}"
        part = Part(task, key, task.placed, [names[one] for one in task.placed])
        try:
            _resolve(project, part)
        except InvalidRow as error:
            raise InvalidRow(f"tasks[{place}].{error.field}", error.sentence) from None
        parts.append(part)
    return parts


def _keys(item: Item, key: str, parts: Sequence[Part]) -> list[tuple[str, str]]:
    """All external ids that an item takes, each with the name of its table."""
    keys = [("prompt", key)]
    for part in parts:
        if not part.key.startswith(HASHED):
            keys.append(("task", part.key))
    for response in item.responses:
        if response.external_id:
            keys.append(("response", response.external_id))
    return keys


def _digest(item: Item) -> str:
    """The hash of an item's content.

    Fields that came later count only where a row has them, so that hashes of earlier rows stay what they were.
    """
    content: list[object] = [
        item.kind, item.prompt, list(map(_of_response, item.responses)), list(map(_of_answer, item.answers)),
        item.gold, item.ask, item.source, item.priority, item.wanted, _beside(item),
    ]  # fmt: skip
    if item.explanation or item.training_round:
        content += [item.explanation, item.training_round]
    if item.group:
        content.append({"group": item.group})
    if item.tasks or item.thumbs or item.verdict or item.state or item.id or item.prompt_id is not None:
        content.append(_whole_project_fields(item))
    return body_hash(content)


def _whole_project_fields(item: Item) -> dict[str, object]:
    """Fields that only rows of a whole-project export have, for the hash of an item."""
    tasks = []
    for task in item.tasks:
        answers = list(map(_of_answer, task.answers))
        verdict = task.verdict and [task.verdict.answer, task.verdict.note]
        tasks.append(
            [task.kind, task.placed, answers, task.gold, task.ask, task.external_id, task.state, verdict]
        )  # fmt: skip
    return {
        "tasks": tasks,
        "thumbs": list(map(_of_thumb, item.thumbs)),
        "state": item.state,
        "id": [item.id, item.prompt_id],
        "verdict": item.verdict and [item.verdict.answer, item.verdict.note],
    }


def _check_prompt(item: Item) -> None:
    """Check the fields that a row has once, however many tasks it has."""
    if item.tasks and item.kind != PROMPT:
        raise InvalidRow("kind", f"A row with tasks must have the kind {PROMPT}.")
    texts = (
        ("external_id", item.external_id or "", 200),
        ("source", item.source, 100),
        ("group", item.group, 200),
        ("id", item.id, 100),
    )
    ids: list[tuple[str, str, int]] = []
    for response in item.responses:
        if response.external_id:
            ids.append(("responses.external_id", response.external_id, 200))
    for task in item.tasks:
        if task.external_id:
            ids.append(("tasks.external_id", task.external_id, 200))
    if item.prompt_id:
        ids.append(("prompt_external_id", item.prompt_id, 200))
    for name, value, most in (*texts, *ids, ("family", item.family, MOST_TEXT)):
        if len(value) > most:
            raise InvalidRow(name, f"It has {len(value)} characters; the limit is {most}.")
    if len(set(ids)) != len(ids):
        raise InvalidRow(ids[0][0], "An external id occurs twice in the row.")
    if item.split and item.split not in Split.values:
        raise InvalidRow("split", f"It must be one of {', '.join(Split.values)}; got {item.split!r}.")
    if not 0 <= item.responses_wanted <= MOST_WANTED:
        raise InvalidRow("responses_wanted", f"It must lie between 0 and {MOST_WANTED}.")
    for place, thumb in enumerate(item.thumbs):
        if len(thumb.comment) > MOST_COMMENT:
            raise InvalidRow(f"thumbs[{place}].comment", f"It may have {MOST_COMMENT} characters.")
    for who in import_people.of(item):
        if not who.name or not who.source or len(who.name) > 200 or len(who.source) > 100:
            raise InvalidRow(
                "answers", "Every annotation needs an annotator (at most 200 characters) and a source (100)."
            )


def _check_task(project: Project, item: Item) -> None:
    _check_responses(item)
    if not 0 <= item.priority < PRIORITIES:
        raise InvalidRow("priority", f"It must lie between 0 and {PRIORITIES - 1}.")
    if item.wanted is not None and not 1 <= item.wanted <= 100:
        raise InvalidRow("annotations_wanted", "It must lie between 1 and 100.")
    if item.gold is None and (item.training_round or item.explanation):
        name = "training_round" if item.training_round else "explanation"
        raise InvalidRow(name, "An explanation needs a gold answer. Add one under gold.")
    if len(item.explanation) > MOST_EXPLANATION:
        sentence = f"It has {len(item.explanation)} characters; the limit is {MOST_EXPLANATION}."
        raise InvalidRow("explanation", sentence)
    _check_scheme(project, item)


def _check_written(item: Item, parts: list[Part]) -> None:
    """Check that responses which name the answer that wrote them name one that does, and each a different one."""
    written = [one.answer_of for one in item.responses if one.answer_of is not None]
    for task, answer in written:
        if task >= len(parts) or answer >= len(parts[task].payloads) or not parts[task].writes(answer):
            raise InvalidRow("responses", f"The annotation at places {task} and {answer} writes no response.")
    if len(set(written)) != len(written):
        raise InvalidRow("responses", "Two responses name the same annotation as their author.")


def _beside(item: Item) -> Row | list[Row]:
    """Metadata and provenance for the hash of an item: merged, as they were stored before, unless keys clash."""
    if item.metadata.keys() & item.provenance.keys():
        return [item.metadata, item.provenance]
    return item.metadata | item.provenance


class Known:
    """Rows that exist already, and the people of this import so far."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.digests: dict[tuple[str, str], str] = {}
        self.met: dict[tuple[str, str], str] = {}  # of a dry run: keys of earlier rows, which no table has
        self.people: dict[Who, int] = {}

    def look_up(self, batch: Sequence[Ready]) -> None:
        """Look up the keys of a batch in their tables, in one query each, and forget the last batch."""
        self.digests = {}
        keys: dict[str, list[str]] = {name: [] for name in KEYED}
        for one in batch:
            for table, key in one.keys:
                keys[table].append(key)
        for name, model in KEYED.items():
            if keys[name]:
                found = digests_of(model, self.project.pk, keys[name])
                for key, digest in found.items():
                    self.digests[name, key] = digest
        if self.met:
            for one in batch:
                for name_and_key in one.keys:
                    if name_and_key in self.met:
                        self.digests[name_and_key] = self.met[name_and_key]

    def meet(self, batch: Sequence[Ready]) -> None:
        """Create people who are new, in separate small transactions."""
        for one in batch:
            for who in import_people.of(one.item):
                if who not in self.people:
                    self.people[who] = people.imported_person(source=who.source, name=who.name).pk


def _personal(project: Project, item: Item) -> Screened:
    """The screening of an item's prompt for personal data, which is masked, noted or refused as the project says.

    Raises:
        InvalidRow: it is refused; or masking it would move what was marked in it.
    """
    arrival = arrivals.arrive(project, item.prompt)
    found = ", ".join(arrival.screening.get("personal", []))
    if arrival.state == Prompt.State.BLOCKED:
        raise InvalidRow("prompt", f"It contains personal data ({found}), which this project does not accept.")
    marked = any(map(_is_marked, item.tasks or [item]))
    if arrival.screening.get("masked") and marked:
        raise InvalidRow(
            "prompt", f"It contains personal data ({found}); masking would shift its spans. Mask it before the import."
        )
    item.prompt = arrival.messages
    return arrival.screening


def _is_marked(task: Item) -> bool:
    kind = KINDS.get(task.kind)
    return kind is not None and kind.marks_text and bool(task.answers or task.gold)


def _check_responses(item: Item) -> None:
    kind = KINDS.get(item.kind)
    fewest, most = 1, 1
    if kind is not None:
        fewest, most = kind.fewest_responses, kind.most_responses
    elif item.kind == PROMPT:
        fewest, most = 0, MOST_RESPONSES
        if item.tasks or item.thumbs:
            most = MOST_TOGETHER
    count = len(item.responses)
    if not fewest <= count <= most:
        wanted = f"{fewest} to {most}"
        if fewest == most:
            wanted = str(most)
        raise InvalidRow("responses", f"A {item.kind} needs {wanted} responses; got {count}.")
    for place, one in enumerate(item.responses):
        if len(one.text) > MOST_TEXT:
            raise InvalidRow(f"responses[{place}]", f"It is longer than {MOST_TEXT} characters.")
    if kind is not None and (alike := kind.find_indistinct([one.text for one in item.responses])):
        raise InvalidRow("responses", alike)
    if item.answers and item.kind == PROMPT:
        raise InvalidRow("answers", "A prompt row has no annotations; set the task kind.")
    if len(item.answers) > MOST_ANSWERS:
        raise InvalidRow("answers", f"There are {len(item.answers)}; the limit is {MOST_ANSWERS}.")
    people_met = set(map(attrgetter("source", "annotator"), item.answers))
    if len(people_met) != len(item.answers):
        raise InvalidRow("answers", "One annotator occurs twice.")
    for annotation in item.answers:
        if not 0 <= annotation.seconds <= MOST_SECONDS:
            raise InvalidRow("answers", "The seconds of an annotation must be a number, at most one day.")


def _check_scheme(project: Project, item: Item) -> None:
    if item.kind not in WITH_SCHEME:
        if item.ask:
            raise InvalidRow("ask", f"A {item.kind} has no label scheme.")
        return
    fitting = sorted(label_schemes.names_of_kind(project.label_scheme, item.kind))
    if set(item.ask) != {"scheme"} or item.ask["scheme"] not in fitting:
        choices = ", ".join(fitting) or "none yet; add one to the project"
        raise InvalidRow("ask.scheme", f"Name a label scheme of the project for {item.kind}: {choices}.")


def _resolve(project: Project, one: Part) -> None:
    """Resolve letters into public ids, by the rules of the kind."""
    item = one.item
    if not item.answers and item.gold is None and item.verdict is None:
        return
    scheme = label_schemes.scheme_of(project.label_scheme, item.ask)
    texts = {}
    for name, response in zip(one.names, item.responses, strict=True):
        texts[name] = response.text
    texts[ON_PROMPT] = next(turn["content"] for turn in reversed(item.prompt) if turn["role"] == "user")
    if project.renames:
        names, scheme_name = project.names, item.ask.get("scheme", "")
        if isinstance(item.gold, dict):
            item.gold = names.read(item.gold, scheme_name)
        for annotation in item.answers:
            if isinstance(annotation.answer, dict):
                annotation.answer = names.read(annotation.answer, scheme_name)
    question = payloads.Question(item.kind, one.names, texts, project.dimensions, scheme=scheme)
    where = "gold"
    try:
        if item.gold is not None:
            one.gold = gold_rules.checked(item.gold, question)
        for place, annotation in enumerate(item.answers):
            where = f"answers[{place}].answer"
            one.payloads.append(payloads.resolve(annotation.answer, question))
        if item.verdict is not None:
            where = "verdict.answer"
            one.verdict = payloads.resolve(item.verdict.answer, question)
    except payloads.InvalidAnswer as error:
        raise InvalidRow(f"{where}.{error.field}", error.sentence) from None
