"""Items of a file, checked by the rules of their kind before anything is written; `intake_rows` writes them.

A row is known by its external id, or by the hash of what it says: the same item brought in twice is there once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from feedback.formats.items import PROMPT, THUMB, InvalidRow, Item
from feedback.models import (
    Kind,
    Project,
    Prompt,
    Split,
    Task,
)
from feedback.rules import gold as gold_rules
from feedback.rules import messages as message_rules
from feedback.rules import payloads, schemes
from feedback.rules.canonical import body_hash
from feedback.rules.kinds.question import PROMPT as ON_PROMPT
from feedback.rules.pairing import PRIORITIES
from feedback.services import guarding, people, placement, tasks
from feedback.services.bulk import as_json, digests_of, new_uuids

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
    newcomer: placement.Newcomer
    prompt: str
    metadata: str
    provenance: str
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
    texts = (("external_id", item.external_id or "", 200), ("source", item.source, 100), ("group", item.group, 200))
    for name, value, most in (*texts, ("explanation", item.explanation, 5000), ("family", item.family, MOST_TEXT)):
        if len(value) > most:
            raise InvalidRow(name, f"It has {len(value)} characters; at most {most} are kept.")
    if item.split and item.split not in Split.values:
        raise InvalidRow("split", f"It must be one of {', '.join(Split.values)}; got {item.split!r}.")
    _check_scheme(project, item)
    digest = body_hash(
        [
            item.kind, item.prompt, [[one.text, one.model] for one in item.responses],
            [[one.annotator, one.source, one.answer, one.shown] for one in item.answers],
            item.gold, item.ask, item.source, item.priority, item.wanted, _beside(item),
            *([item.explanation, item.training_round] if item.explanation or item.training_round else []),
            *([{"group": item.group}] if item.group else []),
        ]
    )  # fmt: skip
    new = placement.newcomer(project, item.prompt, group=item.group, opening=item.family, asked=item.split)
    try:
        metadata = as_json(item.metadata) if item.metadata else "{}"
        provenance = as_json(item.provenance) if item.provenance else "{}"
    except ValueError:
        raise InvalidRow("metadata", "A number in it is beyond measure.") from None
    names = new_uuids(len(item.responses))
    key = item.external_id or HASHED + digest
    one = Ready(item, key, digest, new, as_json(item.prompt), metadata, provenance, names)
    if told:
        one.screening = as_json(told)
    _resolve(project, one)
    return one


def _beside(item: Item) -> Any:
    """Metadata and provenance as the hash of an item has them: as one, as long as they were kept in one place."""
    if item.metadata.keys() & item.provenance.keys():
        return [item.metadata, item.provenance]
    return item.metadata | item.provenance


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
    if alike := tasks.check_distinct(item.kind, [one.text for one in item.responses]):
        raise InvalidRow("responses", alike)
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
