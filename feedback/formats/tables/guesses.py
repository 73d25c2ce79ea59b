"""Guesses at a mapping: what each column seems to be, with the reason, by its name and by the values in its first rows.

A guess is a proposal that somebody looks at. What fits nothing is kept as metadata, so that no column is lost unasked.
"""

import re
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass, field

from feedback.formats.annotations import item_kinds
from feedback.formats.annotations.items import LETTERS, Row
from feedback.formats.tables import fields, words
from feedback.formats.tables.mapping import Mapping
from feedback.rules.collection.label_schemes import names_of_kind
from feedback.rules.json_types import is_list_of

# Names of columns by field, the most telling first.
NAMES: dict[str, tuple[str, ...]] = {
    fields.CONVERSATION: ("messages", "conversation", "conversations", "dialog", "dialogue", "chat", "turns"),
    fields.PROMPT: (
        "prompt", "instruction", "question", "query", "user message", "user prompt", "request", "text", "message",
        "utterance", "sentence", "tokens", "review", "comment", "content", "body", "post", "tweet", "document",
        "article", "ticket", "description", "input", "title", "headline", "subject", "source text",
    ),
    fields.SYSTEM: ("system", "system prompt", "system message"),
    fields.CHOSEN: (
        "chosen", "chosen response", "chosen answer", "preferred", "preferred response",
        "better response", "better", "winner response", "accepted",
    ),
    fields.REJECTED: (
        "rejected", "rejected response", "rejected answer",
        "other response", "dispreferred", "worse response", "worse", "loser response",
    ),
    fields.RESPONSES: (
        "responses", "completions", "answers", "outputs", "candidates", "generations", "summaries", "replies",
    ),
    fields.CHOICE: (
        "winner", "preference", "preferred response", "preferred", "better", "best", "choice", "vote", "verdict",
        "overall preference", "judgment", "which is better", "chosen", "selected", "label",
    ),
    fields.STRENGTH: ("strength", "margin", "preference strength", "how much", "confidence"),
    fields.ORDER: (item_kinds.ORDERED, "rank", "ranks", "order", "ranked"),
    fields.SPANS: ("spans", "entities", "ner tags", "tags", "annotations", "ner"),
    fields.LABEL: (
        "label", "labels", "class", "category", "sentiment", "intent", "topic", "tag", "target", "gold label",
        "emotion", "folder", "queue", "department", "type", "stars", "polarity",
    ),
    fields.RATING: ("rating", "score", "stars", "overall rating", "overall score", "quality", "grade", "mark"),
    fields.THUMB: (
        "thumb", "thumbs", "thumbs up", "feedback", "is good", "good", "liked", "helpful", "label", "accepted",
    ),
    fields.REASON: ("reason", "rationale", "justification", "explanation", "why", "comment"),
    fields.ANNOTATOR: (
        "annotator", "annotator id", "worker", "worker id", "rater", "rater id", "labeler", "labeller", "judge",
        "evaluator", "user id", "annotated by", "reviewer",
    ),
    fields.SECONDS: ("seconds", "duration", "lead time", "time taken", "work time in seconds", "time spent"),
    fields.SUBMITTED: ("submitted at", "created at", "timestamp", "submit time", "date", "annotated at", "tstamp"),
    fields.MODEL: ("model", "model name", "generator", "policy", "model id"),
    "external_id": ("id", "external id", "uuid", "row id", "item id", "question id", "key", "example id", "no", "nr"),
    "source": ("source", "dataset", "origin", "channel"),
    "group": ("group", "conversation id", "document id", "thread id", "customer id", "dialogue id", "session id"),
    "split": ("split",),
    "priority": ("priority",),
    "annotations_wanted": ("annotations wanted", "k"),
}  # fmt: skip
CONTEXTS = ("input", "context", "passage", "background", "document", "title", "subject", "article")
WRITTEN = (
    "response",
    "completion",
    "answer",
    "output",
    "reply",
    "assistant",
    "demonstration",
    "target text",
    "summary",
)
STEMS = "|".join((*words.STEMS[1:], "reply", "summary", "generation", "text", "choice"))
MEMBER = re.compile(rf"(?P<stem>{STEMS})?\s?(?P<mark>[a-i]|\d)(?:\s?(?P<tail>{STEMS}|name))?")
ENDING = re.compile(rf"(?P<name>.+?) (?:{STEMS}|reply|summary|generation)")
SIDES = {"left": 0, "right": 1, "first": 0, "second": 1}
MODEL_LENGTH = 40  # characters up to which a cell is a model's name rather than a response
MOST_WORDS = 12
YES_OR_NO = {"0", "1", "true", "false", "yes", "no", "x"}
NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"


