"""Spreadsheets (XLSX): read row by row as texts, and a small one written as a sample."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

from feedback.formats.json_lines import json_line
from feedback.formats.reading import UnreadableFile
from feedback.formats.tables.layout import unique

MOST_BYTES = 512 * 2**20  # unpacked: a sheet is read as a whole
FIRST = 20  # rows among which the header is looked for


def is_spreadsheet(path: Path) -> bool:
    """Whether a zip file is a workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def to_lines(path: Path, out: BinaryIO, most: int | None = None) -> tuple[str, ...]:
    """Write the rows of the first sheet that has any as JSON Lines, row n of the sheet in line n.

    Args:
        most: how many rows at most.

    Returns:
        Names of the columns: the first row that has as many cells as most rows have.

    Raises:
        UnreadableFile: it is no workbook, has a password, is too large, or is empty.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > MOST_BYTES:
                raise UnreadableFile("The spreadsheet is too large to be read. Save its sheet as CSV.")
        with CalamineWorkbook.from_path(str(path)) as book:
            for name in book.sheet_names:
                rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
                if any(any(cell != "" for cell in row) for row in islice(rows, FIRST)):
                    return _write(rows, out, most)
    except (CalamineError, zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile("The spreadsheet cannot be read. Save it again as XLSX without a password.") from None
    raise UnreadableFile("The spreadsheet has no rows.")


def _write(rows: Sequence[Sequence[object]], out: BinaryIO, most: int | None) -> tuple[str, ...]:
    widths = [sum(cell != "" for cell in row) for row in rows[:FIRST]]
    enough = max(widths) // 2 + 1 if max(widths) > 1 else 1
    place = next(number for number, width in enumerate(widths) if width >= enough)
    columns = unique(tuple(map(as_text, rows[place])))
    out.write(b"\n" * (place + 1))
    for row in islice(rows[place + 1 :], most):
        cells = dict(zip(columns, map(as_text, row), strict=True))
        if any(cells.values()):
            out.write(json_line(cells).encode())
        out.write(b"\n")
    return columns


def as_text(cell: object) -> str:
    """A cell as it would be typed: 4.0 is 4, and a day is 2026-01-31."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell == int(cell) else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat()
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell.total_seconds())
    return str(cell)


def objects_of(text: str) -> Iterator[object]:
    """Elements of the longest list in a JSON object, or of the object's values.

    Raises:
        UnreadableFile: it is no JSON object, or holds no list of objects.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableFile("The file is not valid JSON.") from None
    lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if lists:
        yield from max(lists, key=len)
    elif whole and all(isinstance(value, dict) for value in whole.values()):
        yield from whole.values()
    elif whole and all(isinstance(value, list) for value in whole.values()):
        for cells in zip(*whole.values(), strict=False):
            yield dict(zip(whole, cells, strict=True))
    else:
        yield whole


_SHEET = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)
_PARTS = {
    "[Content_Types].xml": '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="Rows" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
    'Target="worksheets/sheet1.xml"/></Relationships>',
}


def write(rows: Sequence[Sequence[str]], out: BinaryIO) -> None:
    """Write rows of texts as a workbook with one sheet; for samples, not for data of any length."""
    body = []
    for row in rows:
        cells = "".join(f'<c t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>' for cell in row)
        body.append(f"<row>{cells}</row>")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _PARTS.items():
            archive.writestr(name, text)
        archive.writestr("xl/worksheets/sheet1.xml", _SHEET.format("".join(body)))
