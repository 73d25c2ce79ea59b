"""Imports files as rows, as a job: pages and the API request it, a worker carries it out in batches.

Each batch is one transaction: its rows and the place in the file where they end. A job that is killed resumes from that
place with the same result. Bad lines are reported and kept in a file; good lines are imported.
"""

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from feedback import celery_app
from feedback.db import bulk_writer
from feedback.errors import Invalid, NotFound
from feedback.formats import reading, unpacking
from feedback.formats.annotations.items import Defaults, InvalidRow, Item, LeftOut, Note
from feedback.formats.annotations.touchstone_csv import COLUMNS
from feedback.formats.catalog import CSV, FORMATS, Format
from feedback.formats.json_lines import json_line
from feedback.formats.reading import Record
from feedback.models import Job, Person, Project
from feedback.rules.platform.sentences import without_paths
from feedback.services.data import import_checks, import_folder, import_rows
from feedback.services.platform import events, jobs
from feedback.services.platform.closed_projects import refuse_when_closed

FOLDER = "imports"
LEAST, MOST = 60, 4000  # weight of a batch: two for each task, one for each answer
BATCH_BYTES = 4 * 2**20
# How long a batch's transaction should take. On SQLite everybody who writes waits for it (50 ms are the most).
WRITE_SECONDS = {"sqlite": 0.025, "postgresql": 0.2}
KEPT_TEXT = 1_000_000  # bytes of a rejected record that are kept
TRIES = 3
MOST_TOLD = 50  # different reasons in a result
MANY = 1000  # rows after which the database's picture of its tables is out of date


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


@dataclass
class Batch:
    """Records that were read and checked, outside of any transaction."""

    records: list[tuple[Record, list[import_checks.Ready], list[LeftOut | Note]]] = field(default_factory=list)
    weight: int = 0
    bytes: int = 0

    def items(self) -> list[import_checks.Ready]:
        found: list[import_checks.Ready] = []
        for _, items, _ in self.records:
            found += items
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


def request_import(
    *,
    project: Project,
    by: Person,
    format: str,
    name: str,
    chunks: Iterable[bytes],
    source: str = "",
    annotator: str = "",
) -> Job:
    """Store the file and request a job that imports it.

    Args:
        source: where its rows come from; also whose people its annotators are.
        annotator: who gave it, where the file does not tell.

    Raises:
        Invalid: an unknown format, an empty file, a name that is too long.
        ProjectClosed: the project takes nothing any more.
    """
    if format not in FORMATS or FORMATS[format].read is None:
        raise Invalid(f"The format must be one of {', '.join(FORMATS)}.", field="format")
    if len(source) > 100 or len(annotator) > 200:
        raise Invalid("A source has at most 100 characters, an annotator 200.", field="source")
    refuse_when_closed(project, "imports")
    folder = f"{FOLDER}/{uuid.uuid4()}"
    place = Path(settings.DATA_DIR) / folder
    place.mkdir(parents=True)
    try:
        with (place / "upload").open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        if not (place / "upload").stat().st_size:
            raise Invalid("The file is empty.", field="file")
        with transaction.atomic():
            job = jobs.create(
                kind=Job.Kind.IMPORT,
                queue_name=celery_app.DEFAULT,
                project=project,
                by=by,
                payload={
                    "folder": folder,
                    "format": format,
                    "name": Path(name).name[:200] or "file",
                    "source": source or format,
                    "annotator": annotator or "unknown",
                },
            )
            events.record("import.requested", job, actor=by)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return job


def from_inbox(name: str) -> tuple[str, Iterator[bytes]]:
    """A file in the import folder (`DATA_DIR/inbox`).

    Raises:
        Invalid: there is no such file.
    """
    path = import_folder.named(name)
    if not path.is_file():
        raise Invalid(f"{name!r} is a folder. Name a file in it.", field="path")

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk

    return path.name, chunks()


def rejected_file(job: Job) -> Path:
    """The rejected lines, as JSON Lines: line, field, error, text.

    Raises:
        NotFound: none was refused, or the files are gone.
    """
    path = Path(settings.DATA_DIR) / job.payload["folder"] / "rejected.jsonl"
    if not path.is_file():
        raise NotFound("No lines were rejected.")
    return path


def bring_in(job: Job) -> Iterator[Cursor]:
    """Run the import. Yields after every batch that was written.

    Raises:
        Invalid: the file as a whole cannot be read.
        InvalidTransition: the job is another attempt's by now; nothing of the last batch was written.
        ProjectClosed: the project was closed; what was written stays, and a retry goes on behind it.
    """
    assert job.project is not None
    refuse_when_closed(job.project, "imports")
    folder = Path(settings.DATA_DIR) / job.payload["folder"]
    if not (folder / "upload").is_file():
        raise Invalid("The uploaded file was deleted. Upload it again.")
    cursor = Cursor(**job.result) if job.result else Cursor()
    if cursor.done:
        return
    path = _plain_file(folder, cursor)
    cursor.size = path.stat().st_size
    known, pace = import_checks.Known(job.project), Pace()
    with path.open("rb") as file:
        batches = Ahead(_batches(job, file, cursor, pace))
        for batch in batches:
            known.meet(batch.items())
            _commit(job, folder, known, batch, cursor, pace, batches)
            if cursor.done and cursor.new >= MANY:
                bulk_writer.look_again(import_rows.TABLES)
            yield cursor