@dataclass
class Guess:
    """A proposed mapping. `reasons` says for each column why it is what it is."""

    mapping: Mapping
    reasons: dict[str, str] = field(default_factory=dict)


def guess(columns: Sequence[str], rows: Sequence[Row], schemes: AnyMapping[str, AnyMapping[str, object]],
          dimensions: Sequence[str]) -> Guess:  # fmt: skip
    """
    Args:
        columns: names of the columns, in their order.
        rows: the first rows, as objects with these columns.
        schemes: the project's label schemes by name.
    """
    table = _Table(columns, rows)
    _texts(table)
    _judgments(table, dimensions)
    _people_and_more(table)
    mapping = Mapping()
    for column in columns:
        name, reason = table.found.get(column, ("", ""))
        if column == fields.REJECTED_BECAUSE:
            name, reason = fields.IGNORE, "It says why the row was rejected before."
        elif not name and not table.values[column]:
            name, reason = fields.IGNORE, "It is empty in the first rows."
        elif not name and re.fullmatch(r"(unnamed.*|index|column \d+)", table.names[column]):
            name, reason = fields.IGNORE, "Its name says nothing."
        elif not name:
            name, reason = fields.METADATA, "Not recognized, so it is kept beside the prompt."
        mapping.columns[column] = name
        table.reasons[column] = reason
    complete(mapping, rows, schemes)
    return Guess(mapping, table.reasons)


def scheme_for(mapping: Mapping, rows: Sequence[Row], schemes: AnyMapping[str, AnyMapping[str, object]]) -> str:
    """The label scheme that knows most of the file's labels; the first one of the kind where none knows any."""
    kind = mapping.resolved_kind()
    known: dict[str, int] = {}
    for name in names_of_kind(schemes, kind):
        facts = words.facts_of(schemes[name], ())
        seen = label_words(mapping, rows)
        known[name] = sum(words.normal(word) in facts.labels for word in seen)
    return max(known, key=lambda name: known[name]) if known else ""


def label_words(mapping: Mapping, rows: Sequence[Row]) -> list[str]:
    """Words that stand for labels in the first rows; of several columns, their names."""
    columns = [column for column, name in mapping.columns.items() if name == fields.LABEL]
    if len(columns) > 1:
        return columns
    return distinct(columns[0], rows) if columns else []


def distinct(column: str, rows: Sequence[Row]) -> list[str]:
    """Different words of a column, in the order in which they come."""
    found: dict[str, None] = {}
    for row in rows:
        value = row.get(column)
        if isinstance(value, str | int | float) and str(value).strip():
            found[words.text(value, column).strip()] = None
    return list(found)


