"""Open a frozen snapshot, verify it against its manifest, and yield its rows as typed values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from trainer.errors import SnapshotCorrupt
from trainer.json_types import JsonObject
from trainer.run.checkpoints import MANIFEST, file_sha256

SPLITS = ("train", "selection", "test")
ROLES = ("system", "user", "assistant")
WEIGHTS = "weights.jsonl"  # beside the splits where some row weighs otherwise than 1, or is somebody's own
MOST_ERROR = 98  # hundredths
REMEDY = "Freeze the snapshot again; a frozen file is never edited."

Messages = tuple[dict[str, str], ...]


def turns_of(prompt: Messages) -> tuple[tuple[str, str], ...]:
    """A prompt as (role, content) of each message: a key to count and compare prompts by."""
    return tuple((message["role"], message["content"]) for message in prompt)


def each_once(prompts: Iterable[Messages]) -> list[Messages]:
    """Prompts without repetitions, by first appearance."""
    return list({turns_of(prompt): prompt for prompt in prompts}.values())


def occurrences(rows: Iterable[AnyRow]) -> int:
    """How many rows these are, each as often as it occurs."""
    return sum(row.count for row in rows)


@dataclass(frozen=True)
class Preference:
    """Chosen was preferred to rejected; strength 0 (negligibly) to 3 (significantly better).

    `weight` is what it counts in the loss each time it occurs; 1 is a comparison's. `error` is the probability, 0 to
    .98, that it is the wrong way round beyond ordinary disagreement. `annotator` is the index in this snapshot, from 0,
    of the one person who stated it; None where that is unknown.
    """

    prompt: Messages
    chosen: str
    rejected: str
    strength: int
    hash: str = ""
    count: int = 1
    weight: float = 1.0
    error: float = 0.0
    annotator: int | None = None


@dataclass(frozen=True)
class Demonstration:
    """A response a person wrote, or accepted, to be imitated."""

    prompt: Messages
    completion: str
    hash: str = ""
    count: int = 1


@dataclass(frozen=True)
class Prompt:
    """Something to answer, with no answer."""

    prompt: Messages
    hash: str = ""
    count: int = 1


@dataclass(frozen=True)
class Unpaired:
    """One response and whether it was good. `weight`, `error` and `annotator`: see `Preference`."""

    prompt: Messages
    completion: str
    label: bool
    hash: str = ""
    count: int = 1
    weight: float = 1.0
    error: float = 0.0
    annotator: int | None = None


@dataclass(frozen=True)
class Document:
    """A text of the corpus."""

    text: str
    source: str
    document_kind: str
    licence: str
    hash: str = ""
    count: int = 1


@dataclass(frozen=True)
class Classification:
    """A text and its classes under one label scheme; exactly one unless the scheme allows `many`."""

    text: str
    labels: tuple[str, ...]
    scheme: str
    classes: tuple[str, ...]
    many: bool
    hash: str = ""
    count: int = 1


@dataclass(frozen=True)
class Span:
    """Characters start to end (exclusive) of a text, counted in Unicode code points, and their label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Spans:
    """A text and its marked spans under one label scheme, by start."""

    text: str
    spans: tuple[Span, ...]
    scheme: str
    classes: tuple[str, ...]
    hash: str = ""
    count: int = 1


AnyRow = Preference | Demonstration | Prompt | Unpaired | Document | Classification | Spans
KINDS: dict[str, type[AnyRow]] = {
    "preference": Preference,
    "demonstration": Demonstration,
    "prompt": Prompt,
    "unpaired": Unpaired,
    "document": Document,
    "classification": Classification,
    "spans": Spans,
}
FIELDS: dict[str, dict[str, type]] = {
    "preference": {"prompt": list, "chosen": str, "rejected": str, "strength": int},
    "demonstration": {"prompt": list, "completion": str},
    "prompt": {"prompt": list},
    "unpaired": {"prompt": list, "completion": str, "label": bool},
    "document": {"text": str, "source": str, "document_kind": str, "licence": str},
    "classification": {"text": str, "labels": list, "scheme": str, "classes": list, "many": bool},
    "spans": {"text": str, "spans": list, "scheme": str, "classes": list},
}
PromptRow = TypeVar("PromptRow", Preference, Demonstration, Prompt, Unpaired)
TextRow = TypeVar("TextRow", Document, Classification, Spans)
Row = TypeVar("Row", Preference, Demonstration, Prompt, Unpaired, Document, Classification, Spans)


