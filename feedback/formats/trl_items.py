"""TRL's dataset types as items and back: preference (explicit or implicit prompt), prompt-completion, prompt-only,
unpaired. Columns hold text (standard) or messages (conversational); what is written is conversational."""

from collections.abc import Iterator
from typing import Any

from feedback.formats.items import (
    PROMPT,
    THUMB,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Message,
    Row,
    Said,
    an_object,
    best_and_worse,
    conversation,
    need,
    prefers,
    rest,
    turn_text,
)

KEY = "trl"


def read(row: Any, defaults: Defaults) -> Iterator[Item]:
    given = an_object(row)
    if "chosen" in given or "rejected" in given:
        item = _preference(given, defaults)
    elif "completion" in given:
        item = _completion(given, defaults)
    elif "prompt" in given:
        item = Item(PROMPT, conversation(given["prompt"]))
    else:
        raise InvalidRow("prompt", "A row has prompt, prompt and completion, or chosen and rejected.")
    if extra := rest(given, "prompt", "chosen", "rejected", "completion", "label"):
        item.metadata = {KEY: extra}
    item.source = defaults.source
    yield item


def preferences(item: Item) -> Iterator[Row | LeftOut]:
    """Explicit prompt: what DPO and KTO prefer."""
    yield from _pairs(item, implicit=False)


def implicit(item: Item) -> Iterator[Row | LeftOut]:
    """Implicit prompt: what the reward trainer prefers."""
    yield from _pairs(item, implicit=True)


def completions(item: Item) -> Iterator[Row | LeftOut]:
    """Demonstrations as prompt-completion."""
    if item.kind != "demonstration":
        yield LeftOut(f"a {item.kind} is no demonstration")
    for said in item.answers if item.kind == "demonstration" else []:
        yield {"prompt": item.prompt, "completion": _turn(said.answer["text"])} | item.metadata.get(KEY, {})


def prompts(item: Item) -> Iterator[Row | LeftOut]:
    yield {"prompt": item.prompt} | item.metadata.get(KEY, {})


def unpaired(item: Item) -> Iterator[Row | LeftOut]:
    """Thumbs, and both responses of a comparison that were found bad."""
    if item.kind == THUMB:
        for said in item.answers:
            label = {"completion": _turn(item.responses[0].text), "label": said.answer["up"]}
            yield {"prompt": item.prompt} | label | item.metadata.get(KEY, {})
        return
    both_bad = [said for said in item.answers if said.answer.get("outcome") == "both_bad"]
    for _ in both_bad:
        for response in item.responses:
            yield {"prompt": item.prompt, "completion": _turn(response.text), "label": False}
    if not both_bad:
        yield LeftOut(f"a {item.kind} judges no single response")


def _preference(given: Row, defaults: Defaults) -> Item:
    chosen, rejected = _either(given, "chosen"), _either(given, "rejected")
    if "prompt" in given:
        prompt = conversation(given["prompt"])
        texts = [turn_text(chosen, "chosen"), turn_text(rejected, "rejected")]
    else:
        prompt, texts = _common(chosen, rejected)
    said = Said(defaults.annotator, prefers("a"), source=defaults.source)
    return Item("comparison", prompt, [Candidate(text) for text in texts], [said])


def _completion(given: Row, defaults: Defaults) -> Item:
    prompt, text = conversation(given.get("prompt")), turn_text(given["completion"], "completion")
    if "label" in given:
        up = need(given, "label", bool)
        return Item(THUMB, prompt, [Candidate(text)], [Said(defaults.annotator, {"up": up}, source=defaults.source)])
    return Item("demonstration", prompt, [], [Said(defaults.annotator, {"text": text}, source=defaults.source)])


def _common(chosen: Any, rejected: Any) -> tuple[list[Message], list[str]]:
    """The implicit prompt: what both lists of messages begin with."""
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        raise InvalidRow("prompt", "Without a prompt, chosen and rejected must be lists of messages that share one.")
    if chosen[:-1] != rejected[:-1] or len(chosen) < 2:
        raise InvalidRow("rejected", "All but the last message must be the same in chosen and rejected.")
    return chosen[:-1], [turn_text(chosen[-1:], "chosen"), turn_text(rejected[-1:], "rejected")]


def _either(given: Row, name: str) -> Any:
    if not isinstance(given.get(name), str | list):
        raise InvalidRow(name, "It must be text or a list of messages.")
    return given[name]


def _pairs(item: Item, implicit: bool) -> Iterator[Row | LeftOut]:
    if item.kind not in ("comparison", "conversation"):
        yield LeftOut(f"a {item.kind} is no comparison")
        return
    if not item.answers:
        yield LeftOut("a comparison without an answer")
    for said in item.answers:
        pair = best_and_worse(item, said)
        if pair is None:
            yield LeftOut(f"an answer {said.answer['outcome']}")
            continue
        chosen, rejected = (_turn(text) for text in pair)
        extra = item.metadata.get(KEY, {})
        if implicit:
            yield {"chosen": item.prompt + chosen, "rejected": item.prompt + rejected} | extra
        else:
            yield {"prompt": item.prompt, "chosen": chosen, "rejected": rejected} | extra


def _turn(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]
