"""Files as records: lines of JSON, elements of one JSON array, rows of CSV. A record knows its line and where it ends.

Nothing here trusts the file: a record that is too long is passed over without being held, one that cannot be decoded or
parsed is a record with an error, and reading goes on behind it. `end` is a byte offset to start reading from again.
"""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any, BinaryIO, NoReturn

from feedback.rules.json_types import JsonObject

MAX_RECORD = 16 * 1024 * 1024
KEPT = 2000  # bytes of a record that is too long, to show which one it was
CHUNK = 1 << 16
MOST_HEADER_LINES = 100
BOM = b"\xef\xbb\xbf"
_MARKS = re.compile(rb'["\\{}\[\],\n]')
csv.field_size_limit(MAX_RECORD)


@dataclass(slots=True)
class Record:
    """One record: its line (from 1), where it ends, and its value or what is wrong with it."""

    line: int
    end: int
    next_line: int
    raw: bytes
    value: Any = None
    error: str = ""


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; the sentence says why."""


def container_of(file: BinaryIO) -> str:
    """`array` when the file is one JSON array, else `lines`. Leaves the file at its start."""
    head = file.read(CHUNK)
    file.seek(0)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[:64].count(b"\0") > 8:
        raise UnreadableFile("The file is not UTF-8 text (it looks like UTF-16 or binary). Save it as UTF-8.")
    return "array" if head.removeprefix(BOM).lstrip()[:1] == b"[" else "lines"


def lines(file: BinaryIO, offset: int = 0, line: int = 1) -> Iterator[Record]:
    """Records of JSON Lines from `offset` on, which is in line `line`."""
    for number, end, raw, error in _raw_lines(file, offset, line):
        if error:
            yield Record(number, end, number + 1, raw, error=error)
        elif raw.strip():
            yield parsed(number, end, number + 1, raw)


def array(file: BinaryIO, offset: int = 0, line: int = 1) -> Iterator[Record]:
    """Elements of a JSON array from `offset` on: the array's start, or the end of an element."""
    if offset:
        file.seek(offset - 1)
        if file.read(1) != b",":  # the array had ended there
            yield from _after_array(file, offset, line)
            return
    file.seek(offset)
    position, depth, in_text, escaped, escape_at = offset, 0 if offset == 0 else 1, False, False, -1
    held, held_line, too_long, size = bytearray(), line, False, 0

    def done(end: int) -> Record | None:
        nonlocal held, too_long, size
        raw, long = bytes(held), too_long
        held, too_long, size = bytearray(), False, 0
        if long:
            return Record(held_line, end, line, raw[:KEPT], error=_too_long())
        return parsed(held_line, end, line, raw.strip()) if raw.strip() else None

    while chunk := file.read(CHUNK):
        start = 0
        for mark in _MARKS.finditer(chunk):
            sign, place = mark.group(), mark.start()
            if escaped and position + place == escape_at:
                escaped = False
                if sign != b"\n":
                    continue
            escaped = False
            if sign == b"\n":
                line += 1
                if not (held.strip() or chunk[start:place].strip()):
                    held_line = line
                continue
            if in_text:
                if sign == b"\\":
                    escaped, escape_at = True, position + place + 1
                elif sign == b'"':
                    in_text = False
                continue
            if sign == b'"':
                in_text = True
            elif sign in (b"{", b"["):
                if depth == 0:
                    start = place + 1
                    held.clear()
                depth += 1
            elif sign in (b"}", b"]"):
                depth -= 1
            if (depth == 1 and sign == b",") or depth == 0:
                held += chunk[start:place] if not too_long else b""
                start = place + 1
                if record := done(position + place + 1):
                    yield record
                held_line = line
                if depth == 0:
                    yield from _after_array(file, position + place + 1, line)
                    return
        if too_long or size + len(chunk) - start > MAX_RECORD:
            too_long = True
            del held[KEPT:]
        else:
            held += chunk[start:]
        size += len(chunk) - start
        position += len(chunk)
    cut_off = "The array has no end: the file was cut off here."
    last = done(position)
    if last and last.error:
        last.error = cut_off
    if last:
        yield last
    if not last or not last.error:
        yield Record(line, position, line, b"", error=cut_off)


def table(
    file: BinaryIO,
    header: list[str] | None = None,
    offset: int = 0,
    line: int = 1,
    columns: Collection[str] = (),
    delimiter: str = ",",
) -> Iterator[Record]:
    """Rows of CSV as objects. The header is the first line, or `header` when reading starts behind it.

    A quotation mark that is never closed would make one cell of all that follows: then only its line is refused, and
    reading goes on behind that.

    Raises:
        UnreadableFile: the header names a column twice, or one that is not among `columns` (if there are any).
    """
    place: tuple[int, int] | None = (offset, line)
    while place is not None:
        header, place = yield from _rows(file, header, *place, columns, delimiter)


def first_row_end(file: BinaryIO, delimiter: str) -> tuple[int, int]:
    """Where the first row of CSV ends, and the number of the line behind it: a header may have several lines."""
    raw_lines = list(islice(_raw_lines(file, 0, 1, with_ends=True), MOST_HEADER_LINES))
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for _, _, raw, _ in raw_lines:
            taken += 1
            yield raw.decode(errors="replace")

    for cells in csv.reader(texts(), delimiter=delimiter):
        if cells:
            break
    if not taken:
        return 0, 1
    number, end, *_ = raw_lines[taken - 1]
    return end, number + 1


