"""Argilla v2 records, as `records.to_list()` gives them: fields, suggestions, responses by question, metadata.

A field named prompt or instruction is the prompt. Fields that give it context belong to it; those that are notes on
the record are kept beside; the others are responses, in their order. If a question ranks fields,
only these are responses. Of the questions, ranked field names, a label that is a field's name, a rating and
a text are understood. A response that was discarded, or not submitted yet, is no annotation, and a record that was
discarded is no task.
"""

from collections.abc import Iterator
from typing import Any

from feedback.formats.annotations import provenance
from feedback.formats.annotations.item_kinds import (
    COMPARISON,
    DEMONSTRATION,
    ORDERED,
    RATED,
    kind_for,
    order_in,
    ordered,
)
from feedback.formats.annotations.items import (
    LETTERS,
    PROMPT,
    AnnotationItem,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Message,
    Note,
    Row,
    an_object,
    groups_of,
    need,
    prefers,
    rest,
    told_beside,
    turns,
)

KEY = provenance.ARGILLA
PROMPTS = ("prompt", "instruction", "question", "messages", "chat")
CONTEXT = ("context", "source", "document", "passage", "background", "article", "input")
ASIDE = ("reference", "metadata", "id", "expected", "target", "category", "topic", "language", "title")
SUBMITTED, DISCARDED = "submitted", "discarded"


