"""A turn of a conversation: a comparison of its two answers, and with which words the talk goes on.

Answer: as a comparison's. Where both are bad it may bring `"rewrite": "…"`, what should have been stated; it is
preferred to both, and the talk goes on with it. After a tie the talk goes on with a.
"""

from collections.abc import Sequence
from typing import NotRequired

from feedback.rules.collection.kinds import comparison
from feedback.rules.collection.kinds.comparison import ComparisonPayload
from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import Answer, InvalidAnswer, Question
from feedback.rules.collection.kinds.shared import agree_on_values, check_text, differ_in, is_equal, most_common
from feedback.rules.collection.kinds.task_kind import TaskKind, Written
from feedback.rules.data.texts import same


class ConversationPayload(ComparisonPayload):
    """A comparison's payload, perhaps with the response that the annotator wrote."""

    rewrite: NotRequired[str]


def resolve(answer: Answer, question: Question) -> ConversationPayload:
    given = dict(answer)
    rewrite = given.pop("rewrite", None)
    payload: ConversationPayload = {**comparison.resolve(given, question)}
    if rewrite in (None, ""):
        return payload
    text = check_text(rewrite, "rewrite", "It must be the text of the better response.")
    if payload["outcome"] != "both_bad":
        raise InvalidAnswer("rewrite", "A rewrite is allowed only if both responses are bad.")
    if any(same(text, question.texts.get(shown, "")) for shown in question.shown):
        raise InvalidAnswer("rewrite", "It equals one of the two responses. Choose that one instead.")
    payload["rewrite"] = text
    return payload


def unresolve(payload: ConversationPayload, shown: list[str]) -> Answer:
    answer = comparison.unresolve(payload, shown)
    if "rewrite" in payload:
        answer["rewrite"] = payload["rewrite"]
    return answer


def read_form(form: Form, text: str) -> Answer:
    return comparison.read_form(form, text) | {"rewrite": form.get_text("rewrite")}


def written(payload: ConversationPayload, shown: Sequence[str]) -> Written | None:
    """The rewrite, which is preferred to both responses shown."""
    return Written(payload["rewrite"], shown) if payload.get("rewrite") else None


def goes_on_with(payload: ConversationPayload, shown: list[str]) -> str | None:
    """Public id of the response that the talk goes on with; None where both were bad."""
    if payload["outcome"] == "prefer":
        return payload["chosen"]
    if payload["outcome"] == "tie":
        return shown[0]
    return None


KIND = TaskKind[ConversationPayload](
    name="conversation",
    label="Conversation",
    summary="chat with the serving model, two responses per turn",
    instruction="",
    question="Which response should the conversation continue with?",
    fewest_responses=2,
    most_responses=2,
    resolve=resolve,
    unresolve=unresolve,
    read_form=read_form,
    describe=comparison.describe,
    preferences=comparison.preferences,
    written=written,
    majority=most_common(comparison.outcome_and_choice),
    disagree=differ_in(comparison.outcome_and_choice),
    measure_agreement=agree_on_values,
    gold_fields={"outcome": is_equal, "chosen": is_equal},
    is_pairwise=True,
    judges_responses=True,
    has_own_page=True,
)
