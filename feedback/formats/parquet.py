"""Rows as Parquet, a group at a time: constant memory, into a file or straight into a reply.

pyarrow is not imported before it is needed: it takes half a second and 60 MB, which neither a web process nor a worker
should pay at its start. What has no type of its own here is JSON text.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

GROUP = 2000  # rows held at once
MORE = "_more"

Row = dict[str, Any]


class Parquet:
    """Takes rows; on `close` the file is whole.

    Args:
        target: a path, or anything with `write`.
        columns: those that rows can have. Without any, the first group's are the file's, and what later rows have
            beside them goes as JSON text into one more column.
    """

    def __init__(self, target: Any, columns: Sequence[str] = ()) -> None:
        self.target, self.columns = target, columns
        self.waiting: list[Row] = []
        self.schema: Any = None
        self.writer: Any = None

    def put(self, row: Row) -> None:
        self.waiting.append(row)
        if len(self.waiting) >= GROUP:
            self.write_group()

    def close(self) -> None:
        self.write_group()
        self.writer.close()

    def write_group(self) -> None:
        import pyarrow
        from pyarrow import parquet

        if self.writer is None:
            self.schema = self._schema(pyarrow)
            self.writer = parquet.ParquetWriter(self.target, self.schema, compression="zstd")
        rows = [{field.name: _cell(row.get(field.name), field.type) for field in self.schema} for row in self.waiting]
        if not self.columns:
            for row, values in zip(rows, self.waiting, strict=True):
                extra = {name: value for name, value in values.items() if name not in row}
                row[MORE] = json.dumps(extra, ensure_ascii=False) if extra else None
        self.writer.write_table(pyarrow.Table.from_pylist(rows, schema=self.schema))
        self.waiting.clear()

    def _schema(self, pyarrow: Any) -> Any:
        message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
        names = self.columns or list(dict.fromkeys(name for row in self.waiting for name in row))
        fields = []
        for name in names:
            values = [row[name] for row in self.waiting if row.get(name) is not None]
            kind = pyarrow.string()
            if values and all(isinstance(one, bool) for one in values):
                kind = pyarrow.bool_()
            elif values and all(_is_messages(one) for one in values):
                kind = pyarrow.list_(message)
            fields.append((name, kind))
        return pyarrow.schema(fields if self.columns else [*fields, (MORE, pyarrow.string())])


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


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and set(one) == {"role", "content"} for one in value)


def _cell(value: Any, kind: Any) -> Any:
    if value is None or str(kind) != "string" or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
