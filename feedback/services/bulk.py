"""Many rows in one statement: keys reserved beforehand, values as the database keeps them, no model objects.

For imports only, where objects would cost more than the database. What is written here has been checked by its caller;
columns that are not named take their field's default. To be called inside a transaction.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models

BINDINGS = 30_000  # values in one statement; SQLite takes 32,766


def reserve(model: type[models.Model], count: int) -> list[int]:
    """Primary keys that nobody else will get; on SQLite the lock of an immediate transaction sees to it."""
    if not count:
        return []
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count]
            )
            return [key for (key,) in cursor.fetchall()]
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        found = cursor.fetchone()
        start = (found[0] if found else 0) + 1
    return list(range(start, start + count))


class Writer:
    """Inserts rows of one table: `varying` columns come with each row, `constant` ones are the same in all."""

    def __init__(self, model: type[models.Model], varying: Sequence[str], **constant: Any) -> None:
        fields = {field.attname: field for field in model._meta.concrete_fields}
        unknown = (set(varying) | set(constant)) - set(fields)
        if unknown:
            raise ValueError(f"{model.__name__} has no column {sorted(unknown)[0]}.")
        self.table = model._meta.db_table
        self.varying = [fields[name] for name in varying]
        others = [field for name, field in fields.items() if name not in varying and not field.primary_key]
        self.columns = [str(field.column) for field in [*self.varying, *others]]
        self.adapters = [_adapter(field) for field in self.varying]
        self.rest = tuple(_adapter(field)(constant.get(field.attname, _default(field))) for field in others)

    def insert(self, rows: Iterable[Sequence[Any]]) -> None:
        adapters, rest = self.adapters, self.rest
        ready = [(*[adapt(value) for adapt, value in zip(adapters, row, strict=True)], *rest) for row in rows]
        if not ready:
            return
        names = ", ".join(connection.ops.quote_name(column) for column in self.columns)
        table = connection.ops.quote_name(self.table)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    for row in ready:
                        copy.write_row(row)
                return
            places = "(" + ", ".join(["%s"] * len(self.columns)) + ")"
            at_once = BINDINGS // len(self.columns)
            for start in range(0, len(ready), at_once):
                part = ready[start : start + at_once]
                flat = [value for row in part for value in row]
                cursor.execute(f"INSERT INTO {table} ({names}) VALUES {', '.join([places] * len(part))}", flat)


def _default(field: "models.Field[Any, Any]") -> Any:
    if getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False):
        return datetime.now(UTC)
    return field.get_default()


def _adapter(field: "models.Field[Any, Any]") -> Any:
    """What turns a value into what the database keeps."""
    if isinstance(field, models.JSONField):
        return _json
    on_sqlite = connection.vendor == "sqlite"
    if isinstance(field, models.UUIDField):
        return _hex if on_sqlite else _same
    if isinstance(field, models.DateTimeField):
        return _naive if on_sqlite else _same
    return _same


def _same(value: Any) -> Any:
    return value


def _hex(value: uuid.UUID | None) -> str | None:
    return None if value is None else value.hex


def _naive(value: datetime | None) -> str | None:
    return None if value is None else str(value.astimezone(UTC).replace(tzinfo=None))


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)
