"""Exports rows into files, as a job. A worker writes under a temporary name and renames at the end, so that an existing
file is complete."""

import csv
import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import transaction

from feedback import celery_app
from feedback.errors import Conflict, Invalid, NotFound
from feedback.formats import parquet
from feedback.formats.annotations.items import PROMPT, THUMB, LeftOut, Row
from feedback.formats.annotations.touchstone_csv import COLUMNS
from feedback.formats.catalog import CSV, FORMATS
from feedback.formats.json_lines import json_line
from feedback.models import Job, Person, Project
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.json_types import JsonObject
from feedback.selectors.data import export_rows
from feedback.services.platform import events, jobs

FOLDER = "exports"
JSONL, PARQUET, CSV_FILE = "jsonl", "parquet", "csv"
FILE_TYPES = (JSONL, PARQUET)
KINDS_OF_ITEMS = (*KINDS, PROMPT, THUMB)
MOST_TOLD = 50  # different reasons in a result
OFTEN = 1000  # rows between two looks at whether to go on


class Sink(Protocol):
    """Writes rows one after another; after `close` the file is complete."""

    def put(self, row: Row) -> None: ...

    def close(self) -> None: ...


def request_export(*, project: Project, by: Person, format: str, kind: str = "", file_type: str = JSONL) -> Job:
    """Request a job that writes a file.

    Raises:
        Invalid: an unknown format, kind or type of file.
    """
    form = FORMATS.get(format)
    if form is None or form.write is None:
        raise Invalid(f"The format must be one of {', '.join(FORMATS)}.", field="format")
    if kind and kind not in KINDS_OF_ITEMS:
        raise Invalid(f"The kind must be one of {', '.join(KINDS_OF_ITEMS)}.", field="kind")
    if file_type not in FILE_TYPES:
        raise Invalid(f"The file type must be one of {', '.join(FILE_TYPES)}.", field="file_type")
    if form.container == CSV:
        file_type = CSV_FILE
    with transaction.atomic():
        job = jobs.create(
            kind=Job.Kind.EXPORT,
            queue_name=celery_app.DEFAULT,
            project=project,
            by=by,
            payload={"format": format, "kind": kind, "file_type": file_type},
        )
        events.record("export.requested", job, actor=by)
    return job


def file_of(job: Job) -> Path:
    """The file of an export that succeeded.

    Raises:
        Conflict: it is not written yet. NotFound: it is gone from the disk.
    """
    if job.status != Job.Status.SUCCEEDED:
        raise Conflict(f"The export is {job.status}; its file is available once it has succeeded.")
    path = Path(settings.DATA_DIR) / job.result["path"]
    if not path.is_file():
        raise NotFound("The file was deleted. Export it again.")
    return path


def write(job: Job, tell: Callable[[int], None]) -> JsonObject:
    """Write the file. After a kill it is written again from the start; the temporary file is discarded.

    Args:
        tell: is called with the number of rows every now and then; may raise to leave.
    """
    assert job.project is not None
    payload = job.payload
    form, kind = FORMATS[payload["format"]], payload["kind"]
    folder = f"{FOLDER}/{job.public_id}"
    place = Path(settings.DATA_DIR) / folder
    place.mkdir(parents=True, exist_ok=True)
    name = "-".join(filter(None, [job.project.slug, form.name, kind])) + f".{payload['file_type']}"
    for left_behind in place.glob(".*"):  # by an attempt that was killed
        left_behind.unlink(missing_ok=True)
    part = place / f".{name}.{job.attempt}"
    openers: dict[str, Callable[[Path], Sink]] = {JSONL: _Lines, CSV_FILE: _Table, PARQUET: parquet.Parquet}
    sink = openers[payload["file_type"]](part)
    left: Counter[str] = Counter()
    rows = 0
    try:
        assert form.write is not None
        with _only_what_is_new_collected():
            for one in form.write(export_rows.items(job.project, [kind] if kind else None)):
                if isinstance(one, LeftOut):
                    left[one.why if one.why in left or len(left) < MOST_TOLD else "other reasons"] += 1
                    continue
                sink.put(one)
                rows += 1
                if rows % OFTEN == 0:
                    tell(rows)
        sink.close()
        size, digest = part.stat().st_size, _digest(part)
        part.replace(place / name)
    finally:
        part.unlink(missing_ok=True)
    return {
        "path": f"{folder}/{name}",
        "rows": rows,
        "bytes": size,
        "sha256": digest,
        "notes": list(form.cannot),
        "left_out": dict(left.most_common()),
    }


@contextmanager
def _only_what_is_new_collected() -> Iterator[None]:
    """Let the garbage collector skip objects that exist already: scanning them took a third of an export's time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Lines:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8", buffering=1 << 20)

    def put(self, row: Row) -> None:
        self.file.write(json_line(row) + "\n")

    def close(self) -> None:
        self.file.close()


class _Table:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8", newline="", buffering=1 << 20)
        self.rows = csv.DictWriter(self.file, COLUMNS, lineterminator="\n")
        # A carriage return alone is not quoted by `rows` (its line end is another), and ends a line for most readers.
        self.quoted = csv.DictWriter(self.file, COLUMNS, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self.rows.writeheader()

    def put(self, row: Row) -> None:
        has_return = "\r" in "".join(row.values())
        (self.quoted if has_return else self.rows).writerow(row)

    def close(self) -> None:
        self.file.close()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chunks_of(path: Path) -> Iterator[bytes]:
    """Chunks of a file, for a streamed reply."""
    with path.open("rb") as file:
        while chunk := file.read(1 << 16):
            yield chunk
