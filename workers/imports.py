"""Jobs that bring files in and write files out. Both may be killed anywhere: their services say how they go on."""

import json
from pathlib import Path
from typing import Any

from feedback.errors import InvalidTransition
from feedback.services import exports, imports
from feedback.services.imports import Cursor
from workers.work import Lost, Outcome, Work

GROUP = 2000  # rows of Parquet held at once


def bring_in(work: Work) -> Outcome:
    """Bring in the file that the payload names."""
    _progress(work, Cursor(**work.job.result) if work.job.result else Cursor())
    cursor = None
    try:
        for cursor in imports.bring_in(work.job):
            _progress(work, cursor)
            if not cursor.done:
                work.check()
    except InvalidTransition:
        raise Lost from None
    work.job.refresh_from_db(fields=["result"])
    return Outcome(work.job.result)


def write_out(work: Work) -> Outcome:
    """Write the file that the payload describes."""

    def tell(rows: int) -> None:
        work.say(f"{rows:,} rows written")
        work.check()

    work.say("reading the first rows")
    return Outcome(exports.write(work.job, Parquet, tell))


def _progress(work: Work, cursor: Cursor) -> None:
    text = f"{cursor.read:,} rows read: {cursor.new:,} new, {cursor.before:,} there before, {cursor.rejected:,} refused"
    work.say(text, step=cursor.offset // 1024, steps=max(1, cursor.size // 1024))


class Parquet:
    """Rows as Parquet, a group at a time. The first group's columns are the file's; what is an object is JSON text."""

    def __init__(self, path: Path) -> None:
        self.path, self.waiting, self.writer = path, [], None  # type: Path, list[dict[str, Any]], Any
        self.columns: list[str] = []
        self.kept: Any = None

    def put(self, row: dict[str, Any]) -> None:
        self.waiting.append(row)
        if len(self.waiting) >= GROUP:
            self._write()

    def close(self) -> None:
        self._write()
        self.writer.close()

    def _write(self) -> None:
        import pyarrow  # not before it is needed: it takes half a second and 60 MB
        from pyarrow import parquet

        if self.writer is None:
            self.kept = _schema(self.waiting, pyarrow)
            self.writer = parquet.ParquetWriter(self.path, self.kept, compression="zstd")
        rows = [{field.name: _cell(row.get(field.name), field.type) for field in self.kept} for row in self.waiting]
        for row, told in zip(rows, self.waiting, strict=True):
            extra = {name: value for name, value in told.items() if name not in row}
            row[EXTRA] = json.dumps(extra, ensure_ascii=False) if extra else None
        self.writer.write_table(pyarrow.Table.from_pylist(rows, schema=self.kept))
        self.waiting.clear()


EXTRA = "_more"


def _schema(rows: list[dict[str, Any]], pyarrow: Any) -> Any:
    """Text, booleans, numbers and messages have types of their own; anything else, and later columns, are JSON text."""
    message = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
    fields = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name) is not None]
        kind = pyarrow.string()
        if values and all(isinstance(one, bool) for one in values):
            kind = pyarrow.bool_()
        elif values and all(_is_messages(one) for one in values):
            kind = message
        fields.append((name, kind))
    return pyarrow.schema([*fields, (EXTRA, pyarrow.string())])


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and set(one) == {"role", "content"} for one in value)


def _cell(value: Any, kind: Any) -> Any:
    if value is None or str(kind) != "string" or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
