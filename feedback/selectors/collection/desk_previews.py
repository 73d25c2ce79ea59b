"""A task as the desk will show it, before there is one: what `desk.payload` tells of a task, made of its parts."""

from collections.abc import Mapping, Sequence

from feedback.models import Project
from feedback.rules.collection import label_schemes
from feedback.rules.collection.payloads import LETTERS, PROMPT
from feedback.rules.collection.queue_policy import SKIP_REASONS
from feedback.rules.json_types import JsonObject


def preview(
    project: Project,
    kind: str,
    messages: Sequence[Mapping[str, str]],
    texts: Sequence[str],
    ask: Mapping[str, str],
    *,
    question: str = "",
    training_round: bool = False,
) -> JsonObject:
    """
    Args:
        messages: the prompt.
        texts: of the responses, in their order.
        ask: {"scheme": name} for kinds with one.
        question: what is asked, where the task says it in its own words.
    """
    scheme = project.label_scheme.get(ask.get("scheme", ""))
    on = text = None
    if scheme:
        on, text = (LETTERS[0], texts[0]) if texts else (PROMPT, _last_user_text(messages))
    responses = [{"letter": letter, "text": one} for letter, one in zip(LETTERS, texts, strict=False)]
    return {
        "id": "preview",
        "kind": kind,
        "project": project.slug,
        "state": "preview",
        "ahead": False,
        "held_until": "",
        "prompt": list(messages),
        "responses": responses,
        "dimensions": project.dimensions,
        "scheme": label_schemes.complete(scheme) if scheme else None,
        "on": on,
        "text": text,
        "question": question,
        "asks_reason": project.asks_reason,
        "number_sends": project.number_sends,
        "skip_reasons": list(SKIP_REASONS),
        "draft": None,
        "suggestion": None,
        "answer": None,
        "training_round": training_round,
        "sent_back": "",
    }


def _last_user_text(messages: Sequence[Mapping[str, str]]) -> str:
    return next((turn["content"] for turn in reversed(messages) if turn["role"] == "user"), "")
