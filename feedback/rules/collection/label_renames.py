"""Labels and dimensions under their present names, whatever they were called when something was stated or stored.

A rename is stored as an alias, old name -> present name. Nothing that is stored is rewritten: payloads, gold answers,
drafts and suggestions are read through the aliases, and so all of them speak of the same label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from feedback.rules.collection.kinds.question import LabelScheme, Payload
from feedback.rules.collection.kinds.rating import OVERALL
from feedback.rules.json_types import JsonObject
from feedback.rules.quality.gold import is_right

Aliases = Mapping[str, str]


@dataclass(frozen=True)
class Names:
    """The names of a project.

    Attributes:
        labels: by scheme, earlier label names -> present ones.
        dimensions: earlier names -> present ones.
        schemes: the project's label schemes, by name.
        wanted_dimensions: its dimensions.
    """

    labels: Mapping[str, Aliases] = field(default_factory=dict)
    dimensions: Aliases = field(default_factory=dict)
    schemes: Mapping[str, LabelScheme] = field(default_factory=dict)
    wanted_dimensions: Sequence[str] = ()

    def read(self, payload: JsonObject, scheme: str = "") -> JsonObject:
        """A payload, gold answer, draft or suggestion with present names. `scheme`: where it does not say so itself."""
        labels = self.labels.get(str(payload.get("scheme") or scheme), {})
        if not labels and not self.dimensions:
            return payload
        read = dict(payload)
        given, spans = payload.get("labels"), payload.get("spans")
        if labels and isinstance(given, list):
            read["labels"] = [_present(labels, label) for label in given]
        if labels and isinstance(spans, list):
            read["spans"] = [_span(labels, span) for span in spans]
        for name in ("ratings", "dimensions"):
            marks = payload.get(name)
            if self.dimensions and isinstance(marks, dict):
                read[name] = {_present(self.dimensions, key): mark for key, mark in marks.items()}
        return read

    def fits(self, gold: Payload) -> bool:
        """Whether the project still has every label and dimension that a gold answer names."""
        gold = self.read(dict(gold))
        used = {*gold.get("labels", ()), *map(itemgetter("label"), gold.get("spans", ()))}
        labels = self.schemes.get(gold.get("scheme", ""), LabelScheme()).get("labels", ())
        rated = set(gold.get("ratings", ()))
        return used <= set(map(itemgetter("name"), labels)) and rated <= set(self.wanted_dimensions or [OVERALL])

    def right(self, payload: JsonObject, gold: JsonObject) -> bool | None:
        """Whether an answer to a gold task is right; None where the gold answer no longer fits the project."""
        if not self.fits(gold):
            return None
        return is_right(self.read(payload), self.read(gold))


def renamed(aliases: Aliases, old: str, new: str) -> dict[str, str]:
    """The aliases once `old` is called `new`. Going back to an earlier name takes that alias out."""
    moved = dict(aliases)
    for earlier, present in aliases.items():
        if present == old:
            moved[earlier] = new
    moved[old] = new
    moved.pop(new, None)
    return moved


def _present(aliases: Aliases, name: object) -> object:
    if isinstance(name, str):
        return aliases.get(name, name)
    return name


def _span(labels: Aliases, span: object) -> object:
    if isinstance(span, dict) and "label" in span:
        return span | {"label": _present(labels, span["label"])}
    return span
