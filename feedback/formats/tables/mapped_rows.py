"""Rows of a foreign table, read by a mapping: each becomes a row of our own JSON Lines, and that is read as any other.

So a mapping is a step before the importer, and no second importer: every rule of rows holds here too.
"""

from collections.abc import Iterator
from typing import Any

from feedback.formats.annotations import item_kinds, touchstone_jsonl
from feedback.formats.annotations.items import LETTERS, Defaults, InvalidRow, Item, Message, Reader, Row
from feedback.formats.annotations.items import PROMPT as PROMPT_KIND
from feedback.formats.annotations.items import THUMB as THUMB_KIND
from feedback.formats.tables import fields, words
from feedback.formats.tables.layout import flattened
from feedback.formats.tables.mapping import Mapping
from feedback.formats.tables.words import Facts
from feedback.rules.collection.kinds.rating import OVERALL
from feedback.rules.collection.kinds.registry import WITH_SCHEME
from feedback.rules.json_types import is_list_of

ROLES = {
    "human": "user", "prompter": "user", "customer": "user", "user": "user", "gpt": "assistant", "bot": "assistant",
    "ai": "assistant", "model": "assistant", "agent": "assistant", "chatbot": "assistant", "assistant": "assistant",
    "system": "system", "developer": "system",
}  # fmt: skip
TEXT_KEYS = ("text", "content", "completion", "response", "body", "output", "answer", "summary", "value")
MODEL_KEYS = ("model", "policy", "source", "generator", "author")
PLAIN = ("external_id", "source", "group", "split", "explanation")
NUMBERS = ("priority", "annotations_wanted")
BRACES = ("[", "{")


def reader(mapping: Mapping, facts: Facts) -> Reader:
    """Reads rows of the table that the mapping is for."""
    plan = _Plan(mapping, facts)

    def read(row: object, defaults: Defaults) -> Iterator[Item]:
        if not isinstance(row, dict):
            raise InvalidRow("", "A row must be an object with a value for each column.")
        yield from touchstone_jsonl.read(plan.row(row, defaults), defaults)

    return read


