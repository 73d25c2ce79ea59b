"""OpenAI's chat JSON Lines: {"messages"} for supervised tuning, {"input", "preferred_output", …} for preferences."""

from collections.abc import Iterator
from typing import Any

from feedback.formats.items import (
    PROMPT,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Row,
    Said,
    an_object,
    best_and_worse,
    need,
    prefers,
    rest,
    turn_text,
)

KEY = "openai"
PAIR = ("input", "preferred_output", "non_preferred_output")


def read(row: Any, defaults: Defaults) -> Iterator[Item]:
    given = an_object(row)
    if "preferred_output" in given:
        prompt = need(need(given, "input", dict), "messages", list, "input.")
        texts = [turn_text(given.get(name), name) for name in PAIR[1:]]
        said = Said(defaults.annotator, prefers("a"), source=defaults.source)
        item = Item("comparison", prompt, [Candidate(text) for text in texts], [said])
        extra = rest(given, *PAIR)
        if more := rest(given["input"], "messages"):
            extra["input"] = more
    else:
        messages = need(given, "messages", list)
        if not all(isinstance(one, dict) for one in messages):
            raise InvalidRow("messages", "It must be a list of objects.")
        if messages and messages[-1].get("role") == "assistant":
            text = turn_text(messages[-1:], f"messages[{len(messages) - 1}]")
            item = Item("demonstration", messages[:-1])
            item.answers = [Said(defaults.annotator, {"text": text}, source=defaults.source)]
        else:
            item = Item(PROMPT, messages)
        extra = rest(given, "messages")
    if extra:
        item.metadata = {KEY: extra}
    item.source = defaults.source
    yield item


def write(item: Item) -> Iterator[Row | LeftOut]:
    extra = item.metadata.get(KEY, {})
    if item.kind == PROMPT:
        yield {"messages": item.prompt} | extra
    elif item.kind == "demonstration" and item.answers:
        for said in item.answers:
            yield {"messages": [*item.prompt, _turn(said.answer["text"])]} | extra
    elif item.kind in ("comparison", "conversation") and item.answers:
        for said in item.answers:
            pair = best_and_worse(item, said)
            if pair is None:
                yield LeftOut(f"an answer {said.answer['outcome']}")
                continue
            given = {"messages": item.prompt} | extra.get("input", {})
            outputs = {"preferred_output": [_turn(pair[0])], "non_preferred_output": [_turn(pair[1])]}
            yield {"input": given} | outputs | rest(extra, "input")
    else:
        yield LeftOut(f"a {item.kind}" if item.answers else f"a {item.kind} without an answer")


def _turn(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
