"""Statements compiled once, for what every answer asks.

The ORM makes SQL out of Python anew for each call, which takes it ten times as long as the statement itself. Here an
ordinary queryset is compiled on first use and its SQL kept, so that columns, joins and conditions are still the ORM's
own and hold on both databases. What comes with each call is a `Given`; everything else is written into the statement,
so that planners see it (a partial index serves only where its condition is plain to see) and PostgreSQL can keep its
plan: there the parameters stay apart from the SQL.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.models import sql
from django.db.models.expressions import Expression
from django.db.models.query import get_related_populators

Row = Any


class Given(Expression):
    """What comes with each call, by name. `kind` is told only where the ORM has to know it (in arithmetic)."""

    def __init__(self, name: str, kind: "models.Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field=kind)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


class _Statement:
    """SQL by database, with the names of what is given in their order."""

    def __init__(self) -> None:
        self.compiled: dict[str, Any] = {}

    def compile(self) -> Any:
        raise NotImplementedError

    def of(self, database: Any) -> Any:
        found = self.compiled.get(database.vendor)
        if found is None:  # two threads may do it twice, to the same end
            found = self.compiled[database.vendor] = self.compile()
        return found


class Select(_Statement):
    """Rows of a queryset: model objects, or tuples where it says `values_list`. The queryset is made on first use."""

    def __init__(self, make: Callable[[], "models.QuerySet[Any, Any]"]) -> None:
        super().__init__()
        self.make = make

    def compile(self) -> tuple[str, list[str], list[Any], Callable[[Sequence[Any]], Row]]:
        queryset = self.make()
        compiler = queryset.query.get_compiler(connection=connection)
        text, names = _plain(*compiler.as_sql())
        converters = compiler.get_converters([column[0] for column in compiler.select])
        make_row = _model_maker(compiler, queryset.db) if queryset._fields is None else tuple  # type: ignore[attr-defined]
        return text, names, [(place, *how) for place, how in converters.items()], make_row

    def all(self, **given: Any) -> list[Row]:
        database = connections[DEFAULT_DB_ALIAS]
        text, names, converters, make_row = self.of(database)
        found = _run(database, text, [_stored(database, given[name]) for name in names]).fetchall()
        rows = []
        for row in found:
            if converters:
                row = list(row)
                for place, how, expression in converters:
                    for convert in how:
                        row[place] = convert(row[place], expression, database)
            rows.append(make_row(row))
        return rows

    def first(self, **given: Any) -> Row | None:
        """The first row, or None. The queryset says how many it looks for."""
        found = self.all(**given)
        return found[0] if found else None


class Update(_Statement):
    """An UPDATE of a queryset's rows. It returns how many there were; or, if asked, the key of one that was."""

    def __init__(self, make: Callable[[], "models.QuerySet[Any, Any]"], **values: Any) -> None:
        super().__init__()
        self.make, self.values = make, values

    def compile(self) -> tuple[str, list[str]]:
        query: Any = self.make().query.chain(sql.UpdateQuery)
        query.add_update_values(self.values)
        return _plain(*query.get_compiler(connection=connection).as_sql())

    def __call__(self, **given: Any) -> int:
        database = connections[DEFAULT_DB_ALIAS]
        text, names = self.of(database)
        return int(_run(database, text, [_stored(database, given[name]) for name in names]).rowcount)

    def key(self, **given: Any) -> int | None:
        """The key of the one row that was changed, or None."""
        database = connections[DEFAULT_DB_ALIAS]
        text, names = self.of(database)
        found = _run(database, f"{text} RETURNING id", [_stored(database, given[name]) for name in names]).fetchall()
        return int(found[0][0]) if found else None


class Delete(Update):
    """A DELETE of a queryset's own rows; nothing may refer to them."""

    def compile(self) -> tuple[str, list[str]]:
        query = self.make().query.chain(sql.DeleteQuery)
        return _plain(*query.get_compiler(connection=connection).as_sql())


