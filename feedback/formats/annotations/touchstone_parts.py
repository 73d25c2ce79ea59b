"""Parts of our own JSON Lines: people, times, responses, answers, thumbs, verdicts, and the tasks of one prompt."""

from datetime import UTC, datetime, timedelta
from math import inf
from typing import TypeGuard

from feedback.formats.annotations.items import (
    LETTERS,
    AnnotationItem,
    Candidate,
    Decision,
    Defaults,
    InvalidRow,
    Item,
    Opinion,
    Row,
    Who,
    need,
)

ANSWER_FIELDS = {
    "annotator", "answer", "shown", "seconds", "source", "counted", "late", "submitted_at", "corrected_by",
    "blind",
}  # fmt: skip
RESPONSE_FIELDS = {"text", "model", "author", "external_id", "blocked", "answer_of"}
TASK_FIELDS = {
    "kind", "responses", "answers", "gold", "explanation", "training_round", "ask", "external_id", "priority",
    "annotations_wanted", "state", "verdict",
}  # fmt: skip
THUMB_FIELDS = {"response", "annotator", "source", "up", "comment", "given_at"}
VERDICT_FIELDS = {"reviewer", "answer", "note", "decided_at"}
WHO_FIELDS = {"name", "source"}
STATES = ("withdrawn", "aside")
A_DAY = 86400


def person(given: object, where: str, defaults: Defaults) -> Who:
    """{"name", "source"}, or a name alone."""
    if isinstance(given, str):
        return Who(given, defaults.source)
    one = only(given, WHO_FIELDS, where)
    return Who(need(one, "name", str, where + "."), one.get("source") or defaults.source)


def person_row(who: Who) -> Row | str:
    return {"name": who.name, "source": who.source} if who.source else who.name


def time(given: Row, name: str, where: str) -> datetime | None:
    """A time with its offset, not in the future."""
    if given.get(name) is None:
        return None
    try:
        moment = datetime.fromisoformat(need(given, name, str, where))
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise InvalidRow(where + name, "It must be a time with its offset, such as 2026-01-31T12:00:00+00:00.")
    if moment > datetime.now(UTC) + timedelta(seconds=A_DAY):
        raise InvalidRow(where + name, "It lies in the future.")
    return moment.astimezone(UTC)


def candidate(given: object, place: int, defaults: Defaults) -> Candidate:
    where = f"responses[{place}]"
    if isinstance(given, str):
        return Candidate(given)
    if not isinstance(given, dict) or not isinstance(given.get("text"), str) or given.keys() - RESPONSE_FIELDS:
        raise InvalidRow(where, f'It must be text, or {{"text": …}} with {", ".join(sorted(RESPONSE_FIELDS))}.')
    model = given.get("model") or ""
    if not isinstance(model, str) or len(model) > 200:
        raise InvalidRow(f"{where}.model", "It must be text of at most 200 characters.")
    one = Candidate(given["text"], model)
    if given.get("author") is not None:
        one.author = person(given["author"], f"{where}.author", defaults)
    if given.get("external_id") is not None:
        one.external_id = need(given, "external_id", str, f"{where}.")
    if given.get("blocked") is not None:
        one.blocked = need(given, "blocked", bool, f"{where}.")
    if given.get("answer_of") is not None:
        answered_task = need(given, "answer_of", list, f"{where}.")
        if len(answered_task) != 2 or not _are_indexes(answered_task):
            raise InvalidRow(f"{where}.answer_of", "It must be the indexes of a task and of its annotation, from 0.")
        one.answer_of = (answered_task[0], answered_task[1])
    return one


def candidate_row(one: Candidate) -> Row:
    row: Row = {"text": one.text}
    if one.model:
        row["model"] = one.model
    if one.author is not None:
        row["author"] = person_row(one.author)
    if one.external_id:
        row["external_id"] = one.external_id
    if one.blocked:
        row["blocked"] = True
    if one.answer_of is not None:
        row["answer_of"] = list(one.answer_of)
    return row


def answer(given: object, where: str, responses: int, defaults: Defaults) -> AnnotationItem:
    row = only(given, ANSWER_FIELDS, where)
    where += "."
    annotator = need(row, "annotator", str, where) if "annotator" in row else defaults.annotator
    annotation = AnnotationItem(
        annotator, need(row, "answer", dict, where), source=row.get("source") or defaults.source
    )
    shown = row.get("shown") or []
    if shown and sorted(map(str, shown)) != list(LETTERS[:responses]):
        raise InvalidRow(where + "shown", "It must list the letter of every response once, in the order shown.")
    annotation.shown = shown
    seconds = row.get("seconds") or 0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= A_DAY:
        raise InvalidRow(where + "seconds", "It must be a number of seconds, at most a day.")
    annotation.seconds = float(seconds)
    if row.get("counted") is not None:
        annotation.counted = need(row, "counted", bool, where)
    if row.get("late") is not None:
        annotation.late = need(row, "late", bool, where)
    if row.get("blind") is not None:
        annotation.blind = need(row, "blind", bool, where)
    annotation.at = time(row, "submitted_at", where)
    if row.get("corrected_by") is not None:
        annotation.corrected_by = person(row["corrected_by"], where + "corrected_by", defaults)
    return annotation


