"""Every format that data comes in or goes out by, with what it cannot carry."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from feedback.formats.annotations import (
    argilla,
    hh_items,
    label_studio,
    openai_chat,
    openassistant,
    research,
    touchstone_csv,
    touchstone_jsonl,
    trl_items,
)
from feedback.formats.annotations.items import Item, LeftOut, Reader, Row, Writer, parts

JSON, CSV = "json", "csv"
TABLE, TABLE_LABEL = "table", "Table with a mapping"  # of any columns: `tables` reads it, and nothing is written as one
NOT_WRITTEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
log = logging.getLogger(__name__)
Writes = Callable[[Iterable[Item | LeftOut]], Iterator[Row | LeftOut]]


@dataclass(frozen=True)
class Format:
    """A format by name.

    Attributes:
        label: for people.
        container: `json` (lines, or one array) or `csv`.
        read: items of one row; None when it is only written.
        write: rows of items in their order; None when it is only read.
        cannot: what it has no place for, in sentences that go with every export.
    """

    name: str
    label: str
    container: str = JSON
    read: Reader | None = None
    write: Writes | None = None
    cannot: tuple[str, ...] = ()


def _parts(items: Iterable[Item | LeftOut]) -> Iterator[Item | LeftOut]:
    for item in items:
        if isinstance(item, LeftOut):
            yield item
        else:
            yield from parts(item)


def _each(write: Writer, whole: bool = False) -> Writes:
    """
    Args:
        whole: it takes items with several tasks, thumbs and verdicts as they are.
    """

    def writes(items: Iterable[Item | LeftOut]) -> Iterator[Row | LeftOut]:
        for item in items if whole else _parts(items):
            if isinstance(item, LeftOut):
                yield item
                continue
            try:
                rows = list(write(item))
            except NOT_WRITTEN:  # one item must not end the export of all the others
                log.exception("an item was not written", extra={"kind": item.kind, "external_id": item.external_id})
                rows = [LeftOut(f"a {item.kind} that could not be written; the worker's log says why")]
            yield from rows

    return writes


def _trees(items: Iterable[Item | LeftOut]) -> Iterator[Row | LeftOut]:
    left: list[LeftOut] = []

    def kept() -> Iterator[Item]:
        for one in _parts(items):
            if isinstance(one, Item):
                yield one
            else:
                left.append(one)

    for row in openassistant.write(kept()):
        yield row
        yield from left
        left.clear()
    yield from left


NO_PEOPLE = "Who annotated, when and how it was shown is not included."
NO_STRENGTH = "Strength, dimensions and reasons are not included."
NO_TIES = "Ties and both bad are not included."
NO_IDS = (
    "External ids, gold answers and explanations, priorities and the number of annotations wanted are not included."
)
_PAIRS = (NO_STRENGTH, NO_TIES, NO_PEOPLE, NO_IDS)

ALL = [
    Format(
        "touchstone",
        "Touchstone JSON Lines",
        read=touchstone_jsonl.read,
        write=_each(touchstone_jsonl.write, whole=True),
    ),
    Format(
        "touchstone-csv", "Touchstone CSV", CSV, touchstone_csv.read, _each(touchstone_csv.write),
        ("Every annotation of a task becomes a row; on import, each row becomes a separate task.",),
    ),
    Format(
        "trl", "TRL: preference, explicit prompt (reads every type)", read=trl_items.read,
        write=_each(trl_items.preferences), cannot=_PAIRS,
    ),
    Format("trl-implicit", "TRL: preference, implicit prompt", JSON, trl_items.read, _each(trl_items.implicit), _PAIRS),
    Format(
        "trl-prompt-completion", "TRL: prompt-completion", JSON, trl_items.read, _each(trl_items.completions),
        ("Only demonstrations are included.", NO_PEOPLE),
    ),
    Format("trl-prompt-only", "TRL: prompt-only", JSON, trl_items.read, _each(trl_items.prompts, whole=True),
           ("Only prompts are included.",)),
    Format(
        "trl-unpaired", "TRL: unpaired preference", JSON, trl_items.read, _each(trl_items.unpaired),
        ("Only thumbs and both-bad answers are included.", NO_PEOPLE),
    ),
    Format("hh", "HH transcripts", JSON, hh_items.read, _each(hh_items.write), _PAIRS),
    Format(
        "label-studio", "Label Studio", JSON, label_studio.read, _each(label_studio.write),
        (NO_STRENGTH, NO_TIES, "Conversations of several turns are not included.", NO_IDS),
    ),
    Format(
        "argilla", "Argilla v2 records", JSON, argilla.read, _each(argilla.write),
        (NO_STRENGTH, "Ties of comparisons are not included; ties of rankings are.", NO_IDS),
    ),
    Format(
        "openassistant", "Open-Assistant trees and rankings", JSON, openassistant.read, _trees,
        ("Only imported trees and rankings are included, with their consensus.",),
    ),
    Format(
        "openai", "OpenAI chat JSON Lines", JSON, openai_chat.read, _each(openai_chat.write),
        (*_PAIRS, "Rankings, ratings, labels and spans are not included."),
    ),
    Format("pandalm", "PandaLM", JSON, research.read_pandalm, _each(research.write_pandalm), (NO_STRENGTH, NO_IDS)),
    Format("llmbar", "LLMBar (gold tasks)", JSON, research.read_llmbar, _each(research.write_llmbar),
           ("Answers are not carried, only what is right.",)),
    Format("taskmaster", "Taskmaster rewards", JSON, research.read_taskmaster, _each(research.write_taskmaster),
           (NO_PEOPLE,)),
    Format("self-instruct", "Self-Instruct", JSON, research.read_self_instruct, _each(research.write_self_instruct),
           ("Annotations of rankings are not included.", NO_PEOPLE)),
]  # fmt: skip
FORMATS = {one.name: one for one in ALL}
