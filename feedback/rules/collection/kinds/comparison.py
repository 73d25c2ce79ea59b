"""Comparison: which of two responses is better and how much, a tie, or both bad.

Answer: {"outcome": "prefer", "choice": "a", "strength": 0-3, "dimensions": {"helpful": "b" | "same"}, "reason": "…"};
outcomes tie and both_bad name no choice.
"""

from typing import Any

from feedback.rules.collection.kinds.question import InvalidAnswer, Question, letter, only, reason, response
from feedback.rules.collection.preference import OUTCOMES, STRENGTH_NAMES, Preference
from feedback.rules.data.texts import twins, twins_sentence


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    only(answer, "outcome", "choice", "strength", "dimensions", "reason")
    outcome = answer.get("outcome")
    if outcome not in OUTCOMES:
        raise InvalidAnswer("outcome", f"It must be one of {', '.join(OUTCOMES)}; got {outcome!r}.")
    payload: dict[str, Any] = {"outcome": outcome}
    if outcome == "prefer":
        chosen = response(answer.get("choice"), question, "choice")
        strength = answer.get("strength")
        if not isinstance(strength, int) or isinstance(strength, bool) or strength not in STRENGTH_NAMES:
            raise InvalidAnswer("strength", f"It must be 0, 1, 2 or 3 (negligible to strong); got {strength!r}.")
        if alike(question):
            raise InvalidAnswer("choice", f"{twins_sentence((0, 1))} Say so, or that both are bad.")
        payload |= {"chosen": chosen, "rejected": next(r for r in question.shown if r != chosen), "strength": strength}
    elif answer.get("choice") is not None:
        raise InvalidAnswer("choice", f"A {outcome} names no choice.")
    payload["dimensions"] = _dimensions(answer.get("dimensions") or {}, question)
    payload["reason"] = reason(answer.get("reason"), question)
    return payload


def alike(question: Question) -> bool:
    """Whether both responses are the same text, so that neither can be better."""
    return twins([question.texts.get(one, one) for one in question.shown]) is not None


def unresolve(payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"outcome": payload["outcome"], "reason": payload.get("reason", "")}
    if payload["outcome"] == "prefer":
        answer |= {"choice": letter(payload["chosen"], shown), "strength": payload["strength"]}
    answer["dimensions"] = {
        name: "same" if chosen == "same" else letter(chosen, shown)
        for name, chosen in payload.get("dimensions", {}).items()
    }
    return answer


def preferences(payload: dict[str, Any]) -> list[Preference]:
    """One pair; ties and both-bad become none."""
    if payload["outcome"] != "prefer":
        return []
    return [Preference(payload["chosen"], payload["rejected"], payload["strength"])]


def _dimensions(given: Any, question: Question) -> dict[str, str]:
    if not isinstance(given, dict):
        raise InvalidAnswer("dimensions", "It must be an object of dimension to a letter or 'same'.")
    unknown = sorted(set(given) - set(question.dimensions))
    if unknown:
        names = ", ".join(question.dimensions) or "none"
        raise InvalidAnswer("dimensions", f"This project does not ask about {unknown[0]!r}; it asks about: {names}.")
    return {
        name: "same" if choice == "same" else response(choice, question, f"dimensions.{name}")
        for name, choice in given.items()
        if choice is not None
    }
