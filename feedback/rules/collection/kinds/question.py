"""What was requested, what is wrong with an answer, and the checks that several kinds share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypedDict

from feedback.rules.platform.known_names import unknown_name

LETTERS = "abcdefghi"
MAX_REASON = 5000
MAX_CHARACTERS = 100_000  # of a text that an annotator writes
PROMPT = "prompt"  # how spans and labels name the prompt, where they may be about it instead of a response

Answer: TypeAlias = dict[str, Any]  # in letters, as an annotator or a file gives it
Payload: TypeAlias = Mapping[str, Any]  # as it is stored; each kind's TypedDict has its fields


class LabelMark(TypedDict, total=False):
    """How a label looks."""

    colour: str
    underline: str
    badge: str


class _LabelName(TypedDict):
    name: str


class Label(_LabelName, total=False):
    """A label of a scheme; `key` is its key at the desk."""

    title: str
    definition: str
    key: str
    mark: LabelMark


class LabelScheme(TypedDict, total=False):
    """A label scheme of a project. `many`: several labels for one text, or overlapping spans, are allowed."""

    name: str
    title: str
    kind: str
    question: str
    many: bool
    labels: list[Label]


class InvalidAnswer(ValueError):
    """An answer that cannot be stored: which field, and why."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


@dataclass(frozen=True)
class Question:
    """What an annotator judged.

    Attributes:
        kind: the task's kind.
        shown: public ids of the responses in the order shown: the first is a.
        texts: text of each response by its public id, and of the prompt (its last user message) under PROMPT.
        dimensions: requested per comparison or rating by the project.
        asks_reason: whether a reason must be given.
        scheme: the label scheme that the task names; empty for kinds without one.
    """

    kind: str
    shown: list[str]
    texts: Mapping[str, str] = field(default_factory=dict)
    dimensions: list[str] = field(default_factory=list)
    asks_reason: bool = False
    scheme: LabelScheme = field(default_factory=LabelScheme)

    @property
    def labels(self) -> list[str]:
        return [label["name"] for label in self.scheme.get("labels", [])]


def only(answer: Answer, *allowed: str) -> None:
    unknown = sorted(set(answer) - set(allowed))
    if unknown:
        raise InvalidAnswer(unknown[0], unknown_name(str(unknown[0]), allowed))


def response(letter: object, question: Question, name: str) -> str:
    """The public id behind a letter."""
    letters = LETTERS[: len(question.shown)]
    if not isinstance(letter, str) or len(letter) != 1 or letter not in letters:
        raise InvalidAnswer(name, f"It must be one of {', '.join(letters)}; got {letter!r}.")
    return question.shown[letters.index(letter)]


def letter(public_id: str, shown: list[str]) -> str:
    """The letter under which a response was shown."""
    return LETTERS[shown.index(public_id)]


def reason(given: object, question: Question) -> str:
    if given is None:
        given = ""
    if not isinstance(given, str):
        raise InvalidAnswer("reason", "It must be text.")
    if len(given) > MAX_REASON:
        raise InvalidAnswer("reason", f"It has {len(given)} characters; the limit is {MAX_REASON}.")
    if question.asks_reason and not given.strip():
        raise InvalidAnswer("reason", "This project requires a reason. Write a few words.")
    return given.strip()


def whole_number(given: object, low: int, high: int, name: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
        raise InvalidAnswer(name, f"It must be a whole number from {low} to {high}; got {given!r}.")
    return given