_inserts: dict[tuple[str, type[models.Model], bool], tuple[str, list[Any]]] = {}


def insert(row: models.Model, *, unless_there: bool = False) -> bool:
    """Store a new row and set its key. False, with `unless_there`, where a unique constraint has one like it."""
    database = connections[DEFAULT_DB_ALIAS]
    known = (database.vendor, type(row), unless_there)
    if known not in _inserts:
        _inserts[known] = _insertion(type(row), unless_there)
    text, fields = _inserts[known]
    values = [field.get_db_prep_save(field.pre_save(row, True), database) for field in fields]
    found = _run(database, text, values).fetchall()
    if not found:
        return False
    row.pk, row._state.adding, row._state.db = found[0][0], False, database.alias
    return True


def _insertion(model: type[models.Model], unless_there: bool) -> tuple[str, list[Any]]:
    quote = connection.ops.quote_name
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    text = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})"
    return text + (" ON CONFLICT DO NOTHING" if unless_there else "") + " RETURNING id", fields


# --- parts -----------------------------------------------------------------------------------------


def _run(database: Any, text: str, values: list[Any]) -> Any:
    """A cursor that has executed the statement. On PostgreSQL the values go apart from the SQL, so that plans are kept.

    Of what Django does around each statement this does what keeps transactions and errors right; the rest, which is for
    those who look on, where somebody does.
    """
    database.ensure_connection()
    if database.vendor == "postgresql":
        cursor = _binding_cursor()(database.connection)
        if database.queries_logged or database.execute_wrappers:
            cursor = database._prepare_cursor(cursor)
    else:
        cursor = database.cursor()
    database.validate_no_broken_transaction()
    with database.wrap_database_errors:
        cursor.execute(text, values)
    return cursor


@cache
def _binding_cursor() -> Any:
    from django.db.backends.postgresql.base import ServerBindingCursor

    class BindingCursor(ServerBindingCursor):
        def _convert_query(self, query: Any, params: Any = None) -> Any:
            self._query = super()._convert_query(query, params)  # type: ignore[misc]  # for who captures queries
            return self._query

    return BindingCursor


def _plain(text: str, params: Sequence[Any]) -> tuple[str, list[str]]:
    """The statement with its constants written out, and the names of what is given, in their order."""
    parts = text.split("%s")
    assert len(parts) == len(params) + 1, text
    names, whole = [], parts[0]
    for param, part in zip(params, parts[1:], strict=True):
        if isinstance(param, Given):
            names.append(param.name)
        whole += ("%s" if isinstance(param, Given) else _literal(param)) + part
    return whole, names


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''").replace("%", "%%") + "'"
    raise TypeError(f"{value!r} cannot be written into a statement; make it a Given.")


def _stored(database: Any, value: Any) -> Any:
    """A given value as the database takes it."""
    if isinstance(value, uuid.UUID) and not database.features.has_native_uuid_field:
        return value.hex
    if isinstance(value, datetime):
        return database.ops.adapt_datetimefield_value(value)
    if isinstance(value, dict | list):
        return database.ops.adapt_json_value(value, None)
    return value


def _model_maker(compiler: Any, db: str) -> Callable[[Sequence[Any]], models.Model]:
    """What makes a model object with its related ones from a row, as Django's own ModelIterable does."""
    info = compiler.klass_info
    start, end = info["select_fields"][0], info["select_fields"][-1] + 1
    names = [column[0].target.attname for column in compiler.select[start:end]]
    populators = get_related_populators(info, compiler.select, db)  # type: ignore[call-arg]
    annotations = list((compiler.annotation_col_map or {}).items())

    def make(row: Sequence[Any]) -> models.Model:
        found: models.Model = info["model"].from_db(db, names, row[start:end])
        for populator in populators:
            populator.populate(row, found)
        for name, place in annotations:
            setattr(found, name, row[place])
        return found

    return make