class _Plan:
    """A mapping worked out once: the column of each field, and meanings of words as they are compared."""

    def __init__(self, mapping: Mapping, facts: Facts) -> None:
        self.facts, self.gold = facts, mapping.gold
        self.kind = mapping.resolved_kind()
        self.ask: Row = {}
        if self.kind in WITH_SCHEME:
            self.ask = {"scheme": mapping.scheme}
        self.columns: dict[str, list[str]] = {}
        for column, name in mapping.columns.items():
            if name != fields.IGNORE:
                self.columns.setdefault(name, []).append(column)
        self.one = {name: columns[0] for name, columns in self.columns.items()}
        self.values = {}
        for name, meanings in mapping.values.items():
            self.values[name] = {words.normal(word): meaning for word, meaning in meanings.items() if meaning}
        self.responses = [self.one[name] for name in fields.RESPONSE_OF if name in self.one]
        self.models = [self.one.get(name) for name in fields.MODEL_OF]
        self.ratings = [name for name in self.one if name.startswith(fields.RATED)]
        self.plain = [(name, self.one[name]) for name in PLAIN if name in self.one]
        self.numbers = [(name, self.one[name]) for name in NUMBERS if name in self.one]
        self.answers = [name for name in fields.ANSWERS if name in self.one]
        self.nested = any("." in column for column in mapping.columns)
        self.judged = bool(self.answers or self.ratings or fields.CHOSEN in self.one)

    def row(self, cells: Row, defaults: Defaults) -> Row:
        """A row of our own JSON Lines."""
        if self.nested:
            cells = flattened(cells) | cells
        made: Row = {"kind": self.kind}
        messages, tokens, last = self._messages(cells)
        made["prompt"], made["source"] = messages, defaults.source
        responses = self._responses(cells)
        if last is not None and self.kind == PROMPT_KIND and not responses:
            responses = [last]
        if responses:
            made["responses"] = responses
        if self.ask:
            made["ask"] = self.ask
        for name, column in self.plain:
            if value := words.text(cells.get(column), column).strip():
                made[name] = value
        for name, column in self.numbers:
            if cells.get(column) not in (None, ""):
                made[name] = words.whole_number(cells[column], column)
        if fields.METADATA in self.columns:
            kept = {column: cells[column] for column in self.columns[fields.METADATA] if cells.get(column)}
            if kept:
                made["metadata"] = kept
        if self.judged and (answer := self._answer(cells, responses, tokens)) is not None:
            if self.gold:
                made["gold"] = answer
            else:
                made["answers"] = [self._annotation(cells, answer, defaults)]
        return made

    def _messages(self, cells: Row) -> tuple[list[Message], list[str] | None, str | None]:
        """The prompt, its tokens where it is a list of them, and a last message that is the assistant's."""
        tokens = None
        if fields.CONVERSATION in self.one:
            messages = conversation(cells.get(self.one[fields.CONVERSATION]), self.one[fields.CONVERSATION])
        else:
            messages = []
        if fields.PROMPT in self.one:
            column = self.one[fields.PROMPT]
            given = cells.get(column)
            if isinstance(given, str) and given[:1] in BRACES:
                given = words.parsed(given)
            if is_list_of(given, str) and given:
                tokens = given
                text = " ".join(given)
            elif is_list_of(given, dict) and given:
                return self._with_system(conversation(given, column), cells), None, None
            elif isinstance(given, str):
                text = given
            else:
                text = words.text(cells.get(column), column)
            for more in self.columns.get(fields.CONTEXT, ()):
                if beside := words.text(cells.get(more), more).strip():
                    text = f"{text}\n\n{beside}"
            if not text.strip():
                raise InvalidRow(column, "It is empty; a row needs a prompt or a text.")
            messages.append({"role": "user", "content": text})
        last = None
        if len(messages) > 1 and messages[-1]["role"] == "assistant":
            last = messages.pop()["content"]
        return self._with_system(messages, cells), tokens, last

    def _with_system(self, messages: list[Message], cells: Row) -> list[Message]:
        if text := self._word(cells, fields.SYSTEM):
            messages.insert(0, {"role": "system", "content": text})
        return messages

    def _responses(self, cells: Row) -> list[Any]:
        found: list[Any] = []
        if fields.CHOSEN in self.one:
            for name in (fields.CHOSEN, fields.REJECTED):
                found.append(last_text(cells.get(self.one[name]), self.one[name]))
        elif fields.RESPONSES in self.one:
            column = self.one[fields.RESPONSES]
            given = cells.get(column)
            if isinstance(given, str):
                given = words.parsed(given)
            if not isinstance(given, list):
                raise InvalidRow(column, "It must be a JSON list of texts.")
            found = [_candidate(one, f"{column}[{place}]") for place, one in enumerate(given)]
        for column in self.responses:
            text = last_text(cells.get(column), column)
            if text or len(self.responses) <= 2:
                found.append(text)
        if fields.MODEL in self.one or any(self.models):
            found = [self._by_model(one, place, cells) for place, one in enumerate(found)]
        return found

    def _by_model(self, one: Any, place: int, cells: Row) -> Any:
        column = self.models[place] if place < len(self.models) else None
        column = column or self.one.get(fields.MODEL)
        model = words.text(cells.get(column), column).strip() if column else ""
        return {"text": one, "model": model} if model and isinstance(one, str) else one

    def _answer(self, cells: Row, responses: list[Any], tokens: list[str] | None) -> Row | None:
        """What the row says that somebody judged; None where its cells are empty."""
        answer: Row | None = None
        if fields.CHOSEN in self.one:
            answer = {"outcome": "prefer", "choice": "a", "strength": 2}
        if self.ratings:
            marks: dict[str, int] = {}
            for name in self.ratings:
                if cells.get(self.one[name]) not in (None, ""):
                    marks[name.removeprefix(fields.RATED)] = words.whole_number(cells[self.one[name]], self.one[name])
            answer = {"ratings": marks} if marks else None
        for name in self.answers:
            column = self.one[name]
            if name == fields.LABEL and len(self.columns[name]) > 1:
                answer = {"labels": self._marked_columns(cells)}
            elif name == fields.CHOICE and len(self.columns[name]) > 1:
                answer = self._chosen_column(cells)
            elif cells.get(column) not in (None, ""):
                answer = self._read_answer(name, cells, responses, tokens)
        if answer is None:
            return None
        if answer.get("outcome") == "prefer" and (told := self._word(cells, fields.STRENGTH)):
            answer["strength"] = words.strength(told)
        if self.kind != THUMB_KIND and (reason := self._word(cells, fields.REASON)):
            answer["reason"] = reason
        return answer

    def _read_answer(self, name: str, cells: Row, responses: list[Any], tokens: list[str] | None) -> Row:
        column, given = self.one[name], cells[self.one[name]]
        own = self.values.get(name, {})
        if name == fields.LABEL:
            return {"labels": words.labels(words.parsed(given) if isinstance(given, str) else given, own, self.facts)}
        if name == fields.SPANS:
            own = self.values.get(fields.LABEL, {})
            return {"spans": words.spans(given, tokens, own, self.facts)}
        if name == fields.ORDER:
            return item_kinds.ordered(words.order(given, len(responses)))
        if name == fields.RATING:
            dimension = self.facts.dimensions[0] if self.facts.dimensions else OVERALL
            return {"ratings": {dimension: words.whole_number(given, column)}}
        if name == fields.DEMONSTRATION:
            return {"text": last_text(given, column)}
        word = words.text(given, column)
        if name == fields.THUMB:
            return {"up": words.thumb(word, own)}
        return words.choice(word, own | self._names(responses))

    def _names(self, responses: list[Any]) -> dict[str, str]:
        """What a row itself calls its responses: by their columns, their models, and their own words."""
        named: dict[str, str] = {}
        for place, column in enumerate(self.responses[: len(LETTERS)]):
            named[words.normal(column)] = LETTERS[place]
        for place, one in enumerate(responses[: len(LETTERS)]):
            text, model = (one, "") if isinstance(one, str) else (one["text"], one.get("model", ""))
            named[words.normal(text)] = LETTERS[place]
            if model:
                named[words.normal(model)] = LETTERS[place]
        return named

    def _word(self, cells: Row, name: str) -> str:
        """The text of a field without the spaces around it; empty where the table has no such column."""
        column = self.one.get(name)
        return words.text(cells.get(column), column).strip() if column is not None else ""

    def _marked_columns(self, cells: Row) -> list[str]:
        """Of several columns of labels, each one's name where its cell says yes, or its words."""
        found: list[str] = []
        own = self.values.get(fields.LABEL, {})
        for column in self.columns[fields.LABEL]:
            word = words.text(cells.get(column), column).strip().casefold()
            if word in words.YES:
                found.append(words.label(column, own, self.facts))
            elif word not in words.NO:
                found.append(words.label(word, own, self.facts))
        return list(dict.fromkeys(found))

    def _chosen_column(self, cells: Row) -> Row | None:
        """Of several columns of outcomes, the one whose cell says yes: winner_model_a, winner_model_b, winner_tie."""
        own = self.values.get(fields.CHOICE, {})
        for column in self.columns[fields.CHOICE]:
            word = words.text(cells.get(column), column).strip().casefold()
            if word in words.YES:
                return words.choice(words.outcome_name(column), own)
        return None

    def _annotation(self, cells: Row, answer: Row, defaults: Defaults) -> Row:
        annotation: Row = {"annotator": defaults.annotator, "source": defaults.source, "answer": answer}
        if name := self._word(cells, fields.ANNOTATOR):
            annotation["annotator"] = name
        if seconds := self._word(cells, fields.SECONDS):
            annotation["seconds"] = _seconds(seconds)
        if told := self._word(cells, fields.SUBMITTED):
            annotation["submitted_at"] = _moment(told)
        return annotation


