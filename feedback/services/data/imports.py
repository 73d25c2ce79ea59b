"""Imports files as rows, as a job: pages and the API request it, a worker carries it out in batches.

Each batch is one transaction: its rows and the place in the file where they end. A job that is killed resumes from that
place with the same result. Bad lines are reported and kept in a file; good lines are imported.
"""

import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from feedback import celery_app
from feedback.db import bulk_writer
from feedback.errors import Invalid, NotFound
from feedback.formats.catalog import TABLE
from feedback.formats.tables import layout
from feedback.models import Job, Person, Project
from feedback.services.data import import_batches, import_checks, import_folder, import_rows, import_sources
from feedback.services.data.import_batches import Ahead, Batch, Cursor, Pace
from feedback.services.platform import events, jobs
from feedback.services.platform.closed_projects import refuse_when_closed

FOLDER = "imports"
TRIES = 3
MANY = 1000  # rows after which the database's picture of its tables is out of date


def request_import(
    *,
    project: Project,
    by: Person,
    format: str,
    name: str,
    chunks: Iterable[bytes],
    source: str = "",
    annotator: str = "",
    mapping: Mapping[str, object] | None = None,
    repairs: Mapping[str, Mapping[str, str]] | None = None,
    dry_run: bool = False,
    told: layout.Layout | None = None,
) -> Job:
    """Store the file and request a job that imports it.

    Args:
        format: one of the catalog, `table` for one that a mapping reads, or `auto` to look at the file.
        source: where its rows come from; also whose people its annotators are.
        annotator: who gave it, where the file does not tell.
        mapping: of a table: what its columns are; without one, a guess.
        repairs: cells to replace before the mapping, by line and column.
        dry_run: check every row and count, but import nothing.
        told: how the file is laid out; without it, a guess.

    Raises:
        Invalid: an unknown format, an empty file, a name that is too long, a mapping that does not fit the project.
        ProjectClosed: the project takes nothing any more.
    """
    if format not in import_sources.IMPORTED:
        raise Invalid(f"The format must be one of {', '.join(import_sources.IMPORTED)}.", field="format")
    if mapping is not None and format != TABLE:
        raise Invalid(f"A mapping needs the format {TABLE}.", field="mapping")
    if len(source) > 100 or len(annotator) > 200:
        raise Invalid("A source has at most 100 characters, an annotator 200.", field="source")
    refuse_when_closed(project, "imports")
    checked = import_sources.checked_repairs(dict(repairs or {}))
    with stored(chunks) as (folder, place):
        payload: dict[str, object] = {
            "folder": folder,
            "format": format,
            "name": plain_name(name),
            "annotator": annotator or "unknown",
        }
        if format in (import_sources.AUTO, TABLE) or told is not None:
            payload |= _looked_at(project, place, payload, mapping, told)
        payload["source"] = source or payload["format"]
        if checked:
            payload["repairs"] = checked
        if dry_run:
            payload["dry_run"] = True
        with transaction.atomic():
            job = jobs.create(
                kind=Job.Kind.IMPORT, queue_name=celery_app.DEFAULT, project=project, by=by, payload=payload
            )
            if not dry_run:
                events.record("import.requested", job, actor=by)
    return job


@contextmanager
def stored(chunks: Iterable[bytes]) -> Iterator[tuple[str, Path]]:
    """A new folder with the file as `upload`, removed again if something fails: its name in DATA_DIR, and its place.

    Raises:
        Invalid: the file is empty.
    """
    folder = f"{FOLDER}/{uuid.uuid4()}"
    place = Path(settings.DATA_DIR) / folder
    place.mkdir(parents=True)
    try:
        with (place / "upload").open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        if not (place / "upload").stat().st_size:
            raise Invalid("The file is empty.", field="file")
        yield folder, place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def plain_name(name: str) -> str:
    """A file's name without its folders, as long as it may be."""
    return Path(name).name[:200] or "file"


def _looked_at(
    project: Project,
    place: Path,
    payload: Mapping[str, object],
    mapping: Mapping[str, object] | None,
    told: layout.Layout | None,
) -> dict[str, object]:
    """What the beginning of the file tells: its format, its layout, and the mapping of a table."""
    seen = import_sources.inspect(project, place, str(payload["name"]), told)
    format = str(payload["format"])
    if format == import_sources.AUTO:
        format = seen.format
    found: dict[str, object] = {"format": format, "layout": seen.layout.as_json()}
    if format == TABLE:
        if mapping is None:
            mapping = seen.guess.mapping.as_json()
        made = import_sources.checked_mapping(project, mapping, seen.values)
        found["mapping"] = made.as_json()
    return found


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
    dry_run = bool(job.payload.get("dry_run"))
    cursor = Cursor(**job.result) if job.result and not dry_run else Cursor()
    if cursor.done:
        return
    source = import_sources.open_source(job, folder, begun=cursor.offset > 0)
    cursor.problem = cursor.problem or source.problem
    cursor.size = source.path.stat().st_size
    known, pace = import_checks.Known(job.project), Pace()
    with source.path.open("rb") as file:
        batches = Ahead(import_batches.read_batches(job, source, file, cursor, pace))
        for batch in batches:
            if dry_run:
                _try(job, folder, known, batch, cursor)
            else:
                known.meet(batch.items())
                _commit(job, folder, known, batch, cursor, pace, batches)
                if cursor.done and cursor.new >= MANY:
                    bulk_writer.look_again(import_rows.TABLES)
            yield cursor


def _try(job: Job, folder: Path, known: import_checks.Known, batch: Batch, cursor: Cursor) -> None:
    """Count what a batch would become, and refuse what would be refused; write no row."""
    good = import_batches.sort_out(known, batch, cursor, folder)
    cursor.new += len(good)
    for one in good:
        cursor.tasks += len(one.parts)
        known.met.update(dict.fromkeys(one.keys, one.digest))
    with transaction.atomic():
        jobs.keep(job, asdict(cursor))


def _commit(
    job: Job, folder: Path, known: import_checks.Known, batch: Batch, cursor: Cursor, pace: Pace, batches: Ahead
) -> None:
    """Write rows and cursor in one transaction, and read the next batch while it ends.

    Two imports of one file at once: the slower of the two looks again.
    """
    assert job.project is not None
    for attempt in range(TRIES):
        after = Cursor(**asdict(cursor))
        good = import_batches.sort_out(known, batch, after, folder)
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