def answer_row(annotation: AnnotationItem) -> Row:
    row: Row = {"annotator": annotation.annotator, "answer": annotation.answer}
    if annotation.shown:
        row["shown"] = annotation.shown
    if annotation.seconds:
        row["seconds"] = annotation.seconds
    if annotation.source:
        row["source"] = annotation.source
    if not annotation.counted:
        row["counted"] = False
    if annotation.late:
        row["late"] = True
    if annotation.blind is False:
        row["blind"] = False
    if annotation.at is not None:
        row["submitted_at"] = annotation.at.isoformat()
    if annotation.corrected_by is not None:
        row["corrected_by"] = person_row(annotation.corrected_by)
    return row


def thumb(given: object, where: str, responses: int, defaults: Defaults) -> Opinion:
    row = only(given, THUMB_FIELDS, where)
    place = need(row, "response", int, where + ".")
    if not 0 <= place < responses:
        raise InvalidRow(f"{where}.response", f"There are {responses} responses; it is the place of one, from 0.")
    who = Who(row.get("annotator") or defaults.annotator, row.get("source") or defaults.source)
    comment = need(row, "comment", str, where + ".") if row.get("comment") is not None else ""
    return Opinion(place, who, need(row, "up", bool, where + "."), comment, time(row, "given_at", where + "."))


def thumb_row(one: Opinion) -> Row:
    row: Row = {"response": one.response, "annotator": one.person.name, "up": one.up}
    if one.person.source:
        row["source"] = one.person.source
    if one.comment:
        row["comment"] = one.comment
    if one.at is not None:
        row["given_at"] = one.at.isoformat()
    return row


def verdict(given: object, where: str, defaults: Defaults) -> Decision:
    row = only(given, VERDICT_FIELDS, where)
    note = need(row, "note", str, where + ".") if row.get("note") is not None else ""
    reviewer = person(row.get("reviewer"), where + ".reviewer", defaults)
    decided = need(row, "answer", dict, where + ".")
    return Decision(reviewer, decided, note, time(row, "decided_at", where + "."))


def verdict_row(one: Decision) -> Row:
    row: Row = {"reviewer": person_row(one.reviewer), "answer": one.answer}
    if one.note:
        row["note"] = one.note
    if one.at is not None:
        row["decided_at"] = one.at.isoformat()
    return row


def fill_task(item: Item, given: Row, where: str, responses: int, defaults: Defaults) -> None:
    """What a task has beside its kind and its responses, wherever it stands in a row."""
    for place, one in enumerate(listed(given, "answers", where)):
        item.answers.append(answer(one, f"{where}answers[{place}]", responses, defaults))
    for name in ("gold", "ask"):
        if given.get(name) is not None:
            setattr(item, name, need(given, name, dict, where))
    for name in ("external_id", "explanation", "state"):
        if given.get(name) is not None:
            setattr(item, name, need(given, name, str, where))
    if item.state and item.state not in STATES:
        raise InvalidRow(where + "state", f"It must be {' or '.join(STATES)}, or left out.")
    if given.get("training_round") is not None:
        item.training_round = need(given, "training_round", bool, where)
    if given.get("priority") is not None:
        item.priority = need(given, "priority", int, where)
    if given.get("annotations_wanted") is not None:
        item.wanted = need(given, "annotations_wanted", int, where)
    if given.get("verdict") is not None:
        item.verdict = verdict(given["verdict"], where + "verdict", defaults)


def task(given: object, place: int, responses: int, defaults: Defaults) -> Item:
    """A task among several of one prompt; its responses are places among the prompt's."""
    where = f"tasks[{place}]"
    row = only(given, TASK_FIELDS, where)
    placed = listed(row, "responses", where + ".")
    if not _are_indexes(placed, responses) or len(set(placed)) != len(placed):
        raise InvalidRow(f"{where}.responses", "It must list indexes of the prompt's responses, from 0, each once.")
    item = Item(need(row, "kind", str, where + "."), [], placed=placed)
    fill_task(item, row, where + ".", len(placed), defaults)
    return item


def task_row(item: Item, row: Row) -> Row:
    """Adds to `row` what a task has beside its kind and its responses."""
    if item.answers:
        row["answers"] = list(map(answer_row, item.answers))
    for name in ("gold", "explanation", "training_round", "ask", "external_id", "priority", "state"):
        if value := getattr(item, name):
            row[name] = value
    if item.wanted is not None:
        row["annotations_wanted"] = item.wanted
    if item.verdict is not None:
        row["verdict"] = verdict_row(item.verdict)
    return row


def placed_task_row(item: Item) -> Row:
    """One of several tasks of a prompt."""
    row: Row = {"kind": item.kind}
    if item.placed:
        row["responses"] = item.placed
    return task_row(item, row)


def only(given: object, fields: set[str], where: str) -> Row:
    """`given` as an object that has none but these fields."""
    if not isinstance(given, dict) or given.keys() - fields:
        raise InvalidRow(where, f"It must be an object with {', '.join(sorted(fields))}.")
    return given


def listed(given: Row, name: str, where: str = "") -> list[object]:
    if given.get(name) is None:
        return []
    return need(given, name, list, where)


def _are_indexes(values: list[object], stop: float = inf) -> TypeGuard[list[int]]:
    """Whether all are whole numbers from 0 on, below `stop`."""
    return all(type(one) is int and 0 <= one < stop for one in values)
