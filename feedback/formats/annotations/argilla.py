"""Argilla v2 records, as `records.to_list()` gives them: fields, suggestions, responses by question, metadata.

A field named prompt or instruction is the prompt. Fields that give it context belong to it; those that are notes on
the record are kept beside; the others are responses, in their order. If a question ranks fields,
only these are responses. Of the questions, ranked field names, a label that is a field's name, a rating and
a text are understood. A response that was discarded, or not submitted yet, is no annotation, and a record that was
discarded is no task.
"""

from collections.abc import Iterator

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
    need,
    prefers,
    rest,
    told_beside,
    turns,
)
from feedback.rules.collection.rank_groups import groups_of
from feedback.rules.json_types import is_list_of

KEY = provenance.ARGILLA
PROMPTS = ("prompt", "instruction", "question", "messages", "chat")
CONTEXT = ("context", "source", "document", "passage", "background", "article", "input")
ASIDE = ("reference", "metadata", "id", "expected", "target", "category", "topic", "language", "title")
SUBMITTED, DISCARDED = "submitted", "discarded"


def read(row: object, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    given = an_object(row)
    if _status(given) == DISCARDED:
        yield LeftOut("a record that was discarded")
        return
    fields = need(given, "fields", dict)
    prompt = next((name for name in PROMPTS if fields.get(name) is not None), None)
    if prompt is None:
        raise InvalidRow("fields", f"There is no prompt in it; expected under {', '.join(PROMPTS)}.")
    question, given_answers = _answered(given)
    texts = {name: value for name, value in fields.items() if name != prompt and isinstance(value, str)}
    names = _named(texts, given_answers)
    context, other_fields = Row(), Row()
    for name, value in fields.items():
        if name == prompt or name in names:
            continue
        if name in texts and name.lower() in CONTEXT:
            context[name] = value
        else:
            other_fields[name] = value
    messages, more = _prompt(fields[prompt], f"fields.{prompt}", context)
    candidates = [Candidate(texts[name]) for name in names]
    item = Item(PROMPT, messages, candidates, source=defaults.source)
    kept: Row = {"prompt": prompt, "names": names, "text": isinstance(fields[prompt], str)}
    if context:
        kept["context"] = context
    if other_fields:
        kept["aside"] = other_fields
    if question is not None:
        kept["question"] = question
    left_out: list[Row] = []
    for place, one in enumerate(map(an_object, given_answers)):
        if _status(one) not in ("", SUBMITTED):
            left_out.append(one)
            continue
        where = f"responses.{question}[{place}]"
        if isinstance(one.get("value"), str) and one["value"] in fields and one["value"] not in names:
            raise InvalidRow(where, f"It names the field {one['value'][:60]!r}, which is not a response.")
        item.kind, answer = _answer(need(one, "value", object, where + "."), names, where)
        person = str(one.get("user_id") or defaults.annotator)
        item.answers.append(AnnotationItem(person, answer, source=defaults.source))
        kept.setdefault("said", []).append(rest(one, "value", "user_id"))
    if not item.answers and len(names) > 1:
        item.kind = kind_for(len(names))
    if left_out:
        kept["left_out"] = left_out
    kept["row"] = rest(given, "fields", "responses")
    item.provenance = {KEY: kept}
    yield item
    for one in left_out:
        yield LeftOut(f"a response whose status is {str(one['status'])[:40]}")
    for name in context:
        yield Note(f"The field {name!r} belongs to the prompt.")
    for name in other_fields:
        yield Note(f"The field {name!r} is stored with the task and not shown.")
    yield from told_beside(more)


def write(item: Item) -> Iterator[Row | LeftOut]:
    """A record. Strength, ties of a comparison and reasons have no place in a label."""
    kept = provenance.kept(item, KEY)
    names = kept.get("names") or [f"response_{letter}" for letter in LETTERS[: len(item.responses)]]
    fields: Row = kept.get("aside", {}) | kept.get("context", {}) | _prompt_back(item, kept)
    fields |= dict(zip(names, item.texts, strict=True))
    responses = []
    extra: list[Row] = kept.get("said", [])
    if len(extra) != len(item.answers):
        extra = [Row()] * len(item.answers)
    for annotation, beside in zip(item.answers, extra, strict=True):
        value = _value(annotation.answer, names)
        if isinstance(value, LeftOut):
            yield value
            continue
        responses.append(beside | {"value": value, "user_id": annotation.annotator})
    responses += kept.get("left_out", [])
    question = kept.get("question", item.kind)
    row = {"suggestions": {}, "metadata": {}} | kept.get("row", {})
    yield row | {"fields": fields, "responses": {question: responses} if responses else {}}


def _answered(given: Row) -> tuple[str | None, list[object]]:
    """The question that a record answers, and its responses to it."""
    responses = need(given, "responses", dict) if given.get("responses") else {}
    answered = [name for name, answers in responses.items() if answers]
    if len(answered) > 1:
        raise InvalidRow("responses", f"It answers {len(answered)} questions; only one can be imported.")
    if not answered:
        return None, []
    return answered[0], need(responses, answered[0], list, "responses.")


def _named(texts: Row, responses: list[object]) -> list[str]:
    """Names of the fields that are responses, in the record's order."""
    ranked, chosen = set(), set()
    for response in responses:
        value = response.get("value") if isinstance(response, dict) else None
        if isinstance(value, str):
            chosen.add(value)
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, dict) and isinstance(one.get("value"), str):
                    ranked.add(one["value"])
    if ranked:
        return [name for name in texts if name in ranked]
    return [name for name in texts if name in chosen or name.lower() not in (*CONTEXT, *ASIDE)]


