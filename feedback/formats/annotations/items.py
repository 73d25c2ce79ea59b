"""What every format reads into and writes from: a prompt, its responses, and what people judged of them.

Answers name responses by letter, in the order in which the item lists them; `shown` keeps the order on screen beside
the answer, where it is known. So no format's idea of left and right ever becomes the winner.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any

from feedback.rules.collection.message_content import ROLES, beside, text_of
from feedback.rules.json_types import JsonObject, is_list_of

Row = JsonObject
Message = dict[str, str]
LETTERS = "abcdefghi"
PROMPT, THUMB = "prompt", "thumb"  # beside the task kinds: no task at all, and a thumb on one response
CLEAR = 2


class InvalidRow(ValueError):
    """What is wrong with a row: the field, and a sentence."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field, self.sentence = field, sentence
        super().__init__(f"{field}: {sentence}" if field else sentence)


@dataclass(frozen=True, slots=True)
class Who:
    """A person by the name that a source has for them."""

    name: str
    source: str = ""


@dataclass(slots=True)
class Candidate:
    """A response as formats know it: its text, and the model or the person who wrote it if that is reported.

    `answer_of` is the place of a task and of an answer to it, where that answer is what wrote the response.
    """

    text: str
    model: str = ""
    author: Who | None = None
    external_id: str | None = None
    blocked: bool = False  # by the guard of the project that it comes from
    answer_of: tuple[int, int] | None = None


@dataclass(slots=True)
class AnnotationItem:
    """One person's answer, in letters."""

    annotator: str
    answer: Row
    shown: list[str] = field(default_factory=list)
    seconds: float = 0.0
    source: str = ""
    counted: bool = True  # one of those that the task wanted; otherwise it came beyond them
    late: bool = False
    at: datetime | None = None  # when it was submitted
    corrected_by: Who | None = None  # the reviewer whose answer this is, in the annotator's place
    blind: bool | None = None  # False: they could read who wrote the responses; None: not known


@dataclass(slots=True)
class Opinion:
    """A thumb on the response at a place among the item's."""

    response: int
    person: Who
    up: bool
    comment: str = ""
    at: datetime | None = None


@dataclass(slots=True)
class Decision:
    """What a reviewer decided a task's answer to be, in letters."""

    reviewer: Who
    answer: Row
    note: str = ""
    at: datetime | None = None


@dataclass(slots=True)
class Item:
    """A task with all that belongs to it; of kind `prompt` there is no task, of kind `thumb` a single response.

    A prompt with several tasks, or with responses that its task does not show, is of kind `prompt` too: it has `tasks`,
    each of which has its own `placed` among the prompt's responses, and neither a prompt nor texts of its own.
    """

    kind: str
    prompt: list[Message]
    responses: list[Candidate] = field(default_factory=list)
    answers: list[AnnotationItem] = field(default_factory=list)
    gold: Row | None = None
    explanation: str = ""  # why that is right
    training_round: bool = False  # whether new annotators begin with it
    ask: Row = field(default_factory=dict)
    external_id: str | None = None
    source: str = ""
    metadata: Row = field(default_factory=dict)
    provenance: Row = field(default_factory=dict)  # what its reader kept, by format; see `provenance`
    priority: int = 0
    wanted: int | None = None
    group: str = ""  # the document, conversation or customer it is from: one split for all of it
    split: str = ""  # where it was in the project it comes from; stays so unless its relatives here are elsewhere
    state: str = ""  # withdrawn or on hold, where the task is that
    verdict: Decision | None = None
    thumbs: list[Opinion] = field(default_factory=list)
    tasks: "list[Item]" = field(default_factory=list)
    placed: list[int] = field(default_factory=list)
    prompt_id: str | None = None  # the prompt's own external id, where it is not the task's; "" where it has none
    responses_wanted: int = 0
    id: str = ""  # tells it from another that is the same, word for word
    family: str = ""  # the first message of its family, where that is not the prompt's own (an edit)

    @property
    def texts(self) -> list[str]:
        """Texts of the responses, in their order."""
        return [response.text for response in self.responses]


@dataclass(frozen=True)
class LeftOut:
    """Something that has no place in what is written, or that its source marks as no annotation; counted and
    reported."""

    why: str


@dataclass(frozen=True)
class Note:
    """How a row was read, where that is not a matter of course; reported with the import, and how often."""

    sentence: str


@dataclass(frozen=True)
class Defaults:
    """What a file does not say about its rows and its importer may."""

    source: str = "import"
    annotator: str = "unknown"


Reader = Callable[[object, Defaults], Iterator[Item | LeftOut | Note]]
Writer = Callable[[Item], Iterator[Row | LeftOut]]


def need(row: Row, name: str, kind: type, where: str = "") -> Any:
    """A field of the row, of the type it must have."""
    value = row.get(name)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InvalidRow(where + name, _wrong(value, kind, name in row))
    return value


