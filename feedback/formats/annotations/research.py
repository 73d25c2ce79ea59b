"""Published data sets in shapes of their own: PandaLM, LLMBar, Taskmaster's rewards, Self-Instruct. One function each
way; what a row holds beside its texts and judgments is kept and given back."""

import json
from collections.abc import Iterator

from feedback.formats.annotations import provenance
from feedback.formats.annotations.item_kinds import COMPARISON, DEMONSTRATION, ORDERED, ORDERING, PAIRWISE, WITH_TEXT
from feedback.formats.annotations.items import (
    THUMB,
    AnnotationItem,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Message,
    Row,
    an_object,
    need,
    prefers,
    rest,
)
from feedback.rules.json_types import is_list_of

PANDALM, LLMBAR = provenance.PANDALM, provenance.LLMBAR
TASKMASTER, SELF_INSTRUCT = provenance.TASKMASTER, provenance.SELF_INSTRUCT
VOTES = {0: {"outcome": "tie"}, 1: prefers("a"), 2: prefers("b")}


def read_pandalm(row: object, defaults: Defaults) -> Iterator[Item]:
    """Three people on two responses: 1 or 2 is better, 0 a tie."""
    given = an_object(row)
    raw, responses = Row(), []
    for name in ("response1", "response2"):
        value = given.get(name)
        if isinstance(value, bool | int | float):  # some responses are bare JSON values
            raw[name] = value
            responses.append(Candidate(json.dumps(value)))
        else:
            responses.append(Candidate(need(given, name, str)))
    item = Item(COMPARISON, _instruction(given), responses, source=defaults.source)
    people = [name for name in given if name.startswith("annotator")]
    for name in people:
        if given[name] not in VOTES or isinstance(given[name], bool):
            raise InvalidRow(name, "It must be 0 (a tie), 1 or 2.")
        item.answers.append(AnnotationItem(name, VOTES[given[name]], source=defaults.source))
    item.provenance = {PANDALM: {"input": given.get("input", ""), "row": rest(given, *TOLD, *people), "raw": raw}}
    yield item


def write_pandalm(item: Item) -> Iterator[Row | LeftOut]:
    kept = provenance.kept(item, PANDALM)
    if not kept or item.kind not in PAIRWISE:
        yield LeftOut("a task that is not PandaLM's")
        return
    votes: Row = {}
    for one in item.answers:
        if one.answer["outcome"] == "both_bad":
            yield LeftOut("an answer both_bad")
        else:
            votes[one.annotator] = {"a": 1, "b": 2}.get(one.answer.get("choice", ""), 0)
    texts: Row = {"response1": item.responses[0].text, "response2": item.responses[1].text}
    for name, value in kept["raw"].items():
        if json.dumps(value) == texts.get(name):
            texts[name] = value
    yield kept["row"] | votes | _parts(item, kept) | texts


def read_llmbar(row: object, defaults: Defaults) -> Iterator[Item]:
    """One of two outputs is right: a gold task, without answers."""
    given = an_object(row)
    if given.get("label") not in (1, 2) or isinstance(given["label"], bool):
        raise InvalidRow("label", "It must be 1 or 2.")
    responses = [Candidate(need(given, "output_1", str)), Candidate(need(given, "output_2", str))]
    item = Item(COMPARISON, [{"role": "user", "content": need(given, "input", str)}], responses)
    item.gold, item.source = prefers("ab"[given["label"] - 1]), defaults.source
    item.provenance = {LLMBAR: rest(given, "input", "output_1", "output_2", "label")}
    yield item


def write_llmbar(item: Item) -> Iterator[Row | LeftOut]:
    if item.kind not in PAIRWISE or not item.gold or "choice" not in item.gold:
        yield LeftOut("a task without a gold answer")
        return
    texts = {"output_1": item.responses[0].text, "output_2": item.responses[1].text}
    label = {"label": "ab".index(item.gold["choice"]) + 1}
    yield provenance.kept(item, LLMBAR) | {"input": item.prompt[-1]["content"]} | texts | label


def read_taskmaster(row: object, defaults: Defaults) -> Iterator[Item]:
    """A response to a dialogue with calls of programs in it, rewarded with 0 or 1."""
    given = an_object(row)
    if given.get("reward") not in (0, 1) or isinstance(given["reward"], bool):
        raise InvalidRow("reward", "It must be 0 or 1.")
    response = given.get("response")
    plain = isinstance(response, str)
    messages = [_turn(one, place) for place, one in enumerate(need(given, "messages", list))]
    text = response if plain else json.dumps(response, ensure_ascii=False)
    annotation = AnnotationItem(defaults.annotator, {"up": bool(given["reward"])}, source=defaults.source)
    kept = {"row": rest(given, "messages", "response", "reward"), "plain": plain}
    yield Item(
        THUMB, messages, [Candidate(str(text))], [annotation], source=defaults.source, provenance={TASKMASTER: kept}
    )