@dataclass(frozen=True)
class RowWeight:
    """A line of the sidecar: how a row counts in the loss. See `Preference`."""

    weight: float = 1.0
    error: float = 0.0
    annotator: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """A verified snapshot: its folder and manifest. Rows are read when requested."""

    path: Path
    manifest: JsonObject
    weights: dict[str, RowWeight] = field(default_factory=dict)  # by row hash

    @property
    def hash(self) -> str:
        """The snapshot's content hash, as its manifest states it."""
        return str(self.manifest.get("hash", ""))

    def rows(self, split: str, row_type: type[Row]) -> Iterator[Row]:
        """Rows of one split and kind, in file order (by row hash). `count` says how often each occurs.

        Raises:
            SnapshotCorrupt: a line is not JSON, or a row lacks a field or has one of the wrong type.
        """
        file = self.path / f"{split}.jsonl"
        if not file.is_file():
            return
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                row = parse_row(line, f"{file.name} line {number}")
                if isinstance(row, row_type):
                    line_of_row = self.weights.get(row.hash)
                    if line_of_row is not None and isinstance(row, Preference | Unpaired):
                        row = replace(row, **vars(line_of_row))
                    yield row

    def prompts(self, split: str, row_type: type[PromptRow]) -> Iterator[Messages]:
        """Prompts of the rows of one split and kind, in file order, one for each row."""
        for row in self.rows(split, row_type):
            yield row.prompt

    def distinct_texts(self, split: str) -> list[str]:
        """Texts of one split to learn language from, one for each row."""
        return [text for text, _ in self.texts(split)]

    def texts(self, split: str) -> Iterator[tuple[str, int]]:
        """Texts of one split to learn language from, with how often each occurs: documents, and what labels are on."""
        yield from self._texts_of(split, Document)
        yield from self._texts_of(split, Classification)
        yield from self._texts_of(split, Spans)

    def _texts_of(self, split: str, kind: type[TextRow]) -> Iterator[tuple[str, int]]:
        for row in self.rows(split, kind):
            yield row.text, row.count