def _status(row: Row) -> str:
    """What a record or a response says of itself; clients write it in small letters or in capitals."""
    return str(row.get("status") or "").casefold()


def _prompt(given: object, name: str, context: Row) -> tuple[list[Message], list[Row]]:
    if isinstance(given, str):
        messages, more = [{"role": "user", "content": given}], [Row()]
    else:
        messages, more = turns(given, name)
    if context and messages:
        last = _last_of_user(messages)
        last["content"] = "\n\n".join([last["content"], *context.values()])
    return messages, more


def _last_of_user(messages: list[Message]) -> Message:
    """The user's last message; of a conversation without one, the last."""
    for one in reversed(messages):
        if one["role"] == "user":
            return one
    return messages[-1]


def _prompt_back(item: Item, kept: Row) -> Row:
    """The prompt's own field, without the context that was joined to it."""
    messages = list(map(dict, item.prompt))
    joined = "\n\n".join(["", *kept.get("context", {}).values()])
    if joined:
        last = _last_of_user(messages)
        last["content"] = last["content"].removesuffix(joined)
    is_plain = kept.get("text", True) and len(messages) == 1 and messages[0]["role"] == "user"
    return {kept.get("prompt", "prompt"): messages[0]["content"] if is_plain else messages}


def _answer(value: object, names: list[str], where: str) -> tuple[str, Row]:
    if value and is_list_of(value, dict) and all("rank" in one for one in value):
        return ORDERED, ordered(groups_of(_ranks(value, names, where)))
    if isinstance(value, str) and value in names and len(names) == 2:
        return COMPARISON, prefers(LETTERS[names.index(value)])
    if isinstance(value, int) and not isinstance(value, bool) and len(names) == 1:
        return RATED, {"ratings": {"overall": value}}
    if isinstance(value, str) and not names:
        return DEMONSTRATION, {"text": value}
    raise InvalidRow(where, "It must be ranked fields, the name of a response field, a rating, or a text.")


def _ranks(value: list[Row], names: list[str], where: str) -> dict[str, int]:
    """The rank of each response by its letter."""
    ranked = [str(one.get("value")) for one in value]
    if sorted(ranked) != sorted(names):
        raise InvalidRow(where, "Its ranks must name every response field once.")
    ranks: dict[str, int] = {}
    for name, one in zip(ranked, value, strict=True):
        ranks[LETTERS[names.index(name)]] = need(one, "rank", int, where + ".")
    return ranks


def _value(answer: Row, names: list[str]) -> object:
    groups = order_in(answer)
    if groups is not None:
        ranked, rank = [], 1
        for group in groups:
            for letter in group:
                ranked.append({"value": names[LETTERS.index(letter)], "rank": rank})
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
