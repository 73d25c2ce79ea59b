"""Rejected rows of a table as a table again, with the reason in a column: to be repaired and imported once more."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from feedback.formats.annotations.touchstone_csv import guarded
from feedback.formats.tables.fields import REJECTED_BECAUSE


def as_csv(path: Path, columns: Sequence[str]) -> Iterator[bytes] | None:
    """The file in pieces; None where the rows have no cells, so that JSON Lines is all there is.

    Args:
        path: the rejected rows of an import, as JSON Lines.
        columns: names of the table's columns.
    """
    with path.open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    if not columns or "cells" not in first:
        return None
    return _written(path, columns)


def _written(path: Path, columns: Sequence[str]) -> Iterator[bytes]:
    out = io.StringIO(newline="")
    table = csv.writer(out)
    own = [column for column in columns if column != REJECTED_BECAUSE]
    table.writerow([*own, REJECTED_BECAUSE])
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            cells = row.get("cells") or {}
            values = [_text(cells.get(column)) for column in own]
            table.writerow([*map(guarded, values), f"line {row['line']}: {row['error']}"])
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
