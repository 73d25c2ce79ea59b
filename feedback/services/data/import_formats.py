"""The formats that imports read, each with what it is for and a sample file that can be imported as it is."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

from feedback.errors import NotFound
from feedback.formats import parquet
from feedback.formats.annotations.item_kinds import COMPARISON, DEMONSTRATION
from feedback.formats.annotations.items import THUMB, AnnotationItem, Candidate, Item, LeftOut, Row
from feedback.formats.catalog import ALL, CSV, Format
from feedback.formats.json_lines import json_line
from feedback.formats.tables import spreadsheet

ROWS: tuple[Row, ...] = (
    {"id": "1", "question": "How do I reset the camera?", "answer_a": "Hold the button for five seconds.",
     "answer_b": "You cannot.", "better": "a", "annotator": "ben"},
    {"id": "2", "question": "Is the strap included?", "answer_a": "Yes.",
     "answer_b": "Yes, it lies in the lower tray.", "better": "b", "annotator": "chloe"},
    {"id": "3", "question": "Which batteries fit?", "answer_a": "Two AA batteries.",
     "answer_b": "Two batteries of size AA.", "better": "tie", "annotator": "ben"},
)  # fmt: skip
COLUMNS = tuple(ROWS[0])


@dataclass(frozen=True)
class ImportFormat:
    """A format as a page describes it.

    Attributes:
        name: in addresses.
        ends: the ending of its files.
        about: what it is for, and what a row holds, in sentences.
        cannot: what it has no place for.
    """

    name: str
    label: str
    ends: str
    about: str
    sample: Callable[[], bytes]
    cannot: tuple[str, ...] = ()

    @property
    def has_sample(self) -> bool:
        """Whether there is a sample; trees of conversations have none, since they are only written as imported."""
        return bool(self.sample())


def _separated(delimiter: str) -> bytes:
    lines = [delimiter.join(COLUMNS)]
    for row in ROWS:
        lines.append(delimiter.join(f'"{value}"' if delimiter in value else value for value in row.values()))
    return ("\n".join(lines) + "\n").encode()


def _csv() -> bytes:
    return _separated(",")


def _tsv() -> bytes:
    return _separated("\t")


def _xlsx() -> bytes:
    out = io.BytesIO()
    spreadsheet.write([COLUMNS, *(list(row.values()) for row in ROWS)], out)
    return out.getvalue()


def _json() -> bytes:
    return json.dumps(list(ROWS), indent=2).encode() + b"\n"


def _json_lines() -> bytes:
    return b"".join(json_line(row).encode() + b"\n" for row in ROWS)


def _parquet() -> bytes:
    return b"".join(parquet.chunks(ROWS, COLUMNS))


ANY = "Any columns: the wizard shows the first rows and asks what each column is."
TABLES = (
    ImportFormat("csv", "CSV", "csv", f"{ANY} Commas, semicolons or bars between the cells, in any encoding.", _csv),
    ImportFormat("tsv", "TSV", "tsv", f"{ANY} Tabs between the cells, in any encoding.", _tsv),
    ImportFormat("xlsx", "Spreadsheet (XLSX)", "xlsx", f"{ANY} The first sheet with rows is read.", _xlsx),
    ImportFormat("json", "JSON", "json", f"{ANY} A list of objects, or an object with such a list in it.", _json),
    ImportFormat("json-lines", "JSON Lines", "jsonl", f"{ANY} One object a line.", _json_lines),
    ImportFormat("parquet", "Parquet", "parquet", f"{ANY} Lists and objects keep their shape.", _parquet),
)


def _items() -> list[Item]:
    """A comparison, a demonstration and a thumb: every format has a place for one of them."""
    prompt = [{"role": "user", "content": "How do I reset the camera?"}]
    responses = [Candidate("Hold the button for five seconds.", "model-1"), Candidate("You cannot.", "model-2")]
    better = AnnotationItem("ben", {"outcome": "prefer", "choice": "a", "strength": 2}, source="sample")
    other = [{"role": "user", "content": "Is the strap included?"}]
    written = AnnotationItem("chloe", {"text": "Yes, it lies in the lower tray."}, source="sample")
    thumb = AnnotationItem("ben", {"up": True}, source="sample")
    return [
        Item(COMPARISON, prompt, responses, [better]),
        Item(DEMONSTRATION, other, [], [written]),
        Item(THUMB, prompt, responses[:1], [thumb]),
    ]


def _written(form: Format) -> bytes:
    """A sample of a format that needs no mapping: a comparison, or a demonstration where it takes no comparisons."""
    assert form.write is not None
    rows: list[Row] = []
    for item in _items():
        rows = rows or [row for row in form.write([item]) if not isinstance(row, LeftOut)]
    if form.container == CSV:
        lines = [",".join(rows[0])]
        for row in rows:
            lines.append(",".join('"' + str(value).replace('"', '""') + '"' for value in row.values()))
        return ("\n".join(lines) + "\n").encode()
    return b"".join(json_line(row).encode() + b"\n" for row in rows)


def _sample_of(form: Format) -> Callable[[], bytes]:
    def sample() -> bytes:
        return _written(form)

    return sample


def _natives() -> list[ImportFormat]:
    found = []
    for form in ALL:
        if form.read is None or form.write is None:
            continue
        ends = "csv" if form.container == CSV else "jsonl"
        about = "Recognized by its fields and read as it is; no mapping is needed."
        found.append(ImportFormat(form.name, form.label, ends, about, _sample_of(form), form.cannot))
    return found


FORMATS: tuple[ImportFormat, ...] = (*TABLES, *_natives())


def by_name(name: str) -> ImportFormat:
    """
    Raises:
        NotFound: imports read no such format.
    """
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        raise NotFound
    return found
