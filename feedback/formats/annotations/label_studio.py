"""Label Studio: task files, and exports of its Pairwise and Ranker controls.

Its winner is a place (left, right), which becomes a letter at once; `label_studio_columns` says which text was where.
A canceled annotation, a draft and a prediction are no annotations; of two annotations of one person the newest
counts. What else a task or an annotation holds (ids, times) is kept and given back.
"""

from collections import defaultdict
from collections.abc import Iterator

from feedback.formats.annotations import label_studio_columns as columns
from feedback.formats.annotations import provenance
from feedback.formats.annotations.item_kinds import ORDERED, ORDERING, PAIRWISE, kind_for, order_in, ordered
from feedback.formats.annotations.items import (
    LETTERS,
    PROMPT,
    AnnotationItem,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Note,
    Row,
    an_object,
    need,
    prefers,
    rest,
)

KEY = provenance.LABEL_STUDIO
SIDES = {"left": "a", "right": "b"}
CANCELLED = "an annotation that was cancelled or skipped"
EMPTY = "an annotation without a result"
EARLIER = "an earlier annotation of the same person, whose newest counts"
BESIDE = {"drafts": "a draft, which was not submitted", "predictions": "a model's prediction"}


def read(row: object, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    given = an_object(row)
    whole = "data" in given
    data = need(given, "data", dict) if whole else given
    annotations: list[Row] = []
    if whole:
        annotations = list(map(an_object, given.get("annotations") or []))
    found = columns.of(data, _compared(annotations))
    kept: Row = {"prompt": found.prompt, "whole": whole, "names": found.names}
    if isinstance(data.get("items"), list):
        kept["items"] = found.items
    if found.list_name:
        kept["list"] = found.list_name
    if extra := found.beside(data):
        kept["data"] = extra
    counts, notes = _counting(annotations)
    answers: list[AnnotationItem] = []
    plain: list[Row] = []
    for place, one in enumerate(annotations):
        if place in counts:
            answers.append(_said(one, found.names, f"annotations[{place}]", defaults))
            plain.append(_without_value(one))
        else:
            plain.append(one)
    if whole:
        kept["task"] = rest(given, "data", "annotations")
        kept["annotations"] = plain
    kind = kind_for(len(found.texts))
    if answers and order_in(answers[0].answer) is not None:
        kind = ORDERED
    responses = list(map(Candidate, found.texts))
    messages = [{"role": "user", "content": data[found.prompt]}]
    yield Item(kind, messages, responses, answers, source=defaults.source, provenance={KEY: kept})
    yield from map(LeftOut, notes)
    if whole:
        for name, why in BESIDE.items():
            for _ in given.get(name) or []:
                yield LeftOut(why)
    if any("choice" in one.answer for one in answers):
        yield Note(f"On the left is {found.names[0]!r}, on the right {found.names[1]!r}.")
    if kind == PROMPT and not found.names:
        yield Note("No column is a response (answer1, answer2 … or the like), so it is just a prompt.")


def write(item: Item) -> Iterator[Row | LeftOut]:
    """A task with its annotations. Strength and dimensions have no place in the Pairwise control."""
    if item.kind not in (PROMPT, *PAIRWISE, *ORDERING):
        yield LeftOut(f"a {item.kind} is neither Pairwise nor Ranker")
        return
    kept = provenance.kept(item, KEY)
    if not kept and (len(item.prompt) > 1 or item.prompt[0]["role"] != "user"):
        yield LeftOut("a conversation of several turns")
        return
    names = kept.get("names") or _names(item)
    data = kept.get("data", {}) | _data(item, kept, names)
    if kept and not kept["whole"] and not item.answers:
        yield data
        return
    uncounted: list[Row] = []
    counted: dict[str, list[Row]] = defaultdict(list)
    for row in kept.get("annotations", []):
        if _has_place(row):
            counted[_annotator(row.get("completed_by"), Defaults(annotator="unknown"))].append(row)
        else:
            uncounted.append(row)
    written = []
    for annotation in item.answers:
        value = _value(item, annotation, names)
        if isinstance(value, LeftOut):
            yield value
            continue
        nobodys = counted["unknown"]  # came without `completed_by`; whoever brought them in named an annotator
        theirs = counted.get(annotation.annotator, nobodys)
        written.append(_annotation(theirs.pop(0) if theirs else None, annotation, value))
    yield kept.get("task", {}) | {"data": data, "annotations": written + uncounted}


def _names(item: Item) -> list[str]:
    """Names of the responses: Ranker's items have letters, Pairwise's columns are numbered."""
    count = len(item.responses)
    if item.kind in ORDERING:
        return list(LETTERS[:count])
    return [f"answer{number}" for number in range(1, count + 1)]


def _data(item: Item, kept: Row, names: list[str]) -> Row:
    data: Row = {kept.get("prompt", "prompt"): item.prompt[-1]["content"]}
    if "items" in kept or (item.kind in ORDERING and not kept):
        items = kept.get("items") or [{"id": name} for name in names]
        data["items"] = []
        for one, text in zip(items, item.texts, strict=True):
            data["items"].append(one | {"body": text})
        return data
    if "list" in kept:
        return data | {kept["list"]: item.texts}
    return data | dict(zip(names, item.texts, strict=True))


def _compared(annotations: list[Row]) -> str:
    """What the annotations' control compares, where one says so."""
    for one in annotations:
        for result in one.get("result") or []:
            if isinstance(result, dict) and result.get("type") == "pairwise" and "," in str(result.get("to_name")):
                return str(result["to_name"])
    return ""


def _counting(annotations: list[Row]) -> tuple[set[int], list[str]]:
    """Places of the annotations that count: the newest of each person; and why each other one does not."""
    newest: dict[str, tuple[str, int, int]] = {}  # its time, its id and its place
    notes = []
    for place, one in enumerate(annotations):
        if one.get("was_cancelled"):
            notes.append(CANCELLED)
        elif not one.get("result"):
            notes.append(EMPTY)
        else:
            person = _annotator(one.get("completed_by"), Defaults())
            time = str(one.get("updated_at") or one.get("created_at") or "")
            number = one["id"] if isinstance(one.get("id"), int) else 0
            this = (time, number, place)
            if person in newest:
                notes.append(EARLIER)
            newest[person] = max(this, newest.get(person, this))
    return {place for *_, place in newest.values()}, notes


def _said(one: Row, names: list[str], where: str, defaults: Defaults) -> AnnotationItem:
    """The answer in an annotation that counts."""
    results = one.get("result")
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        raise InvalidRow(where + ".result", "It must contain one result.")
    value = need(results[0], "value", dict, where + ".result[0].")
    annotation = AnnotationItem(_annotator(one.get("completed_by"), defaults), {}, source=defaults.source)
    annotation.seconds = min(86400.0, float(one.get("lead_time") or 0))
    if "selected" in value:
        if value["selected"] not in SIDES or len(names) != 2:
            there = ", ".join(names) or "none"
            raise InvalidRow(
                where + ".result[0].value.selected",
                f"It must be left or right, of two texts; columns that look like a response: {there}.",
            )
        annotation.answer, annotation.shown = prefers(SIDES[value["selected"]]), ["a", "b"]
        return annotation
    ranked = value.get("ranker")
    if isinstance(ranked, dict):  # the list form has been exported under the control's name as well
        lists = [one for name, one in ranked.items() if name != "_"]
        ranked = lists[0] if len(lists) == 1 else None
    if not isinstance(ranked, list) or sorted(map(str, ranked)) != sorted(names):
        raise InvalidRow(where + ".result[0].value.ranker", "It must list the id of every item once, best first.")
    groups = [[LETTERS[names.index(str(name))]] for name in ranked]
    annotation.answer = ordered(groups)
    return annotation


def _value(item: Item, annotation: AnnotationItem, names: list[str]) -> Row | LeftOut:
    groups = order_in(annotation.answer)
    if groups is not None:
        ranked = []
        for letter, *tied in groups:
            if tied:
                return LeftOut("ranked responses that tie")
            ranked.append(names[LETTERS.index(letter)])
        return {"ranker": ranked}
    if annotation.answer["outcome"] != "prefer":
        return LeftOut(f"an answer {annotation.answer['outcome']}")
    return {"selected": "left" if annotation.answer["choice"] == "a" else "right"}


def _annotation(kept: Row | None, annotation: AnnotationItem, value: Row) -> Row:
    if kept is not None:
        took = min(86400.0, float(kept.get("lead_time") or 0))
        changed: Row = {"result": [rest(kept["result"][0], "value") | {"value": value}]}
        if took != annotation.seconds:
            changed["lead_time"] = annotation.seconds
        return kept | changed
    control = {"type": "ranker", "from_name": "rank", "to_name": "results"}
    if "selected" in value:
        control = {"type": "pairwise", "from_name": "comparison", "to_name": "comparison"}
    result = {"value": value, "origin": "manual"} | control
    return {
        "completed_by": annotation.annotator,
        "was_cancelled": False,
        "lead_time": annotation.seconds,
        "result": [result],
    }


def _without_value(annotation: Row) -> Row:
    results = annotation["result"]
    if not isinstance(results, list) or not isinstance(results[0], dict):
        return annotation
    return annotation | {"result": [rest(results[0], "value")]}


def _has_place(annotation: Row) -> bool:
    result = annotation.get("result") or []
    is_read = isinstance(result, list) and len(result) > 0 and isinstance(result[0], dict) and "value" not in result[0]
    return is_read and not annotation.get("was_cancelled")


def _annotator(given: object, defaults: Defaults) -> str:
    if isinstance(given, dict):
        given = given.get("email") or given.get("id")
    return defaults.annotator if given is None else str(given)
