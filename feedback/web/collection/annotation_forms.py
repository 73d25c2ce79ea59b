"""Read an answer from a plain form, for browsers without scripts. Each task kind reads its own form."""

from django.http import QueryDict

from feedback.errors import Invalid
from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import Answer, InvalidAnswer
from feedback.rules.json_types import JsonObject


def from_form(task: JsonObject, sent: QueryDict) -> Answer:
    """The answer of a form in the shape of the REST API. The service that takes it validates it.

    Args:
        task: the task as in `desk.payload`.

    Raises:
        Invalid: a line of a spans form does not name a part of the text.
    """
    kind = KINDS.get(task["kind"])
    if kind is None:
        return {}
    form = Form({name: list(map(str, sent.getlist(name))) for name in sent})
    try:
        answer = kind.read_form(form, str(task["text"]))
    except InvalidAnswer as error:
        raise Invalid(error.sentence, field=error.field) from None
    return {**answer, "reason": form.get("reason")}
