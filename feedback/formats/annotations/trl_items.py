"""TRL's dataset types as items and back: preference (explicit or implicit prompt), prompt-completion, prompt-only,
unpaired, and conversational language modeling. Columns hold text (standard) or messages (conversational); what is
written is conversational.

Columns of a Hub data set that holds several types at once are null where a row has none of them: null means absent.
"""

from collections.abc import Iterator
from operator import itemgetter

from feedback.formats.annotations import provenance
from feedback.formats.annotations.item_kinds import COMPARISON, DEMONSTRATION, PAIRWISE, WITH_TEXT
from feedback.formats.annotations.items import (
    PROMPT,
    THUMB,
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
    prefers,
    rest,
    told_beside,
    turns,
)

KEY = provenance.TRL
COLUMNS = ("prompt", "chosen", "rejected", "completion", "label", "messages")


def read(row: object, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    whole = an_object(row)
    given = {name: value for name, value in whole.items() if value is not None or name not in COLUMNS}
    reading = _Reading(given, defaults)
    if "chosen" in given or "rejected" in given:
        item = reading.preference()
    elif "completions" in given and "labels" in given:
        raise InvalidRow("completions", "Stepwise supervision is not supported: a step is not a whole response.")
    elif "completion" in given:
        item = reading.completion()
    elif "prompt" in given:
        item = Item(PROMPT, reading.conversation("prompt"))
    elif "messages" in given:
        item = reading.messages()
    elif isinstance(given.get("text"), str):
        raise InvalidRow("text", "A plain text is a document. Import it into a corpus.")
    else:
        raise InvalidRow("prompt", "A row has prompt, prompt and completion, chosen and rejected, or messages.")
    if extra := rest(given, *COLUMNS):
        item.provenance = {KEY: extra}
    item.source = defaults.source
    yield item
    yield from told_beside(reading.more)
    yield from reading.notes


def preferences(item: Item) -> Iterator[Row | LeftOut]:
    """Explicit prompt: what DPO and KTO prefer."""
    yield from _pairs(item, implicit=False)


def implicit(item: Item) -> Iterator[Row | LeftOut]:
    """Implicit prompt: what the reward trainer prefers."""
    yield from _pairs(item, implicit=True)


def completions(item: Item) -> Iterator[Row | LeftOut]:
    """Demonstrations as prompt-completion."""
    if item.kind not in WITH_TEXT:
        yield LeftOut(f"a {item.kind} is not a demonstration")
        return
    if not item.answers:
        yield LeftOut("a demonstration without an annotation")
    for annotation in item.answers:
        yield provenance.kept(item, KEY) | {"prompt": item.prompt, "completion": _turn(annotation.answer["text"])}


def prompts(item: Item) -> Iterator[Row | LeftOut]:
    yield provenance.kept(item, KEY) | {"prompt": item.prompt}


def unpaired(item: Item) -> Iterator[Row | LeftOut]:
    """Thumbs, and both responses of a comparison that were found bad."""
    if item.kind == THUMB:
        for annotation in item.answers:
            label = {"completion": _turn(item.responses[0].text), "label": annotation.answer["up"]}
            yield provenance.kept(item, KEY) | {"prompt": item.prompt} | label
        return
    both_bad = [annotation for annotation in item.answers if annotation.answer.get("outcome") == "both_bad"]
    for _ in both_bad:
        for response in item.responses:
            yield {"prompt": item.prompt, "completion": _turn(response.text), "label": False}
    if not both_bad:
        yield LeftOut(f"a {item.kind} does not rate a single response")


class _Reading:
    """One row as it is read: what its messages held beside their texts is gathered in `more`."""

    def __init__(self, given: Row, defaults: Defaults) -> None:
        self.given, self.defaults = given, defaults
        self.more: list[Row] = []
        self.notes: list[Note] = []

    def preference(self) -> Item:
        chosen, rejected = self.either("chosen"), self.either("rejected")
        if isinstance(chosen, str) and isinstance(rejected, str):
            texts, prompt = [chosen, rejected], self.conversation("prompt")
        else:
            prompt, texts = self.common(chosen, rejected)
        annotation = AnnotationItem(self.defaults.annotator, prefers("a"), source=self.defaults.source)
        return Item(COMPARISON, prompt, list(map(Candidate, texts)), [annotation])

    def common(self, chosen: str | list[Message], rejected: str | list[Message]) -> tuple[list[Message], list[str]]:
        """The prompt, which may stand apart, in front of both, or in both places; and the two last messages."""
        texts: list[str] = []
        before: list[list[Message]] = []
        for name, given in (("chosen", chosen), ("rejected", rejected)):
            messages = _turn(given) if isinstance(given, str) else given
            if not messages or messages[-1]["role"] != "assistant":
                raise InvalidRow(name, "Its last message must be the assistant's.")
            texts.append(messages[-1]["content"])
            before.append(messages[:-1])
        if before[0] != before[1]:
            raise InvalidRow("rejected", "All but the last message must be the same in chosen and rejected.")
        if "prompt" not in self.given:
            if not before[0]:
                raise InvalidRow("prompt", "Without a prompt, chosen and rejected must begin with one that they share.")
            return before[0], texts
        return self.joined(self.conversation("prompt"), before[0], "chosen"), texts

    def joined(self, prompt: list[Message], before: list[Message], name: str) -> list[Message]:
        """A prompt, and what stands before the last message: nothing, or the prompt once more."""
        if not before or before == prompt:
            return prompt
        if before[-len(prompt) :] == prompt:  # with a system message or earlier turns in front, which belong to it
            return before
        raise InvalidRow(name, "The messages before the last one are not the prompt.")

    def completion(self) -> Item:
        prompt, given = self.conversation("prompt"), self.either("completion")
        if isinstance(given, str):
            text = given
        else:
            if not given or given[-1]["role"] != "assistant":
                raise InvalidRow("completion", "Its last message must be the assistant's.")
            prompt, text = self.joined(prompt, given[:-1], "completion"), given[-1]["content"]
        annotator, source = self.defaults.annotator, self.defaults.source
        if "label" in self.given:
            if self.given["label"] not in (0, 1):  # as false and true are
                raise InvalidRow("label", "It must be true or false, or 1 or 0.")
            up = bool(self.given["label"])
            return Item(THUMB, prompt, [Candidate(text)], [AnnotationItem(annotator, {"up": up}, source=source)])
        return Item(DEMONSTRATION, prompt, [], [AnnotationItem(annotator, {"text": text}, source=source)])

    def messages(self) -> Item:
        messages = self.turns("messages")
        if not messages or messages[-1]["role"] != "assistant":
            return Item(PROMPT, messages)
        if has_several_turns(messages):
            self.notes.append(Note(SEVERAL_TURNS))
        annotation = AnnotationItem(
            self.defaults.annotator, {"text": messages[-1]["content"]}, source=self.defaults.source
        )
        return Item(DEMONSTRATION, messages[:-1], [], [annotation])

    def conversation(self, name: str) -> list[Message]:
        given = self.given.get(name)
        return [{"role": "user", "content": given}] if isinstance(given, str) else self.turns(name)

    def turns(self, name: str) -> list[Message]:
        messages, more = turns(self.given.get(name), name)
        self.more += more
        return messages

    def either(self, name: str) -> str | list[Message]:
        given = self.given.get(name)
        if isinstance(given, str):
            return given
        if isinstance(given, dict):
            self.given = self.given | {name: [given]}
        elif not isinstance(given, list):
            raise InvalidRow(name, "It must be text or a list of messages.")
        return self.turns(name)


SEVERAL_TURNS = "Of a chat with several turns of the assistant, the last is the demonstration; the rest is its prompt."


def has_several_turns(messages: list[Message]) -> bool:
    """Whether the assistant speaks more than once."""
    return list(map(itemgetter("role"), messages)).count("assistant") > 1


def _pairs(item: Item, implicit: bool) -> Iterator[Row | LeftOut]:
    if item.kind not in PAIRWISE:
        yield LeftOut(f"a {item.kind} is not a comparison")
        return
    if not item.answers:
        yield LeftOut("a comparison without an annotation")
    extra = provenance.kept(item, KEY)
    for annotation in item.answers:
        pair = best_and_worse(item, annotation)
        if pair is None:
            yield LeftOut(f"an answer {annotation.answer['outcome']}")
            continue
        chosen, rejected = map(_turn, pair)
        if implicit:
            yield extra | {"chosen": item.prompt + chosen, "rejected": item.prompt + rejected}
        else:
            yield extra | {"prompt": item.prompt, "chosen": chosen, "rejected": rejected}


def _turn(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]