def write_taskmaster(item: Item) -> Iterator[Row | LeftOut]:
    kept = provenance.kept(item, TASKMASTER)
    if not kept or item.kind != THUMB or not item.answers:
        yield LeftOut("a task that is not Taskmaster's")
        return
    yield from [LeftOut("a further thumb on the same response")] * (len(item.answers) - 1)
    text = item.responses[0].text
    response = text if kept["plain"] else _json(text)
    if response is None:
        yield LeftOut("a response that is no longer a program call")
        return
    turns = list(map(_turn_back, item.prompt))
    yield kept["row"] | {"messages": turns, "response": response, "reward": float(item.answers[0].answer["up"])}


def read_self_instruct(row: object, defaults: Defaults) -> Iterator[Item]:
    """Seed tasks are demonstrations; candidates are responses by model that are to be ranked."""
    given = an_object(row)
    if "instances" in given:
        instances = need(given, "instances", list)
        for place, one in enumerate(instances):
            fields = {"instruction": given.get("instruction")} | an_object(one)
            item = Item(DEMONSTRATION, _instruction(fields), source=defaults.source)
            text = need(one, "output", str, f"instances[{place}].")
            item.answers = [AnnotationItem(defaults.annotator, {"text": text}, source=defaults.source)]
            row = rest(given, "instruction", "instances") | {"instances": len(instances)}
            item.provenance = {SELF_INSTRUCT: {"input": one.get("input", ""), "row": row}}
            yield item
        return
    responses = need(given, "responses", dict)
    if not is_list_of(list(responses.values()), str):
        raise InvalidRow("responses", "It must be an object of model to text.")
    candidates = [Candidate(text, model) for model, text in responses.items()]
    item = Item(ORDERED, _instruction(given), candidates)
    row = rest(given, "instruction", "input", "responses")
    item.source, item.provenance = defaults.source, {SELF_INSTRUCT: {"input": given.get("input", ""), "row": row}}
    yield item


def write_self_instruct(item: Item) -> Iterator[Row | LeftOut]:
    kept = provenance.kept(item, SELF_INSTRUCT)
    if not kept or item.kind not in (*ORDERING, *WITH_TEXT):
        yield LeftOut("a task that is not Self-Instruct's")
        return
    parts = _parts(item, kept)
    if item.kind in ORDERING:
        responses = {response.model: response.text for response in item.responses}
        yield kept["row"] | parts | {"responses": responses}
    elif kept["row"].get("instances") != 1 or not item.answers:
        yield LeftOut("a seed task with several instances, which came in as one demonstration each")
    else:
        yield from [LeftOut("a further demonstration of the same task")] * (len(item.answers) - 1)
        instance = {"input": parts["input"], "output": item.answers[0].answer["text"]}
        yield kept["row"] | {"instruction": parts["instruction"], "instances": [instance]}


CALLS = {"api", "response"}  # what a turn holds that is no text
TOLD = ("instruction", "input", "response1", "response2")


def _instruction(given: Row) -> list[Message]:
    instruction, more = need(given, "instruction", str), given.get("input") or ""
    if not isinstance(more, str):
        raise InvalidRow("input", "It must be text.")
    return [{"role": "user", "content": f"{instruction}\n\n{more}" if more else instruction}]


def _parts(item: Item, kept: Row) -> Row:
    """Instruction and input, which became one message."""
    text, more = item.prompt[-1]["content"], kept["input"]
    return {"instruction": text.removesuffix(f"\n\n{more}") if more else text, "input": more}


def _turn(given: object, place: int) -> Message:
    """A call of a program and its reply become the JSON that they are. A reply is what the agent answers next, so it is
    reported as the user's turn: a prompt ends with one."""
    one = an_object(given)
    roles = {"user": "user", "agent": "assistant", "api": "system"}
    if one.get("role") not in roles:
        raise InvalidRow(f"messages[{place}].role", f"It must be one of {', '.join(roles)}.")
    others = rest(one, "role")
    if not (others.keys() == {"text"} and isinstance(others["text"], str)) and not (others and others.keys() <= CALLS):
        raise InvalidRow(f"messages[{place}]", "A turn has a text, or a call or its reply under api or response.")
    text = others["text"] if set(others) == {"text"} else json.dumps(others, ensure_ascii=False)
    if one["role"] == "api" and "response" in others:
        return {"role": "user", "content": text}
    return {"role": roles[one["role"]], "content": text}


def _turn_back(message: Message) -> Row:
    text = message["content"]
    role = {"user": "user", "assistant": "agent", "system": "api"}[message["role"]]
    if text.startswith('{"') and isinstance(fields := _json(text), dict) and fields.keys() <= CALLS:
        return {"role": "api" if role == "user" and "response" in fields else role} | fields
    return {"role": role, "text": text}


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
