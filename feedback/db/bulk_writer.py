"""Many rows in one statement: keys reserved beforehand, values as the database keeps them, no model objects.

For imports only, where objects would cost more than the database. What is written here has been checked by its caller;
columns that are not named take their field's default. To be called inside a transaction.
"""

import json
import os
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import chain, count
from operator import attrgetter
from typing import Any

from django.db import connection, models

_turns = count()
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def new_uuids(number: int) -> list[str]:
    """Public ids that begin with the time (RFC 9562, version 7): neighbors in a file are neighbors in every index.

    With ids by chance each row touches a page of its own in each index: 2,300 tasks a second went into a SQLite that
    held 90,000, and 12,000 with these.
    """
    now = f"{time.time_ns() // 1_000_000:012x}"
    head = f"{now[:8]}-{now[8:]}-7"
    ids = []
    for tail in struct.unpack(f"{number}Q", os.urandom(8 * number)):
        turn, variant = next(_turns) & 0xFFF, 0x8000 | tail >> 48 & 0x3FFF
        ids.append(f"{head}{turn:03x}-{variant:04x}-{tail & 0xFFFF_FFFF_FFFF:012x}")
    return ids


def as_json(value: object) -> str:
    """JSON as it is stored."""
    return _encode(value)


def as_time(value: datetime) -> Any:
    """A time as it is stored."""
    if connection.vendor == "sqlite":
        return str(value.astimezone(UTC).replace(tzinfo=None))
    return value


def digests_of(model: type[models.Model], project: int, external_ids: list[str]) -> dict[str, str]:
    """Hash of the content of each row that is there, by external id. The ids go as one value, however many.

    PostgreSQL takes them one by one: while a project fills, its statistics still say that it has a few rows, and it
    would read all of them rather than the index.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    # What annotators number for themselves stands apart from the project's ids.
    names = set(map(attrgetter("name"), model._meta.fields))
    ours = " AND external_owner_id IS NULL" if "external_owner" in names else ""
    if connection.vendor == "postgresql":
        statement = (
            "SELECT known.* FROM unnest(%s::text[]) AS wanted(id) CROSS JOIN LATERAL (SELECT external_id, body_hash"
            f" FROM {table} WHERE project_id = %s AND external_id = wanted.id{ours} LIMIT 1) AS known"
        )
        given: list[list[str] | str | int] = [external_ids, project]
    else:
        statement = (
            f"SELECT external_id, body_hash FROM {table} WHERE project_id = %s"
            f" AND external_id IN (SELECT value FROM json_each(%s)){ours}"
        )
        given = [project, as_json(external_ids)]
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return dict(cursor.fetchall())


def reserve(model: type[models.Model], count: int) -> list[int]:
    """Primary keys that nobody else will get; on SQLite the lock of an immediate transaction sees to it."""
    if not count:
        return []
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(  # OFFSET 0: the sequence is looked up once, not for every key
                "SELECT nextval(sequence) FROM (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS sequence OFFSET 0)"
                " AS found, generate_series(1, %s)",
                [table, count],
            )
            return list(chain.from_iterable(cursor.fetchall()))
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        found = cursor.fetchone()
        start = (found[0] if found else 0) + 1
    return list(range(start, start + count))


def check_keys(meanwhile: Callable[[], None]) -> None:
    """Have PostgreSQL look foreign keys up now instead of at the commit, and do something else until it has.

    That is a third of the time of an import, and the server needs nobody for it. `meanwhile` must not use the database.

    Raises:
        IntegrityError: a row points at one that is not there.
    """
    if connection.vendor != "postgresql":
        return
    with ThreadPoolExecutor(1) as pool:
        checked = pool.submit(
            connection.connection.execute, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
        )
        meanwhile()
        with connection.wrap_database_errors:
            checked.result()


def look_again(tables: Iterable[type[models.Model]]) -> None:
    """Have PostgreSQL count what is in the tables now, rather than some minute later.

    After 100,000 answered comparisons came in, an export that began at once ran eight times as long without.
    """
    if connection.vendor != "postgresql":
        return
    names = ", ".join(map(connection.ops.quote_name, map(attrgetter("_meta.db_table"), tables)))
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {names}")


class Writer:
    """Inserts rows of one table: `varying` columns come with each row, `constant` ones are the same in all.

    Varying values come as they are stored, JSON as text and ids of rows as text with dashes; constant ones as Python's.
    """

    def __init__(self, model: type[models.Model], varying: Sequence[str], **constant: object) -> None:
        fields = {field.attname: field for field in model._meta.concrete_fields}
        unknown = (set(varying) | set(constant)) - set(fields)
        if unknown:
            raise ValueError(f"{model.__name__} has no column {sorted(unknown)[0]}.")
        self.table = model._meta.db_table
        self.varying = [fields[name] for name in varying]
        self.others: list[models.Field[Any, Any]] = []
        self.constants: list[Any] = []
        for name, field in fields.items():
            if name not in varying and not field.primary_key:
                self.others.append(field)
                self.constants.append(_stored(field, constant.get(name, _default(field))))

    def insert(self, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        quote = connection.ops.quote_name
        columns = ", ".join(map(quote, map(attrgetter("column"), [*self.varying, *self.others])))
        table = quote(self.table)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                constants = self.constants
                copying = cursor.cursor.copy(f"COPY {table} ({columns}) FROM STDIN")
                with connection.wrap_database_errors, copying as copy:
                    for row in rows:
                        copy.write_row([*row, *constants])
                return
            places = ["replace(%s, '-', '')" if _is_uuid(field) else "%s" for field in self.varying]
            places += _literals(self.constants)
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(places)})", rows)


def _default(field: "models.Field[Any, Any]") -> object:
    if getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False):
        return datetime.now(UTC)
    return field.get_default()


def _stored(field: "models.Field[Any, Any]", value: object) -> object:
    """A constant as the database keeps it."""
    if value is None:
        return None
    if isinstance(field, models.JSONField):
        return as_json(value)
    if isinstance(field, models.DateTimeField):
        assert isinstance(value, datetime), field
        return as_time(value)
    return value


def _is_uuid(field: "models.Field[Any, Any]") -> bool:
    return isinstance(field, models.UUIDField)


def _literals(values: Sequence[Any]) -> list[str]:
    """Constants quoted by SQLite itself, to stand in the statement instead of being bound to every row."""
    if not values:
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(['quote(%s)'] * len(values))}", list(values))
        return [str(one).replace("%", "%%") for one in cursor.fetchone()]
