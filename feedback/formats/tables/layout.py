"""How a file is laid out: its container, its encoding, what separates its cells, and its header. Detected, or told.

Everything goes by the first bytes and the name: a file of any length is looked at in the same time.
"""

import codecs
import csv
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from charset_normalizer import from_bytes

from feedback.formats.reading import UnreadableFile
from feedback.rules.json_types import JsonObject

HEAD = 1 << 18  # bytes that a guess goes by
SAMPLE = 1 << 15  # bytes that the encoding's guess goes by, where they are not UTF-8
JSON_LINES, JSON_ARRAY, JSON_OBJECT, CSV, XLSX, PARQUET = "lines", "array", "object", "csv", "xlsx", "parquet"
CONTAINERS = {
    CSV: "Table as text (CSV, TSV)", XLSX: "Spreadsheet (XLSX)", JSON_LINES: "JSON Lines", JSON_ARRAY: "JSON list",
    JSON_OBJECT: "JSON object with a list in it", PARQUET: "Parquet",
}  # fmt: skip
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
ENCODINGS = {
    "utf-8": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16, little-endian", "utf-16-be": "UTF-16, big-endian",
    "cp1252": "Windows, Western Europe", "cp1250": "Windows, Central Europe", "cp1251": "Windows, Cyrillic",
    "cp1253": "Windows, Greek", "cp1254": "Windows, Turkish", "shift_jis": "Shift JIS", "gb18030": "GB 18030",
    "big5": "Big5", "euc_kr": "EUC-KR",
}  # fmt: skip
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # characters that no text has
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
ROWS = 25  # that the delimiter's guess goes by
LONGEST_NAME = 80  # characters of a first cell that is still a column's name
LIST_NAMES = ("data", "rows", "examples", "items", "records", "results", "train", "documents", "samples", "dataset")
TABLE_ENDS = (".csv", ".tsv", ".tab", ".txt")
JSON_ENDS = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Layout:
    """
    Attributes:
        container: one of CONTAINERS.
        encoding: one of ENCODINGS, or another that Python knows.
        delimiter: between the cells of a table as text.
        header: whether the first row of a table names its columns.
        columns: their names; of JSON, the fields of the first rows.
    """

    container: str
    encoding: str = "utf-8"
    delimiter: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()

    def as_json(self) -> JsonObject:
        return asdict(self) | {"columns": list(self.columns)}

    @property
    def words(self) -> str:
        """What was detected, as a page says it."""
        if self.container != CSV:
            return CONTAINERS.get(self.container, self.container)
        return f"{CONTAINERS[CSV]}, {DELIMITERS.get(self.delimiter, self.delimiter)} between cells"


def from_json(given: JsonObject) -> Layout:
    return Layout(**{**given, "columns": tuple(given.get("columns", ()))})


