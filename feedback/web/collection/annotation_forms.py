"""Answers as plain forms bring them, for browsers without script. Each task kind reads its own form."""

from typing import Any

from django.http import QueryDict

from feedback.errors import Invalid
from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import Answer, InvalidAnswer


def from_form(task: dict[str, Any], sent: QueryDict) -> Answer:
    """The answer as REST would have it, to the task as `work.payload` shows it.

    The service that takes it in checks it; here only what cannot be read is refused.

    Raises:
        Invalid: a line of a spans form names no stretch of the text.
    """
    kind = KINDS.get(task["kind"])
    if kind is None:
        return {}
    form = Form({name: [str(value) for value in sent.getlist(name)] for name in sent})
    try:
        answer = kind.read_form(form, str(task["text"]))
    except InvalidAnswer as error:
        raise Invalid(error.sentence, field=error.field) from None
    return {**answer, "reason": form.get("reason")}
