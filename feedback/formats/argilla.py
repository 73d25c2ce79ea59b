"""Argilla v2 records, as `records.to_list()` gives them: fields, suggestions, responses by question, metadata.

Fields named prompt or instruction are the prompt, all other text fields are responses, in their order. Of the
questions, a ranking of field names, a label that is a field's name, a rating and a text are understood.
"""

from collections.abc import Iterator
from typing import Any

from feedback.formats.items import (
    LETTERS,
    PROMPT,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Row,
    Said,
    an_object,
    conversation,
    groups_of,
    need,
    prefers,
    rest,
)

KEY = "argilla"
PROMPTS = ("prompt", "instruction", "question", "messages", "chat")


def read(row: Any, defaults: Defaults) -> Iterator[Item]:
    given = an_object(row)
    fields = need(given, "fields", dict)
    prompt = next((name for name in PROMPTS if name in fields), None)
    if prompt is None:
        raise InvalidRow("fields", f"There is no prompt in it; it is looked for under {', '.join(PROMPTS)}.")
    names = [name for name, value in fields.items() if name != prompt and isinstance(value, str)]
    answered = [name for name, told in (given.get("responses") or {}).items() if told]
    if len(answered) > 1:
        raise InvalidRow("responses", f"It answers {len(answered)} questions; one of them can be brought in.")
    item = Item(PROMPT, conversation(fields[prompt], f"fields.{prompt}"), [Candidate(fields[name]) for name in names])
    kept: Row = {"prompt": prompt, "names": names, "text": isinstance(fields[prompt], str)}
    if answered:
        kept["question"] = answered[0]
        told = need(given["responses"], answered[0], list, "responses.")
        for place, one in enumerate(told):
            where = f"responses.{answered[0]}[{place}]"
            item.kind, answer = _answer(need(an_object(one), "value", object, where + "."), names, where)
            person = str(one.get("user_id") or defaults.annotator)
            item.answers.append(Said(person, answer, source=defaults.source))
            kept.setdefault("said", []).append(rest(one, "value", "user_id"))
    elif len(names) > 1:
        item.kind = "comparison" if len(names) == 2 else "ranking"
    kept["row"] = rest(given, "fields", "responses")
    item.metadata, item.source = {KEY: kept}, defaults.source
    yield item


def write(item: Item) -> Iterator[Row | LeftOut]:
    """A record. Strength, ties of a comparison and reasons have no place in a label."""
    kept = item.metadata.get(KEY, {})
    names = kept.get("names") or [f"response_{letter}" for letter in LETTERS[: len(item.responses)]]
    plain = kept.get("text", len(item.prompt) == 1 and item.prompt[0]["role"] == "user")
    fields: Row = {kept.get("prompt", "prompt"): item.prompt[0]["content"] if plain else item.prompt}
    fields |= {name: response.text for name, response in zip(names, item.responses, strict=True)}
    told = []
    for place, said in enumerate(item.answers):
        value = _value(said.answer, names)
        if isinstance(value, LeftOut):
            yield value
            continue
        extra = kept.get("said", [])
        told.append({"value": value, "user_id": said.annotator} | (extra[place] if place < len(extra) else {}))
    question = kept.get("question", item.kind)
    row = {"suggestions": {}, "metadata": {}} | kept.get("row", {})
    yield row | {"fields": fields, "responses": {question: told} if told else {}}


def _answer(value: Any, names: list[str], where: str) -> tuple[str, Row]:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "rank" in one for one in value):
        if sorted(str(one.get("value")) for one in value) != sorted(names):
            raise InvalidRow(where, "A ranking must hold the name of every response field once.")
        ranks = {LETTERS[names.index(one["value"])]: need(one, "rank", int, where + ".") for one in value}
        return "ranking", {"ranking": groups_of(ranks)}
    if isinstance(value, str) and value in names and len(names) == 2:
        return "comparison", prefers(LETTERS[names.index(value)])
    if isinstance(value, int) and not isinstance(value, bool) and len(names) == 1:
        return "rating", {"ratings": {"overall": value}}
    if isinstance(value, str) and not names:
        return "demonstration", {"text": value}
    raise InvalidRow(where, "It must be a ranking, the name of a response field, a rating, or a text.")


def _value(answer: Row, names: list[str]) -> Any:
    if "ranking" in answer:
        ranked, rank = [], 1
        for group in answer["ranking"]:
            ranked += [{"value": names[LETTERS.index(letter)], "rank": rank} for letter in group]
            rank += len(group)
        return ranked
    if answer.get("outcome") == "prefer":
        return names[LETTERS.index(answer["choice"])]
    if "ratings" in answer:
        ratings = list(answer["ratings"].values())
        return ratings[0] if len(ratings) == 1 else LeftOut("ratings by several dimensions")
    for name in ("text", "labels", "spans"):
        if name in answer:
            return answer[name]
    return LeftOut(f"an answer {answer.get('outcome', 'of another kind')}")