def _rows(
    file: BinaryIO, header: list[str] | None, offset: int, line: int, columns: Collection[str], delimiter: str
) -> Generator[Record, None, tuple[list[str] | None, tuple[int, int] | None]]:
    """Rows up to the end, or up to an open quotation mark. Returns the header, and where to go on: offset and line."""
    begun = end = offset  # `begun`: behind the first line of the present row
    number = next_line = line
    bad = ""

    def texts() -> Iterator[str]:
        nonlocal begun, end, next_line, bad
        for at, stop, raw, error in _raw_lines(file, offset, line, with_ends=True):
            end, next_line = stop, at + 1
            if at == number:
                begun = stop
            if not error:
                try:
                    yield raw.decode()
                    continue
                except UnicodeDecodeError as problem:
                    error = _not_utf8(problem)
            bad = bad or error
            yield "\n"

    rows = csv.reader(texts(), strict=True, delimiter=delimiter)
    while True:
        number, bad = next_line, ""
        try:
            cells = next(rows)
        except StopIteration:
            return header, None
        except csv.Error as problem:
            if next_line > number + 1:
                sentence = "A quotation mark opens a cell in it that is never closed."
                yield Record(number, begun, number + 1, b"", error=sentence)
                return header, (begun, number + 1)
            yield Record(number, end, next_line, b"", error=_no_csv(problem))
            continue
        if bad:
            yield Record(number, end, next_line, b"", error=bad)
        elif header is None:
            header = _checked_header(cells, columns)
        elif cells:
            raw = delimiter.join(cells).encode()
            if len(cells) != len(header):
                sentence = f"It has {len(cells)} cells; the header has {len(header)}."
                yield Record(number, end, next_line, raw, error=sentence)
            elif b"\0" in raw:
                yield Record(number, end, next_line, raw, error="It contains a NUL character, which cannot be stored.")
            else:
                yield Record(number, end, next_line, raw, dict(zip(header, cells, strict=True)))


def parsed(line: int, end: int, next_line: int, raw: bytes) -> Record:
    """A record of JSON, or one that says why it is none."""
    record = Record(line, end, next_line, raw)
    try:
        record.value = decoded(raw.decode())
        if b"\\u" in raw:
            _storable(record.value, raw)
    except UnicodeDecodeError as problem:
        record.error = _not_utf8(problem)
    except json.JSONDecodeError as problem:
        record.error = f"This is not valid JSON: {problem.msg.removesuffix(' at')} at character {problem.pos + 1}."
        if b"\r" in raw:
            record.error += " It contains a carriage return; lines must end in LF or CRLF."
    except RecursionError:
        record.error = "The JSON is nested too deep."
    except ValueError as problem:
        record.error = why(problem)
    return record


def why(problem: ValueError) -> str:
    """What JSON holds that is not taken, in a sentence. Python's own, of a long number, is about its settings."""
    return "A number in it has thousands of digits." if "digits" in str(problem) else str(problem)


def _after_array(file: BinaryIO, offset: int, line: int) -> Iterator[Record]:
    """Nothing may follow the array."""
    file.seek(offset)
    while chunk := file.read(CHUNK):
        if chunk.strip():
            line += chunk[: len(chunk) - len(chunk.lstrip())].count(b"\n")
            end = file.seek(0, os.SEEK_END)
            sentence = "Content after the end of the array was not read. A file contains one array, or lines."
            yield Record(line, end, line, chunk.strip()[:KEPT], error=sentence)
            return
        line += chunk.count(b"\n")


def _checked_header(cells: list[str], columns: Collection[str]) -> list[str]:
    advice = "The first line of a CSV file names its columns, with commas between them. "
    for name in cells:
        if columns and name not in columns:
            raise UnreadableFile(f"{advice}There is no column {name[:60]!r}; there are {', '.join(columns)}.")
        if cells.count(name) > 1:
            raise UnreadableFile(f"{advice}{name!r} occurs twice.")
    return cells


def _no_csv(problem: csv.Error) -> str:
    if "new-line" in str(problem):
        return "It contains a carriage return outside quotation marks; lines must end in LF or CRLF."
    return f"It is not valid CSV: {problem}."


def _raw_lines(
    file: BinaryIO, offset: int, line: int, with_ends: bool = False
) -> Iterator[tuple[int, int, bytes, str]]:
    """Each line's number, where it ends, its bytes (without its line end, or with it) and what is wrong with it."""
    file.seek(offset)
    end = offset
    while raw := file.readline(MAX_RECORD + 1):
        end += len(raw)
        error = ""
        if len(raw) > MAX_RECORD and not raw.endswith(b"\n"):
            error, raw = _too_long(), raw[:KEPT]
            while more := file.readline(CHUNK):
                end += len(more)
                if more.endswith(b"\n"):
                    break
        elif line == 1:
            raw = raw.removeprefix(BOM)
        yield line, end, raw if with_ends else raw.rstrip(b"\r\n"), error
        line += 1


def _storable(value: object, raw: bytes) -> None:
    lowered = raw.lower()
    if b"\\ud" in lowered:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("It contains half of a surrogate pair, which cannot be stored.") from None
    if b"\\u0000" in lowered and _has_nul(value):
        raise ValueError("It contains a NUL character, which cannot be stored.")


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, chain(value.keys(), value.values())))
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number.")


def _without_repeats(pairs: list[tuple[str, object]]) -> JsonObject:
    """An object. What stood first under a name that comes twice would be lost without a word."""
    made = dict(pairs)
    if len(made) != len(pairs):
        name, times = Counter(map(itemgetter(0), pairs)).most_common(1)[0]
        raise ValueError(f"The key {name[:60]!r} occurs {times} times in one object.")
    return made


decoded = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_no_number).decode


def _not_utf8(problem: UnicodeDecodeError) -> str:
    return (
        f"Byte {problem.start + 1} of it (0x{problem.object[problem.start]:02x}) is not UTF-8. Save the file as UTF-8."
    )


def _too_long() -> str:
    return f"It is longer than {MAX_RECORD // 2**20} MB and was passed over."
