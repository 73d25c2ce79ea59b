"""Batches of an import: records of a file that were read, mapped and checked, and what is new of them.

Nothing here writes to the database. A batch ends where its transaction would take too long.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from django.db import connection

from feedback.errors import Invalid
from feedback.formats import reading
from feedback.formats.annotations.items import Defaults, InvalidRow, Item, LeftOut, Note
from feedback.formats.json_lines import json_line
from feedback.formats.reading import Record
from feedback.models import Job
from feedback.rules.platform.sentences import without_paths
from feedback.services.data import import_checks
from feedback.services.data.import_sources import Source

LEAST, MOST = 60, 4000  # weight of a batch: two for each task, one for each answer
BATCH_BYTES = 4 * 2**20
# How long a batch's transaction should take. On SQLite everybody who writes waits for it (50 ms are the most).
WRITE_SECONDS = {"sqlite": 0.025, "postgresql": 0.2}
KEPT_TEXT = 1_000_000  # bytes of a rejected record that are kept
MOST_TOLD = 50  # different reasons in a result


@dataclass
class Cursor:
    """The progress of an import, and counts of what it has read. Stored in the job's result.

    `left_out` counts what the source marks as no annotation, by why; `notes` how rows were read, by sentence.
    """

    offset: int = 0
    line: int = 1
    size: int = 0
    header: list[str] | None = None
    read: int = 0
    new: int = 0
    tasks: int = 0
    before: int = 0
    linking: int = 0  # in no split: their family and their group lie in two
    moved: int = 0  # in another split than in the project that they come from
    rejected: int = 0
    rejected_bytes: int = 0
    problem: str = ""
    done: bool = False
    left_out: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)  # new items by task kind
    answers: int = 0  # annotations and right answers of new items


@dataclass(slots=True)
class Checked:
    """A record with what it became. `cells` are its cells by column where the file needs a mapping, for its repair."""

    record: Record
    items: list[import_checks.Ready]
    notes: list[LeftOut | Note]
    cells: object


@dataclass
class Batch:
    """Records that were read and checked, outside of any transaction."""

    records: list[Checked] = field(default_factory=list)
    weight: int = 0
    bytes: int = 0

    def items(self) -> list[import_checks.Ready]:
        found: list[import_checks.Ready] = []
        for one in self.records:
            found += one.items
        return found


class Ahead:
    """Batches, of which the next may be read ahead; an error in it is raised when its turn comes."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches = batches
        self.coming: Future[Batch | None] | None = None

    def read(self) -> None:
        if self.coming is None:
            self.coming = Future()
            try:
                self.coming.set_result(next(self.batches, None))
            except Exception as error:  # noqa: BLE001 kept, not swallowed: result() raises it
                self.coming.set_exception(error)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            self.read()
            assert self.coming is not None
            batch, self.coming = self.coming.result(), None
            if batch is None:
                return
            yield batch


class Pace:
    """Sizes a batch so that its transaction takes a given time, going by the last ones."""

    def __init__(self) -> None:
        self.weight = 180.0
        self.seconds = WRITE_SECONDS[connection.vendor]

    def full(self, batch: Batch) -> bool:
        return batch.weight >= self.weight or batch.bytes >= BATCH_BYTES

    def took(self, batch: Batch, seconds: float) -> None:
        if batch.weight >= self.weight / 2:  # a small one tells little
            fits = batch.weight * self.seconds / max(seconds, 0.001)
            self.weight = min(MOST, max(LEAST, min(2 * self.weight, (self.weight + fits) / 2, 1.2 * fits)))


