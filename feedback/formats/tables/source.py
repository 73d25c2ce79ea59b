"""A file from anywhere as one that the importer reads: unpacked, in UTF-8, spreadsheets and Parquet as JSON Lines.

Records keep their places: row n of a spreadsheet or of a Parquet file stands in line n.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from feedback.formats import reading, unpacking
from feedback.formats.json_lines import json_line
from feedback.formats.reading import Record, UnreadableFile
from feedback.formats.tables import layout, spreadsheet
from feedback.formats.tables.layout import Layout

BLOCK = 1 << 20
BEGINNING = 4 << 20  # bytes of an archive that a preview unpacks
LARGEST_OBJECT = 128 * 2**20  # bytes of a JSON object, which is read as a whole
PARQUET_ROWS = 1000
SEEN = 50  # rows whose fields are the columns of JSON


@dataclass
class Prepared:
    """A file that can be read from any place on.

    Attributes:
        problem: what was wrong with its end, in a sentence; empty when all of it could be read.
    """

    path: Path
    layout: Layout
    problem: str = ""


def prepare(
    upload: Path,
    name: str,
    folder: Path,
    *,
    told: Layout | None = None,
    most: int | None = None,
    begun: bool = False,
) -> Prepared:
    """
    Args:
        upload: the file as it came.
        name: what its owner calls it.
        folder: where a converted file may be written, as `plain`.
        told: the layout, where it is known already.
        most: for a preview: how many rows, or some of them, are enough.
        begun: whether it was prepared before and read in part, so that what is there can be used.

    Raises:
        UnreadableFile: nothing can be made of the file.
    """
    path, problem = upload, ""
    if unpacking.is_packed(upload) and not spreadsheet.is_spreadsheet(upload):
        path, problem = _unpacked(upload, folder, most, begun)
    known = told or layout.detect(path, name)
    if begun and told and (folder / "plain").is_file():
        return Prepared(folder / "plain", told)
    converted = _converted(path, known, folder, most)
    if converted is None:
        return Prepared(path, known, problem)
    plain, known = converted
    return Prepared(plain, known, problem)


def _unpacked(upload: Path, folder: Path, most: int | None, begun: bool) -> tuple[Path, str]:
    """The file in an archive, or its beginning where that is enough, and what was wrong with its end."""
    path = folder / ("unpacked" if most is None else "beginning")
    problem = ""
    if not (begun and path.is_file()):
        problem = unpacking.unpack(upload, folder / "unpacking", None if most is None else BEGINNING)
        with (folder / "unpacking").open("rb") as file:
            needs_end = file.read(4) in (b"PAR1", b"PK\x03\x04")
        if most is not None and needs_end:
            problem = unpacking.unpack(upload, folder / "unpacking")
        (folder / "unpacking").replace(path)
    if not path.stat().st_size:
        raise UnreadableFile(problem or "The file is empty.")
    return path, problem


def _converted(path: Path, known: Layout, folder: Path, most: int | None) -> tuple[Path, Layout] | None:
    """The file in UTF-8 text, where it is not that already."""
    writers = {layout.XLSX: _from_spreadsheet, layout.PARQUET: _from_parquet, layout.JSON_OBJECT: _from_object}
    write = writers.get(known.container)
    if write is None and known.encoding in ("utf-8", "ascii"):
        return None
    target = folder / ("plain" if most is None else "preview")
    with (folder / "converting").open("wb") as out:
        if write is not None:
            columns = write(path, out, most, known)
            known = replace(known, container=known.container, columns=columns or known.columns)
        else:
            _transcode(path, out, known.encoding, most)
    (folder / "converting").replace(target)
    return target, known


def _from_spreadsheet(path: Path, out: BinaryIO, most: int | None, known: Layout) -> tuple[str, ...]:
    return spreadsheet.to_lines(path, out, most)


def _from_object(path: Path, out: BinaryIO, most: int | None, known: Layout) -> tuple[str, ...]:
    if path.stat().st_size > LARGEST_OBJECT:
        raise UnreadableFile(
            f"A JSON object of more than {LARGEST_OBJECT // 2**20} MB cannot be read. Save it as JSON Lines."
        )
    text = path.read_bytes().decode(known.encoding, errors="replace").removeprefix("\ufeff")
    for one in islice(spreadsheet.objects_of(text), most):
        out.write(json_line(one).encode() + b"\n")
    return ()


def _from_parquet(path: Path, out: BinaryIO, most: int | None, known: Layout) -> tuple[str, ...]:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = tuple(file.schema_arrow.names)
            left = most
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for row in islice(batch.to_pylist(), left):
                    out.write(json_line(_json_values(row)).encode() + b"\n")
                if left is not None:
                    left -= batch.num_rows
                    if left <= 0:
                        break
            return columns
    except (ArrowException, OSError, ValueError):
        raise UnreadableFile("The Parquet file is damaged or of a kind that cannot be read.") from None


def _json_values(value: object) -> object:
    """A value of Parquet as JSON has it: times as text, bytes as text where they are."""
    if isinstance(value, dict):
        return {name: _json_values(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_json_values(one) for one in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return str(value)


def _transcode(path: Path, out: BinaryIO, encoding: str, most: int | None) -> None:
    try:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
    except LookupError:
        raise UnreadableFile(f"There is no encoding {encoding!r}.") from None
    written = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            text = decoder.decode(block)
            if not written:
                text = text.removeprefix("\ufeff")
            out.write(text.encode(errors="replace"))
            written += len(text)
            if most is not None and written > layout.HEAD:
                return
        out.write(decoder.decode(b"", final=True).encode(errors="replace"))


def records(file: BinaryIO, known: Layout, offset: int = 0, line: int = 1) -> Iterator[Record]:
    """Records of a prepared file from a place on. Of a table as text, rows of fewer or more cells are refused."""
    if known.container == layout.CSV:
        header = list(known.columns)
        if known.header and offset == 0:
            offset, line = reading.first_row_end(file, known.delimiter)
        yield from reading.table(file, header, offset, line, delimiter=known.delimiter)
    elif known.container == layout.JSON_ARRAY:
        yield from reading.array(file, offset, line)
    else:
        yield from reading.lines(file, offset, line)


def sample(prepared: Prepared, most: int = SEEN) -> list[Record]:
    """The first records."""
    with prepared.path.open("rb") as file:
        return list(islice(records(file, prepared.layout), most))


def with_columns(known: Layout, rows: list[Record]) -> Layout:
    """The layout with the columns of its rows, where the file itself does not name them. Fields of objects in a row
    are columns too, with a dot between the names."""
    if known.columns:
        return known
    names: dict[str, None] = {}
    for record in rows:
        if isinstance(record.value, dict):
            names.update(dict.fromkeys(layout.flattened(record.value)))
    return replace(known, columns=tuple(names))
