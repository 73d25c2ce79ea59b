"""Spans: stretches of the prompt or of the response shown, each with a label of a scheme.

Answer: {"spans": [{"start": 0, "end": 4, "label": "name"}], "reason": "…"}. Offsets count Unicode characters (code
points), start inclusive, end exclusive. No spans at all is a valid answer: there was nothing to mark.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise, starmap
from operator import itemgetter
from statistics import mean
from typing import NotRequired, TypedDict

from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import (
    PROMPT,
    Answer,
    InvalidAnswer,
    LabelScheme,
    Payload,
    Question,
    only,
    reason,
    whole_number,
)
from feedback.rules.collection.kinds.shared import count_shared, differ_in, most_common
from feedback.rules.collection.kinds.task_kind import Judged, KindFigures, LabeledText, TaskKind
from feedback.rules.data.content_hash import normal_span
from feedback.rules.quality.agreement import Agreement, raw_agreement, span_f1

MOST_LINES = 300  # of a form
MOST_TOLERANCE = 1000  # characters
START_END_LABEL = itemgetter("start", "end", "label")


class Span(TypedDict):
    """Characters `start` to `end` (exclusive); `text` is what stands there."""

    start: int
    end: int
    label: str
    text: NotRequired[str]


class SpansPayload(TypedDict):
    """`on`: "prompt", or the public id of the response that is marked."""

    on: str
    scheme: str
    spans: list[Span]
    reason: NotRequired[str]


def resolve(answer: Answer, question: Question) -> SpansPayload:
    only(answer, "spans", "reason")
    given = answer.get("spans")
    if not isinstance(given, list):
        raise InvalidAnswer("spans", 'It must be a list of {"start", "end", "label"}.')
    on = question.shown[0] if question.shown else PROMPT
    text = question.texts.get(on, "")
    spans = [_span(one, text, question, f"spans[{place}]") for place, one in enumerate(given)]
    spans.sort(key=START_END_LABEL)
    for one, after in pairwise(spans):
        if one == after:
            raise InvalidAnswer("spans", f"Characters {one['start']} to {one['end']} are marked {one['label']} twice.")
        if not question.scheme.get("many") and after["start"] < one["end"]:
            raise InvalidAnswer("spans", f"Spans overlap at character {after['start']}; this scheme does not allow it.")
    for span in spans:
        span["text"] = text[span["start"] : span["end"]]
    return {
        "on": on,
        "scheme": question.scheme.get("name", ""),
        "spans": spans,
        "reason": reason(answer.get("reason"), question),
    }


def unresolve(payload: SpansPayload, shown: list[str]) -> Answer:
    spans = [{"start": span["start"], "end": span["end"], "label": span["label"]} for span in payload["spans"]]
    return {"spans": spans, "reason": payload.get("reason", "")}


def read_form(form: Form, text: str) -> Answer:
    """A line per span: `label: the words as they stand`. The same line again means their next occurrence.

    Raises:
        InvalidAnswer: a line names no stretch of the text, or there are too many lines.
    """
    spans: list[Span] = []
    seen: Counter[str] = Counter()
    lines = form.get("spans").splitlines()
    if len(lines) > MOST_LINES:
        sentence = f"At most {MOST_LINES} spans can be marked in a form; there are {len(lines)}."
        raise InvalidAnswer("spans", sentence)
    for line in map(str.strip, lines):
        if not line:
            continue
        label, _, words = map(str.strip, line.partition(":"))
        seen[line] += 1
        found = _places(words, text)
        if len(found) < seen[line]:
            raise InvalidAnswer(
                "spans", (f"“{line}” is not a label followed by words of the text. Write it as “label: words”.")
            )
        start = found[seen[line] - 1]
        spans.append({"start": start, "end": start + len(words), "label": label})
    return {"spans": spans}


def describe(payload: SpansPayload, letter_of: Mapping[str, str]) -> str:
    return "; ".join(f"{span['label']}: {span['text']}" for span in payload["spans"]) or "no spans"


def measure_agreement(tasks: Sequence[Sequence[Judged]]) -> KindFigures:
    """Share of annotators who marked the same set of spans, and the mean F1 of two annotators."""
    marked: list[list[frozenset[tuple[int, int, str]]]] = []
    shared: list[float] = []
    for task in tasks:
        sets = [_span_set(answer.payload) for answer in task]
        marked.append(sets)
        shared.extend(starmap(span_f1, combinations(sets, 2)))
    f1 = mean(shared) if shared else None
    return KindFigures(Agreement(count_shared(tasks), raw_agreement(marked), None), f1=f1)


def label_text(payload: SpansPayload, text: str, scheme: LabelScheme) -> LabeledText:
    labels, spans = [], []
    for span in payload["spans"]:
        start, end = normal_span(text, span["start"], span["end"])
        labels.append(span["label"])
        spans.append({"start": start, "end": end, "label": span["label"]})
    return LabeledText(labels, {"spans": spans})


def _places(words: str, text: str) -> list[int]:
    """Where words stand in a text; nowhere without words."""
    if not words:
        return []
    return [match.start() for match in re.finditer(re.escape(words), text)]


def _span_set(payload: Payload) -> frozenset[tuple[int, int, str]]:
    return frozenset(map(START_END_LABEL, payload.get("spans", ())))


def _are_near(given: Sequence[Span], right: Sequence[Span], tolerance: int) -> bool:
    """One span for each right one, both ends near enough. They are paired in the order of their starts, by label."""
    if len(given) != len(right):
        return False
    by_label = itemgetter("label", "start", "end")
    for one, other in zip(sorted(given, key=by_label), sorted(right, key=by_label), strict=True):
        off = max(abs(one["start"] - other["start"]), abs(one["end"] - other["end"]))
        if one["label"] != other["label"] or off > tolerance:
            return False
    return True


def _span(given: object, text: str, question: Question, name: str) -> Span:
    if not isinstance(given, dict) or set(given) != {"start", "end", "label"}:
        raise InvalidAnswer(name, "It must have exactly start, end and label.")
    start = whole_number(given["start"], 0, len(text), f"{name}.start")
    end = whole_number(given["end"], 0, len(text), f"{name}.end")
    if start >= end:
        raise InvalidAnswer(f"{name}.end", "It must come after start.")
    if given["label"] not in question.labels:
        raise InvalidAnswer(f"{name}.label", f"Choose from {', '.join(question.labels)}; got {given['label']!r}.")
    return {"start": start, "end": end, "label": given["label"]}


KIND = TaskKind[SpansPayload](
    name="spans",
    label="Spans",
    summary="marking parts of a text with labels",
    instruction="mark spans in a text",
    question="Which parts of this text belong to a label? Mark them.",
    fewest_responses=0,
    most_responses=1,
    resolve=resolve,
    unresolve=unresolve,
    read_form=read_form,
    describe=describe,
    majority=most_common(_span_set),
    disagree=differ_in(_span_set),
    measure_agreement=measure_agreement,
    gold_fields={"spans": _are_near},
    most_tolerance=MOST_TOLERANCE,
    training_texts="texts with marked spans",
    label_text=label_text,
    reads_one_text=True,
    marks_text=True,
)