def read_batches(job: Job, source: Source, file: BinaryIO, cursor: Cursor, pace: Pace) -> Iterator[Batch]:
    """Batches from the cursor on. The last one may be empty; it tells the end of the file.

    Raises:
        Invalid: the file as a whole cannot be read.
    """
    defaults = Defaults(job.payload["source"], job.payload["annotator"])
    assert job.project is not None
    batch, last = Batch(), cursor.line
    for record in _records(source, file, cursor):
        items: list[import_checks.Ready] = []
        notes: list[LeftOut | Note] = []
        source.repair(record)
        given, record.value = record.value, None
        if not record.error:
            try:
                for one in source.read(given, defaults):
                    if isinstance(one, Item):
                        items.append(import_checks.ready(job.project, one))
                    else:
                        notes.append(one)
            except InvalidRow as error:
                record.value, record.error = error.field, error.sentence
                items = []
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
                record.value, record.error = None, f"It does not match the format {source.label} ({error})."
                items = []
        batch.records.append(Checked(record, items, notes, given if source.keeps_cells else None))
        batch.weight += 1 + sum(map(_weight, items))
        batch.bytes += len(record.raw)
        last = record.next_line
        if pace.full(batch):
            yield batch
            batch = Batch()
    if cursor.problem:
        batch.records.append(Checked(Record(last, cursor.size, last, b"", error=cursor.problem), [], [], None))
    batch.bytes = -1  # the last one
    yield batch


def _records(source: Source, file: BinaryIO, cursor: Cursor) -> Iterator[Record]:
    try:
        yield from source.records(file, cursor)
    except reading.UnreadableFile as error:
        raise Invalid(str(error)) from None


def _clash(items: Sequence[import_checks.Ready], digests: Mapping[tuple[str, str], str]) -> tuple[str, str] | None:
    """The first key of these items that exists with another content."""
    for item in items:
        for key in item.keys:
            if digests.get(key, item.digest) != item.digest:
                return key
    return None


def sort_out(known: import_checks.Known, batch: Batch, cursor: Cursor, folder: Path) -> list[import_checks.Ready]:
    """The new items of a batch. Existing ones are counted, rejected ones are written to their file."""
    known.look_up(batch.items())
    digests = dict(known.digests)
    good: list[import_checks.Ready] = []
    refused: list[bytes] = []
    for checked in batch.records:
        record, items, notes = checked.record, checked.items, checked.notes
        clash = _clash(items, digests)
        if clash is not None:
            sentence = f"The external_id {clash[1]!r} exists with different content."
            record = Record(record.line, record.end, record.next_line, record.raw, "external_id", sentence)
        if record.error:
            refused.append(_refusal(record, checked.cells))
        else:
            for one in items:
                if digests.keys().isdisjoint(one.keys):
                    digests.update(dict.fromkeys(one.keys, one.digest))
                    good.append(one)
                    _count_kinds(cursor, one)
                else:
                    cursor.before += 1
            for what in notes:
                if isinstance(what, Note):
                    _count(cursor.notes, what.sentence)
                else:
                    _count(cursor.left_out, what.why)
        cursor.offset, cursor.line = record.end, record.next_line
    cursor.read += len(batch.records)
    cursor.rejected += len(refused)
    cursor.done = batch.bytes == -1
    if refused:
        path = folder / "rejected.jsonl"
        path.touch()
        with path.open("r+b") as file:
            file.truncate(cursor.rejected_bytes)  # what an attempt wrote whose transaction did not commit
            file.seek(cursor.rejected_bytes)
            file.write(b"".join(refused))
            file.flush()
            os.fsync(file.fileno())
            cursor.rejected_bytes = file.tell()
    return good


def _weight(one: import_checks.Ready) -> int:
    """Tasks and answers to write; a prompt without a task counts as one."""
    return max(1, len(one.parts)) + sum(len(part.item.answers) for part in one.parts)


def _count(counts: dict[str, int], why: str) -> None:
    name = why if why in counts or len(counts) < MOST_TOLD else "other reasons"
    counts[name] = counts.get(name, 0) + 1


def _count_kinds(cursor: Cursor, one: import_checks.Ready) -> None:
    for part in one.parts:
        cursor.kinds[part.item.kind] = cursor.kinds.get(part.item.kind, 0) + 1
        cursor.answers += len(part.item.answers) + (part.gold is not None)
    if not one.parts:
        cursor.kinds[one.item.kind] = cursor.kinds.get(one.item.kind, 0) + 1
        cursor.answers += len(one.item.answers)


def _refusal(record: Record, cells: object) -> bytes:
    text = record.raw[:KEPT_TEXT].decode(errors="replace")
    error = without_paths(record.error)
    row: dict[str, object] = {"line": record.line, "field": record.value or "", "error": error, "text": text}
    if isinstance(cells, dict) and len(record.raw) <= KEPT_TEXT:
        row["cells"] = cells
    return json_line(row).encode() + b"\n"
