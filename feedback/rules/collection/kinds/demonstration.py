"""Demonstration: a response that a person writes, from scratch or by editing the one shown.

Answer: {"text": "…", "reason": "…"}. With a response shown, the text written is preferred to it.
"""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import Answer, InvalidAnswer, Question, only, reason
from feedback.rules.collection.kinds.shared import check_text, count_shared, first_words
from feedback.rules.collection.kinds.task_kind import Judged, KindFigures, TaskKind, Written
from feedback.rules.data.texts import same
from feedback.rules.quality.agreement import Agreement

SHOWN_WORDS = 12  # of a text in a list of answers


class DemonstrationPayload(TypedDict):
    """`original`: public id of the response that was edited, or None."""

    text: str
    original: str | None
    reason: NotRequired[str]


def resolve(answer: Answer, question: Question) -> DemonstrationPayload:
    only(answer, "text", "reason")
    text = check_text(answer.get("text"), "text", "Write the response.")
    original = question.shown[0] if question.shown else None
    if original is not None and same(text, question.texts.get(original, "")):
        raise InvalidAnswer("text", "The response is unchanged. Edit it, or skip the task if it needs no change.")
    return {"text": text, "original": original, "reason": reason(answer.get("reason"), question)}


def unresolve(payload: DemonstrationPayload, shown: list[str]) -> Answer:
    return {"text": payload["text"], "reason": payload.get("reason", "")}


def read_form(form: Form, text: str) -> Answer:
    return {"text": form.get_text("text")}


def describe(payload: DemonstrationPayload, letter_of: Mapping[str, str]) -> str:
    return f"wrote: {first_words(payload['text'], SHOWN_WORDS)}"


def written(payload: DemonstrationPayload, shown: Sequence[str]) -> Written:
    """The text, which is preferred to the response that was edited."""
    original = payload["original"]
    return Written(payload["text"], [original] if original else [])


def measure_agreement(tasks: Sequence[Sequence[Judged]]) -> KindFigures:
    """Only counted: two people never write the same text."""
    return KindFigures(Agreement(count_shared(tasks), None, None))


KIND = TaskKind[DemonstrationPayload](
    name="demonstration",
    label="Demonstration",
    summary="writing or editing a response",
    instruction="write or edit a response",
    question="What should the response be? Write it.",
    fewest_responses=0,
    most_responses=1,
    resolve=resolve,
    unresolve=unresolve,
    read_form=read_form,
    describe=describe,
    written=written,
    measure_agreement=measure_agreement,
    answers_with_text=True,
)