def _plain_file(folder: Path, cursor: Cursor) -> Path:
    upload, plain = folder / "upload", folder / "unpacked"
    if not unpacking.is_packed(upload):
        return upload
    if not (cursor.offset and plain.is_file()):
        cursor.problem = unpacking.unpack(upload, folder / "unpacking")
        (folder / "unpacking").replace(plain)
    return plain


def _batches(job: Job, file: BinaryIO, cursor: Cursor, pace: Pace) -> Iterator[Batch]:
    form = FORMATS[job.payload["format"]]
    defaults = Defaults(job.payload["source"], job.payload["annotator"])
    assert job.project is not None
    batch, last = Batch(), cursor.line
    for record in _records(form, file, cursor):
        items: list[import_checks.Ready] = []
        notes: list[LeftOut | Note] = []
        if not record.error and form.read is not None:
            try:
                for one in form.read(record.value, defaults):
                    if isinstance(one, Item):
                        items.append(import_checks.ready(job.project, one))
                    else:
                        notes.append(one)
            except InvalidRow as error:
                record.value, record.error = error.field, error.sentence
                items = []
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
                record.value, record.error = None, f"It does not match the format {form.label} ({error})."
                items = []
        else:
            record.value = None
        batch.records.append((record, items, notes))
        batch.weight += 1 + sum(map(_weight, items))
        batch.bytes += len(record.raw)
        last = record.next_line
        if pace.full(batch):
            yield batch
            batch = Batch()
    if cursor.problem:
        batch.records.append((Record(last, cursor.size, last, b"", error=cursor.problem), [], []))
    batch.bytes = -1  # the last one
    yield batch


def _records(form: Format, file: BinaryIO, cursor: Cursor) -> Iterator[Record]:
    try:
        container = reading.container_of(file)
    except reading.UnreadableFile as error:
        raise Invalid(str(error)) from None
    if form.container == CSV:
        try:
            for record in reading.table(file, cursor.header, cursor.offset, cursor.line, COLUMNS):
                if cursor.header is None and isinstance(record.value, dict):
                    cursor.header = list(record.value)
                yield record
        except reading.UnreadableFile as error:
            raise Invalid(str(error)) from None
    else:
        yield from (reading.array if container == "array" else reading.lines)(file, cursor.offset, cursor.line)


def _commit(
    job: Job, folder: Path, known: import_checks.Known, batch: Batch, cursor: Cursor, pace: Pace, batches: Ahead
) -> None:
    """Write rows and cursor in one transaction, and read the next batch while it ends.

    Two imports of one file at once: the slower of the two looks again.
    """
    assert job.project is not None
    for attempt in range(TRIES):
        after = Cursor(**asdict(cursor))
        good = _sorted_out(known, batch, after, folder)
        after.new += len(good)
        try:
            with transaction.atomic():
                began = time.monotonic()
                refuse_when_closed(
                    job.project, f"imports; {cursor.new:,} rows of this one were imported", read_again=True
                )
                written = import_rows.write(job.project, job.requested_by, good, known)
                after.tasks += written.tasks
                after.linking += written.linking
                after.moved += written.moved
                jobs.keep(job, asdict(after))
                bulk_writer.check_keys(meanwhile=batches.read)
            pace.took(batch, time.monotonic() - began)
        except IntegrityError:
            if attempt == TRIES - 1:
                raise
            continue
        cursor.__dict__.update(asdict(after))
        return


def _clash(items: Sequence[import_checks.Ready], digests: Mapping[tuple[str, str], str]) -> tuple[str, str] | None:
    """The first key of these items that exists with another content."""
    for item in items:
        for key in item.keys:
            if digests.get(key, item.digest) != item.digest:
                return key
    return None


def _sorted_out(known: import_checks.Known, batch: Batch, cursor: Cursor, folder: Path) -> list[import_checks.Ready]:
    """The new items of a batch. Existing ones are counted, rejected ones are written to their file."""
    known.look_up(batch.items())
    digests = dict(known.digests)
    good: list[import_checks.Ready] = []
    refused: list[bytes] = []
    for record, items, notes in batch.records:
        clash = _clash(items, digests)
        if clash is not None:
            sentence = f"The external_id {clash[1]!r} exists with different content."
            record = Record(record.line, record.end, record.next_line, record.raw, "external_id", sentence)
        if record.error:
            refused.append(_refusal(record))
        else:
            for one in items:
                if digests.keys().isdisjoint(one.keys):
                    digests.update(dict.fromkeys(one.keys, one.digest))
                    good.append(one)
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


def _refusal(record: Record) -> bytes:
    text = record.raw[:KEPT_TEXT].decode(errors="replace")
    error = without_paths(record.error)
    row = {"line": record.line, "field": record.value or "", "error": error, "text": text}
    return json_line(row).encode() + b"\n"
