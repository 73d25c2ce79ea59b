"""Rows as Parquet, a group at a time: constant memory, into a file or straight into a reply.

pyarrow is not imported before it is needed: it takes half a second and 60 MB, which neither a web process nor a worker
should pay at its start. What has no type of its own here is JSON text.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from feedback.rules.json_types import JsonObject, is_list_of

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

GROUP = 2000  # rows held at once
MORE = "_more"

Row = JsonObject


class Sink(Protocol):
    """What the file is written to."""

    def write(self, data: bytes, /) -> object: ...


class Parquet:
    """Takes rows; on `close` the file is whole.

    Args:
        target: a path, or anything with `write`.
        columns: those that rows can have. Without any, the first group's are the file's, and what later rows have
            beside them goes as JSON text into one more column.
    """

    def __init__(self, target: str | Path | Sink, columns: Sequence[str] = ()) -> None:
        self.target, self.columns = target, columns
        self.waiting: list[Row] = []
        self.writer: ParquetWriter | None = None

    def put(self, row: Row) -> None:
        self.waiting.append(row)
        if len(self.waiting) >= GROUP:
            self.write_group()

    def close(self) -> None:
        self.write_group().close()

    def write_group(self) -> "ParquetWriter":
        """Writes the rows that wait. The first group opens the file, since its columns may follow from them."""
        import pyarrow
        from pyarrow import parquet

        if self.writer is None:
            self.schema = self._schema()
            self.writer = parquet.ParquetWriter(self.target, self.schema, compression="zstd")
        rows = list(map(self._cells, self.waiting))
        self.writer.write_table(pyarrow.Table.from_pylist(rows, schema=self.schema))
        self.waiting.clear()
        return self.writer

    def _cells(self, row: Row) -> Row:
        """A value for each column of the file."""
        cells: Row = {}
        for field in self.schema:
            cells[field.name] = _cell(row.get(field.name), field.type)
        if not self.columns:
            extra = {name: value for name, value in row.items() if name not in cells}
            cells[MORE] = json.dumps(extra, ensure_ascii=False) if extra else None
        return cells

    def _schema(self) -> "pyarrow.Schema":
        import pyarrow

        message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
        names = self.columns or list(dict.fromkeys(chain.from_iterable(self.waiting)))
        fields = []
        for name in names:
            values = [row[name] for row in self.waiting if row.get(name) is not None]
            kind = pyarrow.string()
            if values and is_list_of(values, bool):
                kind = pyarrow.bool_()
            elif values and all(map(_is_messages, values)):
                kind = pyarrow.list_(message)
            fields.append((name, kind))
        if not self.columns:
            fields.append((MORE, pyarrow.string()))
        return pyarrow.schema(fields)


def chunks(rows: Iterable[Row], columns: Sequence[str] = ()) -> Iterator[bytes]:
    """The file in pieces as it is written, one for each group of rows."""
    drain = _Drain()
    sink = Parquet(drain, columns)
    for row in rows:
        sink.put(row)
        if not sink.waiting and (piece := drain.take()):
            yield piece
    sink.close()
    yield drain.take()


class _Drain:
    """What a writer writes to, emptied by whoever sends it on."""

    closed = False

    def __init__(self) -> None:
        self.held = bytearray()

    def write(self, data: bytes) -> int:
        self.held += data
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def take(self) -> bytes:
        taken = bytes(self.held)
        self.held.clear()
        return taken


def _is_messages(value: object) -> bool:
    return is_list_of(value, dict) and all(one.keys() == {"role", "content"} for one in value)


def _cell(value: object, kind: "pyarrow.DataType") -> object:
    if value is None or str(kind) != "string" or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
