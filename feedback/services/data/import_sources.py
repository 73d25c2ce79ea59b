"""Where the rows of an import come from: a file in a known format, or a table that is read by a mapping."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from feedback.errors import Invalid
from feedback.formats import reading, unpacking
from feedback.formats.annotations.items import Reader
from feedback.formats.annotations.touchstone_csv import COLUMNS, unguarded
from feedback.formats.catalog import CSV, FORMATS, TABLE, TABLE_LABEL
from feedback.formats.reading import Record, UnreadableFile
from feedback.formats.tables import fields, guesses, layout, mapped_rows, mapping, native, source, words
from feedback.formats.tables.guesses import Guess
from feedback.formats.tables.layout import Layout
from feedback.formats.tables.mapping import InvalidMapping, Mapping
from feedback.models import Job, Project
from feedback.rules.collection import label_schemes
from feedback.rules.collection.kinds.registry import WITH_SCHEME
from feedback.rules.json_types import JsonObject

if TYPE_CHECKING:
    from feedback.services.data.import_batches import Cursor

AUTO = "auto"
IMPORTED = (AUTO, TABLE, *(name for name, form in FORMATS.items() if form.read))
PREVIEW_ROWS = 200
MOST_REPAIRS = 1000


@dataclass
class Inspection:
    """What the first rows of a file tell.

    Attributes:
        format: the format that reads it as it is, or `table`.
        guess: a proposed mapping, for a table.
        values: rows that could be read, with the fields of their objects beside their own.
    """

    layout: Layout
    rows: list[Record]
    format: str
    guess: Guess
    values: list[JsonObject]
    problem: str = ""


def inspect(project: Project, folder: Path, name: str, told: Layout | None = None) -> Inspection:
    """Look at the beginning of an uploaded file.

    Args:
        folder: where it lies, as `upload`; previews are written beside it.
        told: how it is laid out, where somebody knows better than the guess.

    Raises:
        Invalid: nothing can be made of it.
    """
    try:
        prepared = source.prepare(folder / "upload", name, folder, told=told, most=PREVIEW_ROWS)
        rows = source.sample(prepared)
    except UnreadableFile as error:
        raise Invalid(str(error), field="file") from None
    if not rows:
        raise Invalid(prepared.problem or "The file has no rows.", field="file")
    known = source.with_columns(prepared.layout, rows)
    values = flat_rows(rows)
    guess = guesses.guess(known.columns, values, project.label_scheme, project.dimensions)
    format = native.format_of(known, [row.value for row in rows]) or TABLE
    return Inspection(known, rows, format, guess, values, prepared.problem)


def flat_rows(rows: list[Record]) -> list[JsonObject]:
    """Rows that could be read, with the fields of their objects beside their own."""
    return [layout.flattened(row.value) for row in rows if isinstance(row.value, dict)]


def checked_mapping(project: Project, given: object, rows: Sequence[JsonObject] = ()) -> Mapping:
    """A mapping that fits the project.

    Args:
        rows: the first rows, from which follows what the mapping leaves open.

    Raises:
        Invalid: the first thing that is wrong.
    """
    made = parsed_mapping(given)
    if rows:
        guesses.complete(made, rows, project.label_scheme)
    kind = made.resolved_kind()
    if kind in WITH_SCHEME:
        fitting = label_schemes.names_of_kind(project.label_scheme, kind)
        if made.scheme not in fitting:
            choices = ", ".join(fitting) or "none yet; add one under Settings, or let the import create it"
            raise Invalid(f"Name a label scheme of the project: {choices}.", field="mapping.scheme")
    return made


def parsed_mapping(given: object) -> Mapping:
    """A mapping as a page or the API gives it, checked as far as it can be without a project.

    Raises:
        Invalid: the first thing that is wrong.
    """
    try:
        return mapping.parsed(given)
    except InvalidMapping as error:
        raise Invalid(error.sentence, field=error.part) from None


def checked_repairs(given: object) -> dict[str, dict[str, str]]:
    """Repairs of single cells: {"12": {"label": "good"}} for the cell of line 12.

    Raises:
        Invalid: another shape, or too many.
    """
    sentence = 'It must be an object of cells by line: {"12": {"label": "good"}}.'
    if not isinstance(given, dict):
        raise Invalid(sentence, field="repairs")
    if len(given) > MOST_REPAIRS:
        raise Invalid(f"At most {MOST_REPAIRS} lines can be repaired here. Repair the file instead.", field="repairs")
    for line, cells in given.items():
        if not str(line).isdigit() or not isinstance(cells, dict):
            raise Invalid(sentence, field="repairs")
        if not all(isinstance(cell, str) for cell in cells.values()):
            raise Invalid(sentence, field="repairs")
    return {str(line): dict(cells) for line, cells in given.items()}


@dataclass
class Source:
    """A file that an import reads.

    Attributes:
        read: items of one row.
        label: the format, for sentences.
        layout: how it is laid out; None: as its format says.
        keeps_cells: whether refused rows keep their cells by column.
        repairs: cells to replace, by line and column.
        unguards: it is a file of rejected rows, whose cells are guarded against spreadsheets.
    """

    path: Path
    read: Reader
    label: str
    container: str
    layout: Layout | None = None
    keeps_cells: bool = False
    repairs: dict[str, dict[str, str]] = field(default_factory=dict)
    problem: str = ""
    unguards: bool = False

    def records(self, file: BinaryIO, cursor: "Cursor") -> Iterator[Record]:
        """Records from the cursor on.

        Raises:
            UnreadableFile: it is not laid out as its format says.
        """
        if self.layout is not None and self.container != CSV:
            yield from source.records(file, self.layout, cursor.offset, cursor.line)
            return
        container = reading.container_of(file)
        if self.container == CSV:
            for record in reading.table(file, cursor.header, cursor.offset, cursor.line, COLUMNS):
                if cursor.header is None and isinstance(record.value, dict):
                    cursor.header = list(record.value)
                yield record
        else:
            yield from (reading.array if container == "array" else reading.lines)(file, cursor.offset, cursor.line)

    def repair(self, record: Record) -> None:
        """Replace the cells of a record that somebody has repaired, and take guards off."""
        if self.unguards and isinstance(record.value, dict):
            record.value = {name: unguarded(cell) for name, cell in record.value.items()}
        cells = self.repairs.get(str(record.line)) if self.repairs else None
        if cells is None:
            return
        if isinstance(record.value, dict):
            record.value = record.value | cells
        else:
            record.value, record.error = dict(cells), ""


def open_source(job: Job, folder: Path, begun: bool) -> Source:
    """The source of an import's job, unpacked and in UTF-8.

    Args:
        begun: whether rows of it were imported before, so that it is there already.

    Raises:
        Invalid: the file as a whole cannot be read.
    """
    payload = job.payload
    told = payload.get("layout")
    if told is None:
        form = FORMATS[payload["format"]]
        assert form.read is not None
        path, problem = _unpacked(folder, begun)
        return Source(path, form.read, form.label, form.container, problem=problem)
    try:
        prepared = source.prepare(folder / "upload", payload["name"], folder, told=layout.from_json(told), begun=begun)
    except UnreadableFile as error:
        raise Invalid(str(error)) from None
    made = Source(
        prepared.path, _reader(job), TABLE_LABEL, "", prepared.layout, repairs=payload.get("repairs", {}),
        problem=prepared.problem,
    )  # fmt: skip
    if payload["format"] != TABLE:
        made.label, made.container = FORMATS[payload["format"]].label, FORMATS[payload["format"]].container
    made.keeps_cells = payload["format"] == TABLE
    made.unguards = made.keeps_cells and fields.REJECTED_BECAUSE in prepared.layout.columns
    return made


def _reader(job: Job) -> Reader:
    assert job.project is not None
    if job.payload["format"] != TABLE:
        read = FORMATS[job.payload["format"]].read
        assert read is not None
        return read
    made = checked_mapping(job.project, job.payload["mapping"])
    scheme = job.project.label_scheme.get(made.scheme, {})
    return mapped_rows.reader(made, words.facts_of(scheme, job.project.dimensions))


def _unpacked(folder: Path, begun: bool) -> tuple[Path, str]:
    upload, plain = folder / "upload", folder / "unpacked"
    if not unpacking.is_packed(upload):
        return upload, ""
    problem = ""
    if not (begun and plain.is_file()):
        problem = unpacking.unpack(upload, folder / "unpacking")
        (folder / "unpacking").replace(plain)
    return plain, problem