def read(row: Any, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    given = an_object(row)
    if _status(given) == DISCARDED:
        yield LeftOut("a record that was discarded")
        return
    fields = need(given, "fields", dict)
    prompt = next((name for name in PROMPTS if fields.get(name) is not None), None)
    if prompt is None:
        raise InvalidRow("fields", f"There is no prompt in it; expected under {', '.join(PROMPTS)}.")
    responses = need(given, "responses", dict) if given.get("responses") else {}
    answered = [name for name, given in responses.items() if given]
    if len(answered) > 1:
        raise InvalidRow("responses", f"It answers {len(answered)} questions; only one can be imported.")
    first_answers = need(responses, answered[0], list, "responses.") if answered else []
    texts = {name: value for name, value in fields.items() if name != prompt and isinstance(value, str)}
    names = _named(texts, first_answers)
    context = {name: texts[name] for name in texts if name not in names and name.lower() in CONTEXT}
    other_fields = {name: value for name, value in fields.items() if name not in (prompt, *names, *context)}
    messages, more = _prompt(fields[prompt], f"fields.{prompt}", context)
    item = Item(PROMPT, messages, [Candidate(texts[name]) for name in names], source=defaults.source)
    kept: Row = {"prompt": prompt, "names": names, "text": isinstance(fields[prompt], str)}
    kept |= {name: held for name, held in (("context", context), ("aside", other_fields)) if held}
    left_out: list[Row] = []
    if answered:
        kept["question"] = answered[0]
        for place, one in enumerate(first_answers):
            if _status(an_object(one)) not in ("", SUBMITTED):
                left_out.append(one)
                continue
            where = f"responses.{answered[0]}[{place}]"
            if isinstance(one.get("value"), str) and one["value"] in fields and one["value"] not in names:
                raise InvalidRow(where, f"It names the field {one['value'][:60]!r}, which is not a response.")
            item.kind, answer = _answer(need(one, "value", object, where + "."), names, where)
            person = str(one.get("user_id") or defaults.annotator)
            item.answers.append(AnnotationItem(person, answer, source=defaults.source))
            kept.setdefault("said", []).append(rest(one, "value", "user_id"))
    if not item.answers and len(names) > 1:
        item.kind = kind_for(len(names))
    kept |= {"left_out": left_out} if left_out else {}
    kept["row"] = rest(given, "fields", "responses")
    item.provenance = {KEY: kept}
    yield item
    yield from (LeftOut(f"a response whose status is {str(one['status'])[:40]}") for one in left_out)
    yield from (Note(f"The field {name!r} belongs to the prompt.") for name in context)
    yield from (Note(f"The field {name!r} is stored with the task and not shown.") for name in other_fields)
    yield from told_beside(more)


def write(item: Item) -> Iterator[Row | LeftOut]:
    """A record. Strength, ties of a comparison and reasons have no place in a label."""
    kept = provenance.kept(item, KEY)
    names = kept.get("names") or [f"response_{letter}" for letter in LETTERS[: len(item.responses)]]
    fields: Row = kept.get("aside", {}) | kept.get("context", {}) | _prompt_back(item, kept)
    fields |= {name: response.text for name, response in zip(names, item.responses, strict=True)}
    responses = []
    extra = kept.get("said", []) if len(kept.get("said", [])) == len(item.answers) else []
    for place, annotation in enumerate(item.answers):
        value = _value(annotation.answer, names)
        if isinstance(value, LeftOut):
            yield value
            continue
        responses.append((extra[place] if extra else {}) | {"value": value, "user_id": annotation.annotator})
    responses += kept.get("left_out", [])
    question = kept.get("question", item.kind)
    row = {"suggestions": {}, "metadata": {}} | kept.get("row", {})
    yield row | {"fields": fields, "responses": {question: responses} if responses else {}}


def _named(texts: Row, values: list[Any]) -> list[str]:
    """Names of the fields that are responses, in the record's order."""
    ranked = {
        one.get("value")
        for response in values
        if isinstance(response, dict) and isinstance(response.get("value"), list)
        for one in response["value"]
        if isinstance(one, dict) and isinstance(one.get("value"), str)
    }
    if ranked:
        return [name for name in texts if name in ranked]
    chosen = {
        response["value"] for response in values if isinstance(response, dict) and _is_text(response.get("value"))
    }
    return [name for name in texts if name in chosen or name.lower() not in (*CONTEXT, *ASIDE)]


def _status(row: Row) -> str:
    """What a record or a response says of itself; clients write it in small letters or in capitals."""
    return str(row.get("status") or "").casefold()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _prompt(given: Any, name: str, context: Row) -> tuple[list[Message], list[Row]]:
    if isinstance(given, str):
        messages, more = [{"role": "user", "content": given}], [Row()]
    else:
        messages, more = turns(given, name)
    if context and messages:
        last = next((one for one in reversed(messages) if one["role"] == "user"), messages[-1])
        last["content"] = "\n\n".join([last["content"], *context.values()])
    return messages, more


def _prompt_back(item: Item, kept: Row) -> Row:
    """The prompt's own field, without the context that was joined to it."""
    messages = [dict(one) for one in item.prompt]
    joined = "".join(f"\n\n{text}" for text in kept.get("context", {}).values())
    if joined:
        last = next((one for one in reversed(messages) if one["role"] == "user"), messages[-1])
        last["content"] = last["content"].removesuffix(joined)
    is_plain = kept.get("text", True) and len(messages) == 1 and messages[0]["role"] == "user"
    return {kept.get("prompt", "prompt"): messages[0]["content"] if is_plain else messages}


def _answer(value: Any, names: list[str], where: str) -> tuple[str, Row]:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "rank" in one for one in value):
        if sorted(str(one.get("value")) for one in value) != sorted(names):
            raise InvalidRow(where, "Its ranks must name every response field once.")
        ranks = {LETTERS[names.index(one["value"])]: need(one, "rank", int, where + ".") for one in value}
        return ORDERED, ordered(groups_of(ranks))
    if isinstance(value, str) and value in names and len(names) == 2:
        return COMPARISON, prefers(LETTERS[names.index(value)])
    if isinstance(value, int) and not isinstance(value, bool) and len(names) == 1:
        return RATED, {"ratings": {"overall": value}}
    if isinstance(value, str) and not names:
        return DEMONSTRATION, {"text": value}
    raise InvalidRow(where, "It must be ranked fields, the name of a response field, a rating, or a text.")


def _value(answer: Row, names: list[str]) -> Any:
    groups = order_in(answer)
    if groups is not None:
        ranked, rank = [], 1
        for group in groups:
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
