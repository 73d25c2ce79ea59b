"""A mapping: what each column of a table is, which task kind its rows become, and what its words mean."""

from collections import Counter
from dataclasses import asdict, dataclass, field

from feedback.formats.annotations import item_kinds
from feedback.formats.annotations.items import PROMPT as PROMPT_KIND
from feedback.formats.annotations.items import THUMB as THUMB_KIND
from feedback.formats.tables import fields
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.json_types import JsonObject
from feedback.rules.platform.known_names import unknown_name

MOST_COLUMNS = 300
# The kind that a field makes of its row, the first that is there.
KIND_BY_FIELD = (
    (fields.SPANS, item_kinds.MARKED),
    (fields.LABEL, item_kinds.LABELED),
    (fields.CHOSEN, item_kinds.COMPARISON),
    (fields.CHOICE, item_kinds.COMPARISON),
    (fields.ORDER, item_kinds.ORDERED),
    (fields.RATING, item_kinds.RATED),
    (fields.DEMONSTRATION, item_kinds.DEMONSTRATION),
    (fields.THUMB, THUMB_KIND),
)
ANSWERS_OF: dict[str, tuple[str, ...]] = {
    item_kinds.COMPARISON: (fields.CHOICE, fields.CHOSEN, fields.REJECTED, fields.STRENGTH),
    item_kinds.ORDERED: (fields.ORDER,),
    item_kinds.RATED: (fields.RATING,),
    item_kinds.DEMONSTRATION: (fields.DEMONSTRATION,),
    item_kinds.LABELED: (fields.LABEL,),
    item_kinds.MARKED: (fields.SPANS,),
    THUMB_KIND: (fields.THUMB,),
}
JUDGING = (*fields.ANSWERS, fields.CHOSEN, fields.REJECTED, fields.STRENGTH)


class InvalidMapping(ValueError):
    """What is wrong with a mapping: which part, and a sentence."""

    def __init__(self, part: str, sentence: str) -> None:
        self.part, self.sentence = part, sentence
        super().__init__(f"{part}: {sentence}")


@dataclass
class Mapping:
    """
    Attributes:
        columns: the field of each column; a column that is not named is ignored.
        kind: what a row becomes; empty: what its fields suggest.
        scheme: the label scheme that labels and spans belong to.
        values: by field, what a word of the file means: {"choice": {"model_a": "a"}, "label": {"pos": "positive"}}.
        gold: whether the answers in the file are the right ones of gold tasks instead of annotations.
    """

    columns: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    scheme: str = ""
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    gold: bool = False

    def column_of(self, name: str) -> str | None:
        """The first column that has this field."""
        return next((column for column, given in self.columns.items() if given == name), None)

    def has(self, name: str) -> bool:
        return name in self.columns.values()

    def resolved_kind(self) -> str:
        """The kind of its rows: the one it names, or the one that its fields suggest."""
        if self.kind:
            return self.kind
        used = set(map(_base, self.columns.values()))
        for name, kind in KIND_BY_FIELD:
            if name in used:
                return kind
        responses = len(used & fields.RESPONSE_OF.keys())
        return item_kinds.kind_for(responses)

    def as_json(self) -> JsonObject:
        return asdict(self)


def parsed(given: object) -> Mapping:
    """A mapping from JSON, checked as far as it can be without a project.

    Raises:
        InvalidMapping: the first thing that is wrong.
    """
    if not isinstance(given, dict):
        raise InvalidMapping("mapping", 'It must be an object: {"columns": {"question": "prompt", …}}.')
    known = ("columns", "kind", "scheme", "values", "gold")
    for name in given:
        if name not in known:
            raise InvalidMapping(f"mapping.{name[:60]}", unknown_name(str(name), known))
    columns = _texts(given.get("columns", {}), "columns")
    values: dict[str, dict[str, str]] = {}
    told = given.get("values", {})
    if not isinstance(told, dict):
        raise InvalidMapping("mapping.values", "It must be an object of words by field.")
    for name, words in told.items():
        if name not in fields.WITH_VALUES:
            raise InvalidMapping(f"mapping.values.{name[:60]}", unknown_name(name, fields.WITH_VALUES))
        values[name] = _texts(words, f"values.{name}")
    kind, scheme, gold = given.get("kind", ""), given.get("scheme", ""), given.get("gold", False)
    if not isinstance(kind, str) or not isinstance(scheme, str) or not isinstance(gold, bool):
        raise InvalidMapping("mapping", "kind and scheme must be text; gold must be true or false.")
    mapping = Mapping(columns, kind, scheme, values, gold)
    check(mapping)
    return mapping


def check(mapping: Mapping) -> None:
    """
    Raises:
        InvalidMapping: a field that does not exist or occurs twice, no prompt, or an answer of another kind.
    """
    if len(mapping.columns) > MOST_COLUMNS:
        raise InvalidMapping("mapping.columns", f"At most {MOST_COLUMNS} columns can be mapped.")
    for column, name in mapping.columns.items():
        if sentence := fields.check_field(name):
            raise InvalidMapping(f"mapping.columns.{column[:60]}", sentence)
    for name, count in Counter(mapping.columns.values()).items():
        if count > 1 and name not in fields.SEVERAL:
            raise InvalidMapping(
                "mapping.columns",
                f"{fields.label_of(name)} is chosen for {count} columns. Choose it for one; ignore the others.",
            )
    if not mapping.has(fields.PROMPT) and not mapping.has(fields.CONVERSATION):
        raise InvalidMapping("mapping.columns", "Choose the column that is the prompt or the text.")
    kind = mapping.resolved_kind()
    if kind not in (*KINDS, PROMPT_KIND, THUMB_KIND):
        raise InvalidMapping("mapping.kind", unknown_name(kind, (*KINDS, PROMPT_KIND, THUMB_KIND), "kind"))
    if mapping.has(fields.CHOSEN) != mapping.has(fields.REJECTED):
        raise InvalidMapping("mapping.columns", "Preferred response and other response must be chosen together.")
    allowed = ANSWERS_OF.get(kind, ())
    for column, name in mapping.columns.items():
        if _base(name) in JUDGING and _base(name) not in allowed:
            told = KINDS[kind].label if kind in KINDS else kind.capitalize()
            raise InvalidMapping(
                f"mapping.columns.{column[:60]}",
                f"{fields.label_of(name)} is no answer of the kind {told}. Choose another kind, or ignore the column.",
            )


def _base(name: str) -> str:
    return fields.RATING if name.startswith(fields.RATED) else name


def _texts(given: object, name: str) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise InvalidMapping(f"mapping.{name}", "It must be an object of texts.")
    return dict(given)
