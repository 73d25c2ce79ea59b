"""Classification: labels of a scheme for the prompt or for the response shown.

Answer: {"labels": ["work"], "reason": "…"}; one label, or several where the scheme allows many.
"""

from collections.abc import Hashable, Mapping
from typing import NotRequired, TypedDict

from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import (
    PROMPT,
    Answer,
    InvalidAnswer,
    LabelScheme,
    Question,
    only,
    reason,
)
from feedback.rules.collection.kinds.shared import agree_on_values, differ_in, is_equal, most_common
from feedback.rules.collection.kinds.task_kind import LabeledText, TaskKind
from feedback.rules.json_types import is_list_of


class ClassificationPayload(TypedDict):
    """`on`: "prompt", or the public id of the response that is labeled."""

    on: str
    scheme: str
    labels: list[str]
    reason: NotRequired[str]


def resolve(answer: Answer, question: Question) -> ClassificationPayload:
    only(answer, "labels", "reason")
    given = answer.get("labels")
    if not is_list_of(given, str):
        raise InvalidAnswer("labels", "It must be a list of label names.")
    unknown = [label for label in given if label not in question.labels]
    if unknown:
        raise InvalidAnswer("labels", f"Unknown label {unknown[0]!r}; choose from {', '.join(question.labels)}.")
    if len(set(given)) != len(given):
        raise InvalidAnswer("labels", "A label occurs twice.")
    if not question.scheme.get("many") and len(given) != 1:
        raise InvalidAnswer("labels", f"Choose exactly one label; got {len(given)}.")
    return {
        "on": question.shown[0] if question.shown else PROMPT,
        "scheme": question.scheme.get("name", ""),
        "labels": sorted(given, key=question.labels.index),
        "reason": reason(answer.get("reason"), question),
    }


def unresolve(payload: ClassificationPayload, shown: list[str]) -> Answer:
    return {"labels": payload["labels"], "reason": payload.get("reason", "")}


def read_form(form: Form, text: str) -> Answer:
    return {"labels": form.get_all("label")}


def describe(payload: ClassificationPayload, letter_of: Mapping[str, str]) -> str:
    return ", ".join(name.replace("_", " ") for name in payload["labels"]) or "no label"


def category(payload: ClassificationPayload) -> str:
    return "|".join(payload.get("labels") or [])


def label_text(payload: ClassificationPayload, text: str, scheme: LabelScheme) -> LabeledText | None:
    """None where several labels were given and the scheme now allows only one."""
    used = payload["labels"]
    many = bool(scheme.get("many"))
    if not many and len(used) != 1:
        return None
    return LabeledText(used, {"labels": used, "many": many})


def _label_set(payload: ClassificationPayload) -> Hashable:
    return frozenset(payload["labels"])


KIND = TaskKind[ClassificationPayload](
    name="classification",
    label="Classification",
    summary="labels for a text",
    instruction="choose labels for a text",
    question="Which label fits this text?",
    fewest_responses=0,
    most_responses=1,
    resolve=resolve,
    unresolve=unresolve,
    read_form=read_form,
    describe=describe,
    category=category,
    majority=most_common(_label_set),
    disagree=differ_in(_label_set),
    measure_agreement=agree_on_values,
    gold_fields={"labels": is_equal},
    training_texts="labeled texts",
    label_text=label_text,
    reads_one_text=True,
)
