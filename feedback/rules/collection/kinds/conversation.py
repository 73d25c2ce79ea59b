"""A turn of a conversation: a comparison of its two answers, and with which words the talk goes on.

Answer: as a comparison's. Where both are bad it may bring `"rewrite": "…"`, what should have been stated; it is
preferred to both, and the talk goes on with it. After a tie the talk goes on with a.
"""

from typing import Any

from feedback.rules.collection.kinds import comparison
from feedback.rules.collection.kinds.demonstration import MAX_CHARACTERS
from feedback.rules.collection.kinds.question import InvalidAnswer, Question
from feedback.rules.collection.preference import Preference
from feedback.rules.data.texts import same


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    given = dict(answer)
    rewrite = given.pop("rewrite", None)
    payload = comparison.resolve(given, question)
    texts = [question.texts.get(shown, "") for shown in question.shown]
    if rewrite in (None, ""):
        return payload
    if not isinstance(rewrite, str) or not rewrite.strip():
        raise InvalidAnswer("rewrite", "It must be the text that should have been said.")
    if payload["outcome"] != "both_bad":
        raise InvalidAnswer("rewrite", "Only where both are bad is another answer written.")
    if len(rewrite) > MAX_CHARACTERS:
        raise InvalidAnswer("rewrite", f"It has {len(rewrite)} characters; at most {MAX_CHARACTERS} are kept.")
    if "\x00" in rewrite:
        raise InvalidAnswer("rewrite", "It holds a NUL character, which cannot be stored.")
    if any(same(rewrite, text) for text in texts):
        raise InvalidAnswer("rewrite", "It is one of the two as it was. Choose that one instead.")
    return payload | {"rewrite": rewrite}


def unresolve(payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    answer = comparison.unresolve(payload, shown)
    return answer | {"rewrite": payload["rewrite"]} if "rewrite" in payload else answer


def preferences(payload: dict[str, Any]) -> list[Preference]:
    """As a comparison's. What was rewritten is preferred to both once it has an id."""
    return comparison.preferences(payload)


def goes_on_with(payload: dict[str, Any], shown: list[str]) -> str | None:
    """Public id of the response that the talk goes on with; None where both were bad."""
    if payload["outcome"] == "prefer":
        chosen: str = payload["chosen"]
        return chosen
    return shown[0] if payload["outcome"] == "tie" else None
