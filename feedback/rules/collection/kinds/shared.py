"""What several kinds share: majorities, disagreement, gold comparisons, and texts that annotators write."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from feedback.rules.collection.kinds.question import MAX_CHARACTERS, InvalidAnswer, Payload
from feedback.rules.collection.kinds.task_kind import Judged, KindFigures
from feedback.rules.quality.agreement import agreement

P = TypeVar("P", bound=Payload)


def most_common(whole: Callable[[P], Hashable]) -> Callable[[Sequence[P]], P | None]:
    """A kind's `majority`: the first answer whose `whole` more than half of the answers share, without its reason."""

    def majority(payloads: Sequence[P]) -> P | None:
        wholes = list(map(whole, payloads))
        (most, count), *_ = Counter(wholes).most_common()
        if 2 * count <= len(payloads):
            return None
        first = payloads[wholes.index(most)]
        return {**first, "reason": ""}  # type: ignore[return-value]  # the same TypedDict

    return majority


def differ_in(part: Callable[[P], Hashable]) -> Callable[[Sequence[P]], bool]:
    """A kind's `disagree`: whether `part` has several values."""

    def disagree(payloads: Sequence[P]) -> bool:
        return len(set(map(part, payloads))) > 1

    return disagree


def agree_on_values(tasks: Sequence[Sequence[Judged]]) -> KindFigures:
    """A kind's `measure_agreement`: nominal agreement on each answer's `value`."""
    units = []
    for task in tasks:
        units.append([answer.value for answer in task])
    return KindFigures(agreement(units))


def count_shared(tasks: Sequence[Sequence[Judged]]) -> int:
    """How many tasks have answers of several annotators."""
    return sum(len(task) > 1 for task in tasks)


def is_equal(given: object, right: object, tolerance: int) -> bool:
    """A gold field's comparison without tolerance."""
    return given == right


def check_text(text: object, field: str, missing: str) -> str:
    """A text that an annotator wrote.

    Args:
        missing: the sentence for a text that is empty or not a string.

    Raises:
        InvalidAnswer: it is empty, too long, or cannot be stored.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidAnswer(field, missing)
    if len(text) > MAX_CHARACTERS:
        raise InvalidAnswer(field, f"It has {len(text)} characters; the limit is {MAX_CHARACTERS}.")
    if "\x00" in text:
        raise InvalidAnswer(field, "It contains a NUL character, which cannot be stored.")
    return text


def first_words(text: str, count: int) -> str:
    """The first words of a text, with an ellipsis where it goes on."""
    words = text.split()
    shown = " ".join(words[:count])
    return shown if len(words) <= count else f"{shown}…"