def complete(mapping: Mapping, rows: Sequence[Row], schemes: AnyMapping[str, AnyMapping[str, object]]) -> None:
    """Add what a mapping leaves open: its scheme, and meanings of words that mean nothing by themselves, such as
    numbers for responses and stars for labels of sentiment."""
    if not mapping.scheme:
        mapping.scheme = scheme_for(mapping, rows, schemes)
    if fields.CHOICE not in mapping.values and (column := mapping.column_of(fields.CHOICE)):
        seen = {word.removesuffix(".0") for word in distinct(column, rows)}
        for told in ({"0": "a", "1": "b"}, {"1": "a", "2": "b"}, {"0": words.TIE, "1": "a", "2": "b"},
                     {"-1": "b", "0": words.TIE, "1": "a"}):  # fmt: skip
            if seen and seen <= told.keys():
                mapping.values[fields.CHOICE] = told
                break
    if fields.LABEL not in mapping.values and mapping.scheme in schemes:
        facts = words.facts_of(schemes[mapping.scheme], ())
        seen = set(label_words(mapping, rows))
        told = stars(seen, set(facts.labels.values()))
        if told:
            mapping.values[fields.LABEL] = told


def stars(seen: set[str], labels: set[str]) -> dict[str, str]:
    """Meanings of numbers for a scheme of sentiment."""
    if not {NEGATIVE, POSITIVE} <= labels or not seen or seen & labels:
        return {}
    if seen <= {"0", "1"}:
        return {"0": NEGATIVE, "1": POSITIVE}
    if seen <= {"-1", "0", "1"} and NEUTRAL in labels:
        return {"-1": NEGATIVE, "0": NEUTRAL, "1": POSITIVE}
    if seen <= set("12345"):
        middle = NEUTRAL if NEUTRAL in labels else ""
        return {"1": NEGATIVE, "2": NEGATIVE, "3": middle, "4": POSITIVE, "5": POSITIVE}
    return {}


