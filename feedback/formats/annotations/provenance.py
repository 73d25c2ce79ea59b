"""What a reader keeps of a row beside the fields that have a place of their own, so that its writer can give it back.

It stands under the format's key in `Item.provenance`, which only readers fill: metadata belongs to users, who may
write the same words there. A file of our own carries it too, so its shape is checked as it comes in; and a writer
that finds another shape goes on as if nothing had been kept. Nothing kept ever stands above what a row says itself.
"""

from dataclasses import dataclass

from feedback.formats.annotations.items import InvalidRow, Item, Row
from feedback.rules.json_types import is_list_of

ARGILLA, LABEL_STUDIO, OPENAI, OPENASSISTANT, TRL = "argilla", "label_studio", "openai", "openassistant", "trl"
PANDALM, LLMBAR, TASKMASTER, SELF_INSTRUCT = "pandalm", "llmbar", "taskmaster", "self_instruct"


class Texts(list[str]):
    """As a type in a shape: a list of texts. Likewise `Rows` and `Numbers`."""


class Rows(list[Row]):
    """A list of objects."""


class Numbers(list[int]):
    """A list of whole numbers."""


MEMBERS: dict[type, type] = {Texts: str, Rows: dict, Numbers: int}


@dataclass(frozen=True)
class Shape:
    """Fields and their types. `per_response` names lists that have one entry for each response."""

    needed: dict[str, type]
    optional: dict[str, type]
    per_response: tuple[str, ...] = ()

    def fits(self, kept: Row, responses: int) -> bool:
        if self.needed.keys() - kept.keys():
            return False
        for name, kind in (self.needed | self.optional).items():
            if name in kept and not _is(kept[name], kind):
                return False
        lists = [kept[name] for name in self.per_response if name in kept]
        return set(map(len, lists)) <= {responses}


SHAPES: dict[str, tuple[Shape, ...]] = {
    TRL: (Shape({}, {}),),
    LLMBAR: (Shape({}, {}),),
    OPENAI: (Shape({}, {"input": dict, "_turns": Rows, "_last": dict}),),
    LABEL_STUDIO: (
        Shape(
            {"prompt": str, "whole": bool, "names": Texts},
            {"items": Rows, "data": dict, "task": dict, "annotations": Rows, "list": str},
            ("names", "items"),
        ),
    ),
    ARGILLA: (
        Shape(
            {"prompt": str, "names": Texts, "text": bool},
            {"question": str, "said": Rows, "row": dict, "context": dict, "aside": dict, "left_out": Rows},
            ("names",),
        ),
    ),
    OPENASSISTANT: (
        Shape({"message": dict, "replies": Rows, "leaf": list, "id": str}, {"tree": dict}, ("replies",)),
        Shape({"ranking": dict, "ranks": Numbers}, {}, ("ranks",)),
    ),
    PANDALM: (Shape({"input": str, "row": dict, "raw": dict}, {}),),
    TASKMASTER: (Shape({"row": dict, "plain": bool}, {}),),
    SELF_INSTRUCT: (Shape({"input": str, "row": dict}, {}),),
}


def kept(item: Item, key: str) -> Row:
    """What the format's reader kept of this item; empty where it kept nothing, or nothing of a shape it knows."""
    found: Row = item.provenance.get(key, {})
    return found if _fits(key, found, len(item.responses)) else {}


def checked(given: object, responses: int) -> Row:
    """The provenance in a row of our own formats.

    Raises:
        InvalidRow: an unknown format, or a shape that its reader does not make.
    """
    if not isinstance(given, dict):
        raise InvalidRow("provenance", "It must be an object of a format's name to what its reader kept.")
    for key, found in given.items():
        if key not in SHAPES:
            raise InvalidRow(
                f"provenance.{key[:60]}",
                f"Unknown format; known formats are {', '.join(SHAPES)}. Put your own notes under metadata.",
            )
        if not _fits(key, found, responses):
            raise InvalidRow(
                f"provenance.{key}", "This is not what an import of that format keeps. Leave it out, or use metadata."
            )
    return given


def _fits(key: str, found: object, responses: int) -> bool:
    return isinstance(found, dict) and any(shape.fits(found, responses) for shape in SHAPES[key])


def _is(value: object, kind: type) -> bool:
    member = MEMBERS.get(kind)
    if member is None:
        return isinstance(value, kind)
    return is_list_of(value, member)
