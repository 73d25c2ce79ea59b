"""Comparison: which of two responses is better and how much, a tie, or both bad.

Answer: {"outcome": "prefer", "choice": "a", "strength": 0-3, "dimensions": {"helpful": "b" | "same"}, "reason": "…"};
outcomes tie and both_bad name no choice.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NotRequired, TypedDict

from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import Answer, InvalidAnswer, Question, letter, only, reason, response
from feedback.rules.collection.kinds.shared import agree_on_values, differ_in, is_equal, most_common
from feedback.rules.collection.kinds.task_kind import TaskKind
from feedback.rules.collection.preferences import CLEAR, KEYS, OUTCOMES, STRENGTH_SCALE, STRENGTHS, Preference
from feedback.rules.data import texts

SAME = "same"  # in a dimension, in place of a response: neither is better


class ComparisonPayload(TypedDict):
    """`chosen`, `rejected`: public ids; a dimension has a public id or "same"."""

    outcome: str
    chosen: NotRequired[str]
    rejected: NotRequired[str]
    strength: NotRequired[int]
    dimensions: NotRequired[dict[str, str]]
    reason: NotRequired[str]


def resolve(answer: Answer, question: Question) -> ComparisonPayload:
    only(answer, "outcome", "choice", "strength", "dimensions", "reason")
    outcome = answer.get("outcome")
    if outcome not in OUTCOMES:
        raise InvalidAnswer("outcome", f"It must be one of {', '.join(OUTCOMES)}; got {outcome!r}.")
    payload: ComparisonPayload = {"outcome": outcome}
    if outcome == "prefer":
        chosen = response(answer.get("choice"), question, "choice")
        strength = answer.get("strength")
        if not isinstance(strength, int) or isinstance(strength, bool) or strength not in STRENGTHS:
            raise InvalidAnswer("strength", f"It must be one of {STRENGTH_SCALE}; got {strength!r}.")
        if same_text := find_indistinct([question.texts.get(one, one) for one in question.shown]):
            raise InvalidAnswer("choice", f"{same_text} Choose a tie or both bad.")
        payload["chosen"] = chosen
        payload["rejected"] = next(other for other in question.shown if other != chosen)
        payload["strength"] = strength
    elif answer.get("choice") is not None:
        raise InvalidAnswer("choice", f"An outcome of {outcome} has no choice.")
    payload["dimensions"] = _dimensions(answer.get("dimensions") or {}, question)
    payload["reason"] = reason(answer.get("reason"), question)
    return payload


def unresolve(payload: ComparisonPayload, shown: list[str]) -> Answer:
    answer: Answer = {"outcome": payload["outcome"], "reason": payload.get("reason", "")}
    if payload["outcome"] == "prefer":
        answer |= {"choice": letter(payload["chosen"], shown), "strength": payload["strength"]}
    dimensions: dict[str, str] = {}
    for name, chosen in payload.get("dimensions", {}).items():
        dimensions[name] = SAME if chosen == SAME else letter(chosen, shown)
    answer["dimensions"] = dimensions
    return answer


def read_form(form: Form, text: str) -> Answer:
    """The button pressed and a choice for each dimension."""
    answer: Answer = {"outcome": None}
    pressed = form.get("choice")
    if pressed in KEYS:
        outcome, choice, strength = KEYS[pressed]
        answer = {"outcome": outcome}
        if outcome == "prefer":
            answer |= {"choice": choice, "strength": strength}
    answer["dimensions"] = {name: choice for name, choice in form.with_prefix("dimension-").items() if choice}
    return answer


def describe(payload: ComparisonPayload, letter_of: Mapping[str, str]) -> str:
    outcome = payload["outcome"]
    if outcome == "prefer":
        chosen = letter_of.get(payload.get("chosen", ""), "?")
        better = STRENGTHS.get(payload.get("strength", CLEAR), "better")
        return f"{chosen} is {better}"
    return {"tie": "no difference", "both_bad": "both bad"}.get(outcome, outcome.replace("_", " "))


def preferences(payload: ComparisonPayload) -> list[Preference]:
    """One pair; ties and both-bad become none."""
    if payload["outcome"] != "prefer":
        return []
    return [Preference(payload["chosen"], payload["rejected"], payload["strength"])]


def outcome_and_choice(payload: ComparisonPayload) -> Hashable:
    return payload.get("outcome"), payload.get("chosen")


def find_indistinct(written: Sequence[str]) -> str:
    """A sentence where two of the responses are the same text, so that neither can be better."""
    twins = texts.twins(written)
    return texts.twins_sentence(twins) if twins else ""


def _dimensions(given: object, question: Question) -> dict[str, str]:
    if not isinstance(given, dict):
        raise InvalidAnswer("dimensions", "It must be an object of dimension to a letter or 'same'.")
    unknown = sorted(set(given) - set(question.dimensions))
    if unknown:
        names = ", ".join(question.dimensions) or "none"
        raise InvalidAnswer("dimensions", f"This project does not ask about {unknown[0]!r}; it asks about: {names}.")
    chosen: dict[str, str] = {}
    for name, choice in given.items():
        if choice == SAME:
            chosen[name] = SAME
        elif choice is not None:
            chosen[name] = response(choice, question, f"dimensions.{name}")
    return chosen


KIND = TaskKind[ComparisonPayload](
    name="comparison",
    label="Comparison",
    summary="which of two responses is better, and by how much",
    instruction="say which of two responses is better",
    question="Which response is better?",
    fewest_responses=2,
    most_responses=2,
    resolve=resolve,
    unresolve=unresolve,
    read_form=read_form,
    describe=describe,
    preferences=preferences,
    majority=most_common(outcome_and_choice),
    disagree=differ_in(outcome_and_choice),
    measure_agreement=agree_on_values,
    gold_fields={"outcome": is_equal, "chosen": is_equal},
    find_indistinct=find_indistinct,
    is_pairwise=True,
    judges_responses=True,
)