class _Table:
    """What a guess knows of a table, and what it has found so far."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.columns = list(columns)
        self.names = {column: words.normal(_split_case(column)).replace(".", " ") for column in columns}
        self.values: dict[str, list[object]] = {}
        for column in columns:
            self.values[column] = [row[column] for row in rows if row.get(column) not in (None, "", [])]
        self.found: dict[str, tuple[str, str]] = {}
        self.reasons: dict[str, str] = {}

    def free(self) -> list[str]:
        return [one for one in self.columns if one not in self.found and one != fields.REJECTED_BECAUSE]

    def take(self, column: str, name: str, reason: str) -> None:
        self.found[column] = (name, reason)

    def has(self, name: str) -> bool:
        return any(found == name for found, _ in self.found.values())

    def by_name(self, name: str) -> str | None:
        """The free column whose name tells most that it is this field."""
        for known in NAMES[name]:
            for column in self.free():
                own = self.names[column]
                if own == known or (own.split(" ", 1)[-1] == known and " " in own and name != "external_id"):
                    return column
        return None

    def take_by_name(self, name: str) -> str | None:
        column = self.by_name(name)
        if column is not None:
            self.take(column, name, "Its name says so.")
        return column

    def lengths(self, column: str) -> float:
        values = [len(value) if isinstance(value, str) else 0 for value in self.values[column]]
        return sum(values) / len(values) if values else 0

    def words_of(self, column: str) -> set[str]:
        return {words.normal(str(value)).removesuffix(".0") for value in self.values[column]}

    def lists(self, column: str, kind: type) -> bool:
        values = [words.parsed(one) if isinstance(one, str) else one for one in self.values[column]]
        return bool(values) and all(is_list_of(one, kind) for one in values)


def _split_case(column: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)


def _texts(table: _Table) -> None:
    """Prompt, responses, and what belongs to them."""
    chosen, rejected = table.by_name(fields.CHOSEN), table.by_name(fields.REJECTED)
    if chosen and rejected:
        table.take(chosen, fields.CHOSEN, "Its name says so.")
        table.take(rejected, fields.REJECTED, "Its name says so.")
    _responses(table)
    for name in (fields.SYSTEM, fields.RESPONSES):
        column = table.by_name(name)
        if column and (name != fields.RESPONSES or table.lists(column, object)):
            table.take(column, name, "Its name says so.")
    column = table.by_name(fields.CONVERSATION)
    if column and table.lists(column, dict):
        table.take(column, fields.CONVERSATION, "Its cells are lists of messages.")
    else:
        _prompt(table)
    if table.has(fields.PROMPT):
        for column in table.free():
            if table.names[column] in CONTEXTS and table.values[column]:
                table.take(column, fields.CONTEXT, "Its name says that it belongs to the prompt.")


def _prompt(table: _Table) -> None:
    column = table.take_by_name(fields.PROMPT)
    if column is None:
        free = [one for one in table.free() if table.lengths(one) > 0]
        longest = max(free, key=table.lengths, default=None)
        if longest is not None:
            table.take(longest, fields.PROMPT, "It holds the longest texts.")


def _responses(table: _Table) -> None:
    """Columns that are alike but for a letter, a number, a side, or the model that they name."""
    families: dict[str, list[tuple[int, str]]] = {}
    for column in table.free():
        name = table.names[column]
        found = MEMBER.fullmatch(name)
        if found and (found["stem"] or found["tail"]):
            mark = found["mark"]
            place = LETTERS.index(mark) if mark in LETTERS else int(mark)
            families.setdefault(found["stem"] or found["tail"], []).append((place, column))
            continue
        for side, place in SIDES.items():
            if side in name.split() and len(name.split()) <= 2:
                families.setdefault(name.replace(side, "").strip(), []).append((place, column))
    for members in families.values():
        if 2 <= len(members) <= len(LETTERS):
            members.sort()
            texts = [column for _, column in members]
            short = all(table.lengths(column) <= MODEL_LENGTH for column in texts) and all(map(table.lengths, texts))
            told = "model" if short and "model" in table.names[texts[0]] else "response"
            if table.has(f"{told}_a"):
                continue
            for letter, column in zip(LETTERS, texts, strict=False):
                table.take(column, f"{told}_{letter}", f"It belongs together with {_listed(texts, column)}.")
    if not table.has("response_a") and not table.has(fields.CHOSEN):
        _responses_by_model(table)


def _responses_by_model(table: _Table) -> None:
    """Columns such as gpt_output and llama_output."""
    endings: dict[str, list[str]] = {}
    for column in table.free():
        if found := ENDING.fullmatch(table.names[column]):
            endings.setdefault(table.names[column].removeprefix(found["name"]), []).append(column)
    for texts in endings.values():
        if 2 <= len(texts) <= len(LETTERS) and all(table.lengths(column) > 1 for column in texts):
            for letter, column in zip(LETTERS, texts, strict=False):
                table.take(column, f"response_{letter}", f"It belongs together with {_listed(texts, column)}.")
            return


def _judgments(table: _Table, dimensions: Sequence[str]) -> None:
    """What somebody said of the texts."""
    for column in table.free():
        for dimension in dimensions:
            if words.normal(dimension) in table.names[column].split() and _is_rating(table, column):
                table.take(column, fields.RATED + dimension, "It has the name of a dimension of this project.")
    two = table.has("response_b") or table.has(fields.RESPONSES)
    if two:
        _choice(table)
        if not table.has(fields.CHOICE):
            table.take_by_name(fields.ORDER)
        table.take_by_name(fields.STRENGTH)
        return
    if table.has(fields.CHOSEN):
        table.take_by_name(fields.STRENGTH)
        return
    written = _written(table)
    spans = table.by_name(fields.SPANS)
    if spans and (table.lists(spans, dict) or table.lists(spans, list) or table.lists(spans, str)):
        table.take(spans, fields.SPANS, "Its cells are lists of spans.")
        return
    if written is not None:
        _judged_response(table, written)
        return
    marked = _yes_no_columns(table)
    label = table.by_name(fields.LABEL)
    if label is not None and table.lengths(label) <= MODEL_LENGTH:
        table.take(label, fields.LABEL, f"Its name says so, and it has {len(table.words_of(label))} different values.")
    elif len(marked) > 1:
        for column in marked:
            table.take(column, fields.LABEL, "Its cells say yes or no: each such column is a label.")


def _choice(table: _Table) -> None:
    """Which response is better: by a column's name, or by words that name responses."""
    outcomes = [column for column in table.free() if table.names[column].startswith(("winner ", "preferred "))]
    if len(outcomes) > 1 and all(table.words_of(column) <= {*words.YES, *words.NO} for column in outcomes):
        for outcome in outcomes:
            table.take(outcome, fields.CHOICE, "Its name is an outcome, and its cells say yes or no.")
        return
    column = table.by_name(fields.CHOICE)
    if column is None:
        for free in table.free():
            seen = table.words_of(free)
            if seen and seen <= words.CHOICES.keys():
                column = free
                break
    if column is not None:
        named = sorted(table.words_of(column))[:MOST_WORDS]
        table.take(column, fields.CHOICE, f"Its values name a response: {', '.join(named[:4]) or 'none so far'}.")