def open_snapshot(path: Path, manifest_sha256: str | None = None) -> Snapshot:
    """Verify a snapshot folder, every file in its manifest, and return it.

    Args:
        path: the folder.
        manifest_sha256: what manifest.json must hash to; None when the caller has no hash.

    Raises:
        SnapshotCorrupt: names the file that is missing, or differs in bytes, rows or hash.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise SnapshotCorrupt(f"{manifest_path} is missing.", remedy="Check the path of the snapshot in run.json.")
    if manifest_sha256 is not None and file_sha256(manifest_path) != manifest_sha256:
        raise SnapshotCorrupt(f"{manifest_path} does not hash to {manifest_sha256[:12]}….", remedy=REMEDY)
    try:
        manifest: JsonObject = json.loads(manifest_path.read_text(encoding="utf-8"))
        files = dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotCorrupt(f"{manifest_path} cannot be read: {error}.", remedy=REMEDY) from error
    if manifest.get("schema") != 1:
        raise SnapshotCorrupt(f"{manifest_path} has schema {manifest.get('schema')!r}; this trainer reads schema 1.")
    for name, entry in files.items():
        check_file(path, name, entry)
    for split in SPLITS:
        if (path / f"{split}.jsonl").exists() and f"{split}.jsonl" not in files:
            raise SnapshotCorrupt(f"{split}.jsonl lies in {path} but not in its manifest.", remedy=REMEDY)
    weights = {}
    if WEIGHTS in files:
        weights = read_weights(path)
    return Snapshot(path=path, manifest=manifest, weights=weights)


def read_weights(path: Path) -> dict[str, RowWeight]:
    """How rows count, by their hash, from the integers that the sidecar holds.

    Raises:
        SnapshotCorrupt: a line is none, a weight is not above 0, or an error or an annotator is out of range.
    """
    weights: dict[str, RowWeight] = {}
    with (path / WEIGHTS).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                given = json.loads(line)
                if not isinstance(given["hash"], str):
                    raise ValueError("a hash is a text")
                weights[given["hash"]] = parse_weight(given)
            except (ValueError, KeyError, TypeError) as error:
                raise SnapshotCorrupt(f"{WEIGHTS} line {number} is no weight: {error}.", remedy=REMEDY) from error
    return weights


def parse_weight(given: JsonObject) -> RowWeight:
    """The values of a line of the sidecar: `weight` [numerator, denominator], perhaps `error` and `annotator`.

    Raises:
        ValueError, KeyError, TypeError: a value is missing or out of range.
    """
    numerator, denominator = given["weight"]
    if not (_is_whole(numerator, 1) and _is_whole(denominator, 1)):
        raise ValueError("a weight is two integers above 0")
    error = given.get("error", 0)
    if not (_is_whole(error, 0) and error <= MOST_ERROR):
        raise ValueError(f"an error is a whole number of hundredths from 0 to {MOST_ERROR}")
    annotator = given.get("annotator")
    if annotator is not None and not _is_whole(annotator, 0):
        raise ValueError("an annotator is a whole number from 0")
    return RowWeight(numerator / denominator, error / 100, annotator)


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and value >= least


def check_file(folder: Path, name: str, entry: JsonObject) -> None:
    """Compare one file with what the manifest says of it."""
    file = folder / name
    if Path(name).name != name:
        raise SnapshotCorrupt(f"The manifest of {folder} names a file outside it: {name}.", remedy=REMEDY)
    if not file.is_file():
        raise SnapshotCorrupt(f"{name} is missing from {folder}.", remedy=REMEDY)
    if "bytes" in entry and file.stat().st_size != entry["bytes"]:
        raise SnapshotCorrupt(
            f"{name} in {folder} has {file.stat().st_size} bytes, its manifest says {entry['bytes']}.", remedy=REMEDY
        )
    if file_sha256(file) != entry.get("sha256"):
        raise SnapshotCorrupt(f"{name} in {folder} differs from its manifest (SHA-256).", remedy=REMEDY)


def parse_row(line: str, where: str) -> AnyRow | None:
    """One line of a split file as a typed row; None for a kind this trainer does not read.

    Raises:
        SnapshotCorrupt: with `where` (file and line) in the message.
    """
    try:
        record = json.loads(line)
        row, kind = record["row"], record["row"]["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotCorrupt(f"{where} is not a snapshot row: {error!r}.", remedy=REMEDY) from error
    if kind not in FIELDS:
        return None
    values: JsonObject = {}
    for name, expected in FIELDS[kind].items():
        if not isinstance(row.get(name), expected):
            raise SnapshotCorrupt(f"{where}: a {kind} needs `{name}` ({expected.__name__}).", remedy=REMEDY)
        values[name] = row[name]
    if "prompt" in values:
        values["prompt"] = parse_messages(values["prompt"], where)
    if "classes" in values:
        values["classes"] = parse_names(values["classes"], "classes", where)
    if kind == "classification":
        values["labels"] = parse_labels(values, where)
    if kind == "spans":
        values["spans"] = parse_spans(values, where)
    row_type = KINDS[kind]
    return row_type(**values, hash=str(record.get("hash", "")), count=int(record.get("count", 1)))


def parse_messages(value: list[object], where: str) -> Messages:
    """Messages of a prompt: at least one, each with a role and content, the last one from the user.

    Raises:
        SnapshotCorrupt: with `where` in the message.
    """
    messages = []
    for message in value:
        if not (isinstance(message, dict) and isinstance(message.get("content"), str)):
            raise SnapshotCorrupt(f"{where}: a message needs `role` and `content`.", remedy=REMEDY)
        if message.get("role") not in ROLES:
            raise SnapshotCorrupt(f"{where}: unknown role {message.get('role')!r}.", remedy=REMEDY)
        messages.append({"role": message["role"], "content": message["content"]})
    if not messages or messages[-1]["role"] != "user":
        raise SnapshotCorrupt(f"{where}: a prompt ends with a user turn.", remedy=REMEDY)
    return tuple(messages)


def parse_names(value: list[str], name: str, where: str) -> tuple[str, ...]:
    """Names, each once.

    Raises:
        SnapshotCorrupt: one is no string or empty, or stands twice.
    """
    if not all(isinstance(one, str) and one for one in value) or len(set(value)) != len(value):
        raise SnapshotCorrupt(f"{where}: `{name}` must be names, each once.", remedy=REMEDY)
    return tuple(value)


def parse_labels(values: JsonObject, where: str) -> tuple[str, ...]:
    """Labels of a classification row: among its classes, and exactly one unless `many`.

    Raises:
        SnapshotCorrupt: with `where` in the message.
    """
    labels = parse_names(values["labels"], "labels", where)
    if unknown := sorted(set(labels) - set(values["classes"])):
        raise SnapshotCorrupt(f"{where}: {', '.join(unknown)} is none of the classes.", remedy=REMEDY)
    if not values["many"] and len(labels) != 1:
        raise SnapshotCorrupt(f"{where}: exactly one label is needed, there are {len(labels)}.", remedy=REMEDY)
    return labels


def parse_spans(values: JsonObject, where: str) -> tuple[Span, ...]:
    """Spans of a row, by start, each inside the text and with one of the classes.

    Raises:
        SnapshotCorrupt: with `where` in the message.
    """
    spans = []
    for given in values["spans"]:
        one = given if isinstance(given, dict) else {}
        start, end, label = one.get("start"), one.get("end"), one.get("label")
        if not (type(start) is int and type(end) is int and 0 <= start < end <= len(values["text"])):
            raise SnapshotCorrupt(f"{where}: a span must lie inside its text, not {given!r}.", remedy=REMEDY)
        if not isinstance(label, str) or label not in values["classes"]:
            raise SnapshotCorrupt(f"{where}: the span label {label!r} is none of the classes.", remedy=REMEDY)
        spans.append(Span(start, end, label))
    return tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label)))