def an_object(row: object) -> Row:
    if not isinstance(row, dict):
        raise InvalidRow("", f"A row must be an object; this is {_name(type(row))}.")
    return row


def conversation(given: object, name: str = "prompt") -> list[Message]:
    """A prompt reported as text or as messages, as messages. Deeper checks follow where it is stored."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise InvalidRow(name, f"It must be text or a list of messages; this is {_name(type(given))}.")
    return given


# Parts of what a message says: without them it would say something else.
SAYS_MORE = ("tool_calls", "function_call", "audio", "refusal")


def turns(given: object, name: str) -> tuple[list[Message], list[Row]]:
    """Messages as other tools write them, and what each holds beside its role and content.

    Raises:
        InvalidRow: something in it is no text, or a message says more than its text does.
    """
    if not is_list_of(given, dict):
        raise InvalidRow(name, "It must be text or a list of messages.")
    messages, more = [], []
    for place, one in enumerate(given):
        text, extra = text_of(one.get("content")), beside(one)
        for lost in SAYS_MORE:
            if lost in extra:
                raise InvalidRow(
                    f"{name}[{place}].{lost}", "It has no place here, and the message needs it. Remove it."
                )
        if text is None:
            raise InvalidRow(f"{name}[{place}].content", "It must be text, or parts that are all text.")
        role: Any = one.get("role")
        if isinstance(role, str):
            role = ROLES.get(role, role)
        messages.append({"role": role, "content": text})
        more.append(extra)
    return messages, more


def told_beside(more: list[Row]) -> Iterator[Note]:
    """A note for each field that messages hold beside role and content."""
    for field_name in sorted(set(chain.from_iterable(more))):
        yield Note(f"Messages have the field {field_name!r}: it is kept beside them and not learned.")


def parts(item: Item) -> "Iterator[Item | LeftOut]":
    """An item as formats that know single tasks take it: each task, each response with thumbs; or just the prompt."""
    if not (item.tasks or item.thumbs or item.verdict or item.state):
        yield item
        return
    shown: set[int] = set()
    tasks = item.tasks
    if not tasks and item.kind not in (PROMPT, THUMB):
        tasks = [item]
    for task in tasks:
        places = task.placed if item.tasks else range(len(item.responses))
        shown.update(places)
        if task.verdict is not None:
            yield LeftOut("what a reviewer decided")
        if task.state == "withdrawn":
            yield LeftOut(f"a {task.kind} that was withdrawn")
            continue
        one = task
        if item.thumbs or item.tasks:
            one = replace(task, thumbs=[], verdict=None, tasks=[], placed=[])
        if item.tasks:
            one.prompt, one.responses = item.prompt, [item.responses[place] for place in places]
            one.source, one.metadata, one.provenance = item.source, item.metadata, item.provenance
            one.group, one.split, one.family = item.group, item.split, item.family
        yield one
    rated: dict[int, list[AnnotationItem]] = {}
    for thumb in item.thumbs:
        annotation = AnnotationItem(thumb.person.name, {"up": thumb.up}, source=thumb.person.source, at=thumb.at)
        rated.setdefault(thumb.response, []).append(annotation)
    for place, answers in rated.items():
        yield replace(item, kind=THUMB, responses=[item.responses[place]], answers=answers, thumbs=[], tasks=[],
                      gold=None, ask={}, verdict=None, state="",
                      external_id=None if shown or len(rated) > 1 else item.external_id)  # fmt: skip
    if item.kind == THUMB or (item.kind == PROMPT and not item.tasks and not rated):
        yield item
        return
    for place in range(len(item.responses)):
        if place not in shown and place not in rated:
            yield LeftOut("a response that no task shows")


def prefers(letter: str, strength: int = CLEAR) -> Row:
    return {"outcome": "prefer", "choice": letter, "strength": strength}


def best_and_worse(item: Item, annotation: AnnotationItem) -> tuple[str, str] | None:
    """Texts of the preferred and the other response of a comparison; None for ties and both bad."""
    if annotation.answer.get("outcome") != "prefer":
        return None
    best = LETTERS.index(annotation.answer["choice"])
    return item.responses[best].text, item.responses[1 - best].text


def rest(row: Row, *known: str) -> Row:
    """What a row holds beside the fields that have a place of their own: kept, to be given back."""
    return {name: value for name, value in row.items() if name not in known}


def _wrong(value: object, kind: type, present: bool) -> str:
    return f"It must be {_name(kind)}; this is {_name(type(value))}." if present else f"It is missing ({_name(kind)})."


def _name(kind: type) -> str:
    names = {str: "text", dict: "an object", list: "a list", int: "a whole number", bool: "true or false"}
    return names.get(kind, {type(None): "null", float: "a number"}.get(kind, kind.__name__))
