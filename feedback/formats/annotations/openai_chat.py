"""OpenAI's chat JSON Lines: {"messages"} for supervised tuning, {"input", "preferred_output", …} for preferences.

A message's `weight` of 0 says that it is not to be imitated: a chat whose last message has it is just a prompt. What
else messages hold beside their texts is kept and given back; what they cannot do without is refused by name.
"""

from collections.abc import Iterator

from feedback.formats.annotations import provenance
from feedback.formats.annotations.item_kinds import COMPARISON, DEMONSTRATION, PAIRWISE, WITH_TEXT
from feedback.formats.annotations.items import (
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
    best_and_worse,
    need,
    prefers,
    rest,
    told_beside,
    turns,
)
from feedback.formats.annotations.trl_items import SEVERAL_TURNS, has_several_turns

KEY = provenance.OPENAI
PAIR = ("input", "preferred_output", "non_preferred_output")
NOT_IMITATED = "a message of weight 0, which is not to be imitated"


def read(row: object, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    given = an_object(row)
    yield from _pair(given, defaults) if given.get("preferred_output") is not None else _chat(given, defaults)


def write(item: Item) -> Iterator[Row | LeftOut]:
    extra = provenance.kept(item, KEY)
    own = rest(extra, "input", "_turns", "_last")
    if item.kind == PROMPT:
        last = [extra["_last"]] if "_last" in extra else []
        yield own | {"messages": _with_extras(item.prompt, extra) + last}
    elif item.kind in WITH_TEXT and item.answers:
        for annotation in item.answers:
            yield own | {"messages": _with_extras([*item.prompt, _turn(annotation.answer["text"])], extra)}
    elif item.kind in PAIRWISE and item.answers:
        for annotation in item.answers:
            pair = best_and_worse(item, annotation)
            if pair is None:
                yield LeftOut(f"an answer {annotation.answer['outcome']}")
                continue
            given = extra.get("input", {}) | {"messages": _with_extras(item.prompt, extra)}
            outputs = {"preferred_output": [_turn(pair[0])], "non_preferred_output": [_turn(pair[1])]}
            yield own | {"input": given} | outputs
    else:
        yield LeftOut(f"a {item.kind}" if item.answers else f"a {item.kind} without an answer")


def _pair(given: Row, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    prompt, more = turns(need(need(given, "input", dict), "messages", list, "input."), "input.messages")
    texts, lost = [], []
    for name in PAIR[1:]:
        output, beside = turns(given.get(name), name)
        if len(output) != 1 or output[0]["role"] != "assistant":
            raise InvalidRow(name, "It must be one message of the assistant.")
        texts.append(output[0]["content"])
        lost += beside
    annotation = AnnotationItem(defaults.annotator, prefers("a"), source=defaults.source)
    item = Item(COMPARISON, prompt, list(map(Candidate, texts)), [annotation], source=defaults.source)
    extra = rest(given, *PAIR)
    if beside_input := rest(given["input"], "messages"):
        extra["input"] = beside_input
    item.provenance = _provenance(extra, more)
    yield item
    yield from told_beside(more + lost)


def _chat(given: Row, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    messages, more = turns(given.get("messages"), "messages")
    for place, beside in enumerate(more):
        if beside.get("weight") not in (None, 0, 1) or isinstance(beside.get("weight"), bool):
            raise InvalidRow(f"messages[{place}].weight", "It must be 0 or 1.")
    null = [name for name in PAIR if given.get(name) is None]
    extra = rest(given, "messages", *null)
    is_answered = bool(messages) and messages[-1]["role"] == "assistant"
    if is_answered and more[-1].get("weight") == 0:
        extra["_last"] = messages[-1] | more[-1]
        item = Item(PROMPT, messages[:-1], source=defaults.source, provenance=_provenance(extra, more[:-1]))
        yield from (item, LeftOut(NOT_IMITATED))
    elif is_answered:
        annotation = AnnotationItem(defaults.annotator, {"text": messages[-1]["content"]}, source=defaults.source)
        item = Item(DEMONSTRATION, messages[:-1], answers=[annotation], source=defaults.source)
        item.provenance = _provenance(extra, more)
        yield item
        if has_several_turns(messages):
            yield Note(SEVERAL_TURNS)
    else:
        yield Item(PROMPT, messages, source=defaults.source, provenance=_provenance(extra, more))
    yield from told_beside([rest(beside, "weight") for beside in more])


def _provenance(extra: Row, more: list[Row]) -> Row:
    places: list[Row] = []
    for place, beside in enumerate(more):
        if beside:
            places.append({"place": place, "beside": beside})
    kept = extra
    if places:
        kept = extra | {"_turns": places}
    return {KEY: kept} if kept else {}


def _with_extras(messages: list[Message], extra: Row) -> list[Row]:
    """Messages with what they held beside their texts, each under the message's own role and content."""
    given: list[Row] = list(map(dict, messages))
    for turn in extra.get("_turns", []):
        place, beside = turn.get("place"), turn.get("beside")
        if isinstance(place, int) and isinstance(beside, dict) and 0 <= place < len(given):
            given[place] = beside | given[place]
    return given


def _turn(text: str) -> Message:
    return {"role": "assistant", "content": text}