def conversation(given: object, column: str) -> list[Message]:
    """Messages as other tools write them: role or from, content or value."""
    if isinstance(given, str):
        given = words.parsed(given)
    if isinstance(given, str) and given.strip():
        return [{"role": "user", "content": given}]
    if not is_list_of(given, dict) or not given:
        raise InvalidRow(column, "It must be a list of messages, each with role and content.")
    messages: list[Message] = []
    for place, one in enumerate(given):
        role = one.get("role", one.get("from", one.get("speaker", one.get("author"))))
        content = one.get("content", one.get("value", one.get("text")))
        known = ROLES.get(role.strip().casefold()) if isinstance(role, str) else None
        if known is None or not isinstance(content, str):
            raise InvalidRow(f"{column}[{place}]", "It must have a role (user, assistant or system) and a text.")
        messages.append({"role": known, "content": content})
    return messages


def last_text(given: object, column: str) -> str:
    """A response: a text, or the last message of a conversation that ends with it."""
    if isinstance(given, list) and is_list_of(given, dict) and given:
        return conversation(given, column)[-1]["content"]
    if isinstance(given, dict):
        return str(_candidate(given, column)["text"])
    return words.text(given, column)


def _candidate(one: object, where: str) -> Any:
    if isinstance(one, str):
        return one
    if isinstance(one, dict):
        for key in TEXT_KEYS:
            if isinstance(one.get(key), str):
                model = next((one[name] for name in MODEL_KEYS if isinstance(one.get(name), str)), "")
                return {"text": one[key], "model": model}
    raise InvalidRow(where, "It must be a text, or an object with a text.")


def _seconds(given: object) -> float:
    try:
        return float(words.text(given, fields.SECONDS))
    except ValueError:
        raise InvalidRow(fields.SECONDS, f"{str(given)[:60]!r} is not a number of seconds.") from None


def _moment(told: str) -> str:
    """A time with its offset; one that names none is taken as UTC, as most tools write it."""
    has_offset = told.endswith("Z") or "+" in told[10:] or "-" in told[10:]
    text = told if len(told) > 10 else f"{told}T00:00:00"
    return text if has_offset else f"{text}+00:00"