def detect(path: Path, name: str) -> Layout:
    """The layout of a file that is not packed. `name` is what its owner calls it.

    Raises:
        UnreadableFile: it is no text, and no spreadsheet or Parquet file.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[:4] == b"PAR1":
        return Layout(PARQUET)
    if head[:4] == b"PK\x03\x04":
        return Layout(XLSX)
    encoding = encoding_of(head, whole=len(head) < HEAD)
    text = decoded(head, encoding)
    if CONTROL.search(text):
        raise UnreadableFile("The file is neither text nor one of the formats that can be read: it is binary.")
    beginning = text.lstrip()[:1]
    ending = name.lower().removesuffix(".gz").removesuffix(".zip")
    if beginning == "[" and not ending.endswith(TABLE_ENDS):
        return Layout(JSON_ARRAY, encoding)
    if beginning == "{" and not ending.endswith(TABLE_ENDS):
        return Layout(JSON_LINES if _is_line(text) else JSON_OBJECT, encoding)
    delimiter = delimiter_of(text)
    columns, header = header_of(text, delimiter)
    return Layout(CSV, encoding, delimiter, header, columns)


def encoding_of(head: bytes, whole: bool) -> str:
    """The encoding of a text by its beginning. UTF-8 where that fits, since nothing else looks like it by chance."""
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return encoding
    if head[:64].count(b"\0") > 8:
        return "utf-16-le" if head[1:64:2].count(b"\0") > head[:64:2].count(b"\0") else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
        return "utf-8"
    except UnicodeDecodeError as problem:
        if problem.start > len(head) // 2 and head[: problem.start].isascii() is False:
            return "utf-8"  # some bytes in it are broken, not all of it
    found = from_bytes(head[:SAMPLE], cp_isolation=[name for name in ENCODINGS if not name.startswith("utf-16")]).best()
    return found.encoding.replace("utf_8", "utf-8") if found else "cp1252"


def decoded(head: bytes, encoding: str) -> str:
    """The beginning of a file as text, without the mark of its encoding and without half a character at its end."""
    return codecs.getincrementaldecoder(encoding)("replace").decode(head).removeprefix("\ufeff")


def delimiter_of(text: str) -> str:
    """What separates cells: what gives the most rows the same number of cells, more than one."""
    best, most = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = [len(row) for row in _first_rows(text, delimiter) if row]
        if not widths:
            continue
        width, count = Counter(widths).most_common(1)[0]
        if width > 1 and (count / len(widths), width) > most:
            best, most = delimiter, (count / len(widths), width)
    return best


def header_of(text: str, delimiter: str) -> tuple[tuple[str, ...], bool]:
    """Names of the columns, and whether the first row gave them: it does, unless it looks like data."""
    rows = [row for row in _first_rows(text, delimiter) if row]
    if not rows:
        return (), True
    first = rows[0]
    cells = list(map(str.strip, first))
    looks_like_data = any(map(_is_data, cells)) or not any(cells)
    if looks_like_data and len(rows) > 1:
        return tuple(f"Column {place}" for place in range(1, len(first) + 1)), False
    return unique(first), True


def header_as_told(text: str, delimiter: str, header: bool) -> tuple[str, ...]:
    """Names of the columns where somebody says whether the first row gives them."""
    first = next((row for row in _first_rows(text, delimiter) if row), [])
    return unique(first) if header else tuple(f"Column {place}" for place in range(1, len(first) + 1))


def unique(cells: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Names of columns: one without a name is called by its place, and the second of a name gets a number."""
    names: list[str] = []
    for place, cell in enumerate(cells, start=1):
        name = cell.strip() or f"Column {place}"
        twin = 2
        while name in names:
            name = f"{cell.strip() or 'Column'} ({twin})"
            twin += 1
        names.append(name)
    return tuple(names)


def flattened(row: dict[str, object]) -> dict[str, object]:
    """A row with the fields of its objects beside its own, such as info.post."""
    flat: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            for inner, one in value.items():
                flat[f"{name}.{inner}"] = one
        else:
            flat[name] = value
    return flat


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    """The first rows of a table, without the last one of a text that was cut off."""
    lines = text.splitlines(keepends=True)
    if len(text) > HEAD // 8:
        lines = lines[:-1]
    try:
        return list(islice(csv.reader(lines, delimiter=delimiter), ROWS))
    except csv.Error:
        return []


def _is_line(text: str) -> bool:
    """Whether the first line is a JSON object by itself."""
    line = text.lstrip().split("\n", 1)[0]
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return len(line) >= HEAD // 2
    alone = not text.strip()[len(line.strip()) :].strip()
    return not (alone and any(isinstance(first.get(name), list) for name in LIST_NAMES))


def _is_data(cell: str) -> bool:
    """Whether a cell is more like a value than like the name of a column: a number, or a sentence."""
    return _is_number(cell) or len(cell) > LONGEST_NAME or (len(cell.split()) > 4 and cell.endswith((".", "?", "!")))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
