"""Files of documents as records: text, Markdown, HTML, JSON Lines, CSV and Parquet; in zip files and folders of them.

A record's value is a row: text, and name, source, kind and license where the file tells them. Nothing here trusts a
file: names that leave their folder are refused, as are archives within archives and what unpacks to too much.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from feedback.errors import NO_ROOM
from feedback.formats import reading
from feedback.formats.corpora.html_text import UnreadablePage, main_text
from feedback.formats.reading import MAX_RECORD, Record
from feedback.rules.json_types import JsonObject

TEXT, MARKDOWN, HTML, LINES, TABLE, PARQUET = "text", "markdown", "html", "jsonl", "csv", "parquet"
TYPES = {
    "txt": TEXT,
    "text": TEXT,
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "htm": HTML,
    "html": HTML,
    "xhtml": HTML,
    "jsonl": LINES,
    "ndjson": LINES,
    "json": LINES,
    "csv": TABLE,
    "parquet": PARQUET,
}
USUAL_KIND = {
    HTML: "website",
    LINES: "article",
    TABLE: "article",
    PARQUET: "article",
    TEXT: "book",
    MARKDOWN: "article",
}
TEXT_NAMES = ("text", "content", "document", "body")
FIELDS = {"source": ("source", "url", "meta_source"), "kind": ("kind", "document_kind"), "name": ("name", "title")}
LICENCES = ("licence", "license")
MOST_FILES = 200_000
CHUNK = 1 << 20

ReadParquet = Callable[[Path, int], Iterator[tuple[int, JsonObject]]]


class UnreadableRow(ValueError):
    """One row cannot be taken; `field` names where."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field, self.sentence = field, sentence


@dataclass(frozen=True)
class Row:
    """A document as its file tells it; empty where the file is silent."""

    text: str
    name: str = ""
    source: str = ""
    kind: str = ""
    licence: str = ""


def type_of(name: str) -> str:
    """The type of file by the end of its name; empty for one that cannot be read."""
    return TYPES.get(name.rpartition(".")[2].lower(), "") if "." in name else ""


def records(
    path: Path, kind: str, parquet: ReadParquet, *, header: list[str] | None, offset: int, line: int
) -> Iterator[Record]:
    """Records of one plain file from `offset` on (bytes; rows for Parquet), which is in line `line`.

    Raises:
        reading.UnreadableFile: the file as a whole cannot be read.
    """
    if kind == PARQUET:
        for number, row in parquet(path, offset):
            yield Record(number + 1, number + 1, number + 2, b"", value=row)
        return
    with path.open("rb") as file:
        if kind in (LINES, TABLE):
            container = reading.container_of(file)
            if kind == TABLE:
                yield from reading.table(file, header, offset, line)
            else:
                read = reading.array if container == "array" else reading.lines
                yield from read(file, offset, line)
        elif not offset:
            yield _whole(file, kind)


def row_of(value: object) -> Row:
    """A row of JSON Lines, CSV or Parquet, or a whole file's text.

    Raises:
        UnreadableRow: it has no text, or a field is no string.
    """
    if isinstance(value, Row):
        return value
    if isinstance(value, str):
        return Row(value)
    if not isinstance(value, dict):
        raise UnreadableRow("", "It must be an object with a text, or a string.")
    text = next((value[name] for name in TEXT_NAMES if isinstance(value.get(name), str)), None)
    kind = ""
    if text is None and isinstance(value.get("messages"), list):
        text, kind = _talk(value["messages"]), "conversation"
    if text is None:
        raise UnreadableRow("text", f"It has no text: one of {', '.join(TEXT_NAMES)} or messages is needed.")
    values = {field: _first(value, field, names) for field, names in FIELDS.items()}
    values["kind"] = values["kind"] or kind
    return Row(text, **values, licence=_first(value, "licence", LICENCES))


def members(path: Path) -> Iterator[tuple[str, str]]:
    """Names in a zip file, in its own order, each with what is wrong with it (empty: it can be read).

    Raises:
        reading.UnreadableFile: it is no zip file, or holds too many files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise reading.UnreadableFile(f"The zip file cannot be read: {error}.") from None
    if len(entries) > MOST_FILES:
        raise reading.UnreadableFile(
            f"The zip file contains {len(entries):,} files; at most {MOST_FILES:,} can be read."
        )
    for entry in entries:
        if entry.is_dir() or hidden(entry.filename):
            continue
        problem = ""
        if not safe(entry.filename):
            problem = "Its name leaves the folder it is in; it was not read."
        yield entry.filename, problem


def extract(path: Path, name: str, target: Path, limit: int) -> tuple[int, str]:
    """One file of a zip file, written to `target` up to `limit` bytes. Returns bytes written, and what was wrong."""
    written = 0
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as source, target.open("wb") as out:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > limit:
                    return written, "The zip file unpacks to far more than its size; reading stopped here."
                out.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        return written, f"It cannot be unpacked: {error}."
    return written, ""


def safe(name: str) -> bool:
    """Whether a name stays below the folder it is in."""
    plain = name.replace("\\", "/")
    return not (PurePosixPath(plain).is_absolute() or ".." in plain.split("/") or ":" in plain.split("/")[0])


def hidden(name: str) -> bool:
    """What systems leave in folders, and nobody wrote."""
    return any(map(_is_hidden, name.split("/")))


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


def below(folder: Path) -> list[str]:
    """Files below a folder, by name; links that lead out of it are left out."""
    root = folder.resolve()
    found = []
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_file() and path.resolve().is_relative_to(root) and not hidden(name):
            found.append(name)
    return sorted(found)[:MOST_FILES]


def _whole(file: BinaryIO, kind: str) -> Record:
    raw = file.read(MAX_RECORD + 1)
    record = Record(1, len(raw), 1, raw[:2000])
    if len(raw) > MAX_RECORD:
        record.error = f"It is larger than {MAX_RECORD // 2**20} MB. Cut it into several files."
        return record
    try:
        record.value = Row(main_text(raw) if kind == HTML else raw.decode("utf-8-sig"))
    except UnreadablePage as error:
        record.error = str(error)
    except UnicodeDecodeError as error:
        record.error = f"Byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8. Save the file as UTF-8."
    return record


def _first(value: JsonObject, field: str, names: tuple[str, ...]) -> str:
    for name in names:
        if (found := value.get(name)) not in (None, ""):
            if not isinstance(found, str):
                raise UnreadableRow(field, f"{name} must be text.")
            return found
    return ""


def _talk(messages: list[object]) -> str:
    """Turns as lines "role: content", which pretraining puts through the chat template."""
    lines = []
    for message in messages:
        one = message if isinstance(message, dict) else {}
        if one.get("role") not in ("system", "user", "assistant") or not isinstance(one.get("content"), str):
            raise UnreadableRow("messages", "Each message needs a role (system, user, assistant) and a content.")
        lines.append(f"{one['role']}: {one['content']}")
    return "\n".join(lines)
