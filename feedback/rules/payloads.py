"""What a valid answer of each task kind looks like, and how letters become responses.

An annotator names letters (a, b, … in the order shown to them); what is stored names responses by public id. A wrong
answer is told by field, with what was expected.
"""

from collections.abc import Callable
from typing import Any

from feedback.rules.preference import OUTCOMES, STRENGTH_NAMES, Preference

LETTERS = "abcdefghi"
MAX_REASON = 5000


class InvalidAnswer(ValueError):
    """An answer that cannot be stored: which field, and why."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


def resolve(kind: str, answer: Any, shown: list[str], *, dimensions: list[str], asks_reason: bool) -> dict[str, Any]:
    """The payload to store for `answer`.

    Args:
        kind: the task's kind.
        answer: what the annotator sent; letters name responses.
        shown: public ids of the responses in the order shown: the first is a.
        dimensions: asked per comparison by the project.
        asks_reason: whether a reason must be given.

    Raises:
        InvalidAnswer: with the field and a sentence.
    """
    if not isinstance(answer, dict):
        raise InvalidAnswer("answer", "It must be an object.")
    resolver = _RESOLVERS.get(kind)
    if resolver is None:
        raise InvalidAnswer("answer", f"Tasks of kind {kind!r} cannot be answered yet.")
    return resolver(answer, shown, dimensions, asks_reason)


def unresolve(kind: str, payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    """The answer in letters that `payload` came from, as its annotator gave it."""
    letter_of = {response: LETTERS[place] for place, response in enumerate(shown)}
    answer: dict[str, Any] = {"outcome": payload.get("outcome"), "reason": payload.get("reason", "")}
    if payload.get("outcome") == "prefer":
        answer["choice"] = letter_of[payload["chosen"]]
        answer["strength"] = payload["strength"]
    answer["dimensions"] = {
        name: "same" if chosen == "same" else letter_of[chosen]
        for name, chosen in payload.get("dimensions", {}).items()
    }
    return answer


def preferences_in(kind: str, payload: dict[str, Any]) -> list[Preference]:
    """The pairs that an answer becomes for training. Ties and both-bad become none."""
    if kind == "comparison" and payload.get("outcome") == "prefer":
        return [Preference(payload["chosen"], payload["rejected"], payload["strength"])]
    return []


def _comparison(answer: dict[str, Any], shown: list[str], dimensions: list[str], asks_reason: bool) -> dict[str, Any]:
    unknown = set(answer) - {"outcome", "choice", "strength", "dimensions", "reason"}
    if unknown:
        raise InvalidAnswer(
            sorted(unknown)[0], "Unknown field; a comparison has outcome, choice, strength, dimensions, reason."
        )
    outcome = answer.get("outcome")
    if outcome not in OUTCOMES:
        raise InvalidAnswer("outcome", f"It must be one of {', '.join(OUTCOMES)}; got {outcome!r}.")
    payload: dict[str, Any] = {"outcome": outcome}
    if outcome == "prefer":
        chosen = _response(answer.get("choice"), shown, "choice")
        strength = answer.get("strength")
        if isinstance(strength, bool) or strength not in STRENGTH_NAMES:
            raise InvalidAnswer("strength", f"It must be 0, 1, 2 or 3 (negligible to strong); got {strength!r}.")
        payload |= {"chosen": chosen, "rejected": next(r for r in shown if r != chosen), "strength": strength}
    elif answer.get("choice") is not None:
        raise InvalidAnswer("choice", f"A {outcome} names no choice.")
    payload["dimensions"] = _dimensions(answer.get("dimensions") or {}, shown, dimensions)
    payload["reason"] = _reason(answer.get("reason"), asks_reason)
    return payload


def _dimensions(given: Any, shown: list[str], asked: list[str]) -> dict[str, str]:
    if not isinstance(given, dict):
        raise InvalidAnswer("dimensions", "It must be an object of dimension to a letter or 'same'.")
    unknown = sorted(set(given) - set(asked))
    if unknown:
        raise InvalidAnswer("dimensions", f"This project does not ask about {unknown[0]!r}; it asks about {asked}.")
    return {
        name: "same" if choice == "same" else _response(choice, shown, f"dimensions.{name}")
        for name, choice in given.items()
        if choice is not None
    }


def _reason(given: Any, required: bool) -> str:
    if given is None:
        given = ""
    if not isinstance(given, str):
        raise InvalidAnswer("reason", "It must be text.")
    if len(given) > MAX_REASON:
        raise InvalidAnswer("reason", f"It has {len(given)} characters; at most {MAX_REASON} are kept.")
    if required and not given.strip():
        raise InvalidAnswer("reason", "This project asks why. Write a few words.")
    return given.strip()


def _response(letter: Any, shown: list[str], field: str) -> str:
    letters = LETTERS[: len(shown)]
    if not isinstance(letter, str) or len(letter) != 1 or letter not in letters:
        raise InvalidAnswer(field, f"It must be one of {', '.join(letters)}; got {letter!r}.")
    return shown[letters.index(letter)]


_RESOLVERS: dict[str, Callable[[dict[str, Any], list[str], list[str], bool], dict[str, Any]]] = {
    "comparison": _comparison
}