def _written(table: _Table) -> str | None:
    for known in WRITTEN:
        for column in table.free():
            named = table.names[column] == known or table.names[column].endswith(f" {known}")
            if named and table.lengths(column) > 1:
                return column
    return None


def _judged_response(table: _Table, written: str) -> None:
    """One response: rated, with a thumb, or what a person wrote."""
    rating = table.by_name(fields.RATING)
    thumb = table.by_name(fields.THUMB)
    rated = any(name.startswith(fields.RATED) for name, _ in table.found.values())
    if rating is not None and _is_rating(table, rating) and not rated:
        table.take(rating, fields.RATING, "Its values are numbers from 1 to 5.")
        rated = True
    elif thumb is not None and table.words_of(thumb) <= {*words.YES, *words.NO} and not rated:
        table.take(thumb, fields.THUMB, "Its values say yes or no.")
        rated = True
    if rated or table.by_name(fields.MODEL):
        table.take(written, "response_a", "It is the only response of the row.")
    else:
        table.take(written, fields.DEMONSTRATION, "It is the only response, and no model is named.")


def _is_rating(table: _Table, column: str) -> bool:
    seen = table.words_of(column)
    return bool(seen) and seen <= set("12345")


def _yes_no_columns(table: _Table) -> list[str]:
    found = []
    for column in table.free():
        seen = table.words_of(column)
        if (
            seen
            and seen <= {"0", "1", "true", "false", "yes", "no", "x"}
            and table.names[column] not in NAMES["external_id"]
        ):
            found.append(column)
    return found


def _people_and_more(table: _Table) -> None:
    for name in (fields.ANNOTATOR, fields.SECONDS, fields.SUBMITTED, fields.MODEL, "source", "group", "split"):
        if name == fields.MODEL and not (table.has("response_a") or table.has(fields.RESPONSES)):
            continue
        if name == fields.SUBMITTED and not any(map(table.has, fields.ANSWERS)):
            continue
        column = table.by_name(name)
        if column is not None and (name != "split" or table.words_of(column) <= {"train", "validation", "test"}):
            table.take(column, name, "Its name says so.")
    if any(map(table.has, (fields.CHOICE, fields.RATING, fields.CHOSEN, fields.LABEL, fields.ORDER))):
        table.take_by_name(fields.REASON)
    for name in ("priority", "annotations_wanted"):
        column = table.by_name(name)
        if column is not None and all(map(str.isdigit, table.words_of(column))):
            table.take(column, name, "Its name says so.")
    column = table.by_name("external_id")
    if column is None:
        column = next((one for one in table.free() if table.names[one].endswith(" id")), None)
    if column is not None and len(table.words_of(column)) == len(table.values[column]) > 0:
        table.take(column, "external_id", "Its name says so, and every value is different.")


def _listed(columns: Sequence[str], but: str) -> str:
    return " and ".join(column for column in columns if column != but)


def kind_words(mapping: Mapping) -> str:
    """The kind that the rows become, for a heading."""
    return item_kinds.label_of(mapping.resolved_kind())
