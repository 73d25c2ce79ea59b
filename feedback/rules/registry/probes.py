"""Probes: small questions to a model, answered while somebody waits, and what each may be given."""

from collections.abc import Callable
from dataclasses import dataclass

from feedback.rules.json_types import JsonObject

LONGEST = 1000  # characters of a text
MOST_HIDDEN = 12  # words hidden at once
ANNOTATOR, REVIEWER = "annotator", "reviewer"


class InvalidProbe(Exception):
    """A probe that cannot be asked: a sentence, and the field that is wrong."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field, self.sentence = field, sentence


def _text(body: JsonObject, field: str, *, may_be_empty: bool = False) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise InvalidProbe(field, f"`{field}` must be a text.")
    if len(value) > LONGEST:
        raise InvalidProbe(field, f"It has {len(value):,} characters; the limit here is {LONGEST:,}.")
    if not value.strip() and not may_be_empty:
        raise InvalidProbe(field, "It is empty.")
    return value


def _next_tokens(body: JsonObject) -> JsonObject:
    step = body.get("step")
    if step is not None and (not isinstance(step, int) or isinstance(step, bool) or step < 1):
        raise InvalidProbe("step", "`step` must be a step of the run, or null for its end.")
    return {"text": _text(body, "text", may_be_empty=True), "step": step}


def _hidden_words(body: JsonObject) -> JsonObject:
    text = _text(body, "text")
    hidden = body.get("hidden")
    if not isinstance(hidden, list) or len(hidden) > MOST_HIDDEN:
        raise InvalidProbe("hidden", f"`hidden` must be a list of at most {MOST_HIDDEN} words.")
    found: list[list[int]] = []
    for span in hidden:
        if not isinstance(span, list) or len(span) != 2 or not all(type(end) is int for end in span):
            raise InvalidProbe("hidden", "A hidden word must be [start, end], in characters.")
        if not 0 <= span[0] < span[1] <= len(text):
            raise InvalidProbe("hidden", "A hidden word lies outside of the text.")
        found.append(span)
    return {"text": text, "hidden": found}


def _only_text(body: JsonObject) -> JsonObject:
    return {"text": _text(body, "text")}


def _nothing(body: JsonObject) -> JsonObject:
    return {}


def _only_prompt(body: JsonObject) -> JsonObject:
    return {"prompt": _text(body, "prompt")}


def _two_responses(body: JsonObject) -> JsonObject:
    return {name: _text(body, name) for name in ("prompt", "first", "second")}


def _one_response(body: JsonObject) -> JsonObject:
    return {name: _text(body, name) for name in ("prompt", "response")}


@dataclass(frozen=True)
class ProbeKind:
    """One kind of question.

    Attributes:
        models: what it needs, by the names of `selectors.platform.learn.Models`. wanted: what it uses where it exists.
        read: what it is given, checked. Raises InvalidProbe.
        role: the least role. The opinion of a reward model, and what single versions write, is not for those who judge:
            it would influence them, or tell which version wrote a response.
    """

    name: str
    models: tuple[str, ...]
    read: Callable[[JsonObject], JsonObject]
    role: str = ANNOTATOR
    wanted: tuple[str, ...] = ()


_KINDS = (
    ProbeKind("next_tokens", ("base",), _next_tokens),
    ProbeKind("hidden_words", ("encoder",), _hidden_words),
    ProbeKind("labels", ("classifier",), _only_text),
    ProbeKind("mailbox", ("classifier",), _nothing),
    ProbeKind("spans", ("tagger",), _only_text),
    ProbeKind("before_after", ("base", "sft"), _only_prompt, REVIEWER),
    ProbeKind("rewards", ("reward",), _two_responses, REVIEWER),
    ProbeKind("scores", ("reward",), _one_response, REVIEWER, wanted=("classifier",)),
)
PROBES = {kind.name: kind for kind in _KINDS}
