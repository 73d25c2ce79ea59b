"""Statements compiled once, for what every answer asks.

The ORM makes SQL out of Python anew for each call, which takes it ten times as long as the statement itself. Here an
ordinary queryset is compiled on first use and its SQL kept, so that columns, joins and conditions are still the ORM's
own and hold on both databases. What comes with each call is a `Param`; everything else is written into the statement,
so that planners see it (a partial index serves only where its condition is plain to see) and PostgreSQL can keep its
plan: there the parameters stay apart from the SQL.

With the setting `COMPILED_QUERIES=false` every statement goes through the ORM instead, to the same end: `tests/db`
holds both equal. That is the way out if an upgrade of Django or of a database breaks what is compiled here.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3.base import FORMAT_QMARK_REGEX
from django.db.models import sql
from django.db.models.base import ModelState
from django.db.models.expressions import Expression
from django.db.models.query import RelatedPopulator
from django.db.models.query_utils import DeferredAttribute
from django.db.models.sql.compiler import SQLCompiler

Row: TypeAlias = Any  # a model object; a tuple of columns where a queryset says `values_list`
Columns: TypeAlias = Sequence[Any]  # of one row, as the driver returns them
Rows: TypeAlias = "models.QuerySet[Any, Any]"
Compiled = TypeVar("Compiled")
UNIQUE_VIOLATIONS = ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")

_values: ContextVar[Mapping[str, object] | None] = ContextVar("values_of_parameters", default=None)


class Param(Expression):
    """What comes with each call, by name. `kind` is reported only where the ORM has to know it (in arithmetic)."""

    def __init__(self, name: str, kind: "models.Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field=kind)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        """The parameter itself while a statement is compiled; its value while the ORM runs one."""
        values = _values.get()
        return "%s", [self if values is None else _stored(connection, values[self.name])]


@contextmanager
def _through_the_orm(values: Mapping[str, object]) -> Iterator[None]:
    token = _values.set(values)
    try:
        yield
    finally:
        _values.reset(token)


class _Statement(Generic[Compiled]):
    """A statement by database, compiled when that is first used."""

    def __init__(self) -> None:
        self.compiled: dict[str, Compiled] = {}

    def compile(self) -> Compiled:
        raise NotImplementedError

    def of(self, database: BaseDatabaseWrapper) -> Compiled:
        found = self.compiled.get(database.vendor)
        if found is None:  # two threads may do it twice, to the same end
            found = self.compiled[database.vendor] = self.compile()
        return found


class _Selection(NamedTuple):
    """A SELECT, the names of what is given in their order, and what makes a row of what comes back.

    `converters` has, by the place of a column, the ORM's functions for its values, and its expression.
    """

    text: "_Text"
    names: list[str]
    converters: dict[int, tuple[list[Callable[..., object]], Expression]]
    make_row: Callable[[Columns], Row]


class _Change(NamedTuple):
    """An UPDATE or DELETE, once more as it returns keys, and the names of what is given in their order."""

    text: "_Text"
    returning: "_Text"
    names: list[str]


class CompiledSelect(_Statement[_Selection]):
    """Rows of a queryset: model objects, or tuples where it says `values_list`. The queryset is made on first use."""

    def __init__(self, make: Callable[[], Rows]) -> None:
        super().__init__()
        self.make = make

    def compile(self) -> _Selection:
        queryset = self.make()
        compiler = queryset.query.get_compiler(connection=connection)
        text, names = _plain(*compiler.as_sql())
        converters = compiler.get_converters([column for column, *_ in compiler.select])
        make_row: Callable[[Columns], Row] = tuple
        if queryset._fields is None:  # type: ignore[attr-defined]
            make_row = _model_maker(compiler, queryset.db)
        return _Selection(_Text(text), names, converters, make_row)

    def all(self, **given: object) -> list[Row]:
        if not settings.COMPILED_QUERIES:
            with _through_the_orm(given):
                return list(self.make().all())
        database = connections[DEFAULT_DB_ALIAS]
        text, names, converters, make_row = self.of(database)
        found = _run(database, text, _parameters(database, names, given))
        rows = []
        for row in found:
            if converters:
                row = list(row)
                for place, (converts, expression) in converters.items():
                    for convert in converts:
                        row[place] = convert(row[place], expression, database)
            rows.append(make_row(row))
        return rows

    def first(self, **given: object) -> Row | None:
        """The first row, or None. The queryset says how many it looks for."""
        found = self.all(**given)
        return found[0] if found else None


class CompiledUpdate(_Statement[_Change]):
    """An UPDATE of a queryset's rows. It returns how many there were; or, if requested, the key of one that was."""

    def __init__(self, make: Callable[[], Rows], **values: object) -> None:
        super().__init__()
        self.make, self.values = make, values

    def compile(self) -> _Change:
        text, names = _plain(*self.compiler().as_sql())
        return _Change(_Text(text), _Text(f"{text} RETURNING id"), names)

    def change(self, rows: Rows) -> int:
        """What the statement does to these rows, by the ORM; how many there were."""
        return rows.update(**self.values)

    def compiler(self) -> SQLCompiler:
        query: Any = self.make().query.chain(sql.UpdateQuery)
        query.add_update_values(self.values)
        compiler: SQLCompiler = query.get_compiler(connection=connection)
        return compiler

    def __call__(self, **given: object) -> int:
        if not settings.COMPILED_QUERIES:
            with _through_the_orm(given):
                return self.change(self.make())
        database = connections[DEFAULT_DB_ALIAS]
        text, _, names = self.of(database)
        return int(_run(database, text, _parameters(database, names, given), rows=False))

    def key(self, **given: object) -> int | None:
        """The key of the one row that was changed, or None."""
        if not settings.COMPILED_QUERIES:
            with _through_the_orm(given), transaction.atomic(savepoint=False):
                queryset = self.make()
                key: int | None = queryset.select_for_update().values_list("pk", flat=True).first()
                changed = key is not None and self.change(queryset.model._default_manager.filter(pk=key))
                return key if changed else None
        database = connections[DEFAULT_DB_ALIAS]
        _, text, names = self.of(database)
        found = _run(database, text, _parameters(database, names, given))
        return int(found[0][0]) if found else None


class CompiledDelete(CompiledUpdate):
    """A DELETE of a queryset's own rows; nothing may refer to them."""

    def change(self, rows: Rows) -> int:
        deleted, _ = rows.delete()
        return deleted

    def compiler(self) -> SQLCompiler:
        return self.make().query.chain(sql.DeleteQuery).get_compiler(connection=connection)


Fields: TypeAlias = "list[models.Field[Any, Any]]"

_inserts: dict[tuple[str, type[models.Model], bool], tuple["_Text", Fields]] = {}


def insert(row: models.Model, *, unless_there: bool = False) -> bool:
    """Store a new row and set its key. False, with `unless_there`, where a unique constraint has one like it."""
    if not settings.COMPILED_QUERIES:
        return _insert_through_the_orm(row, unless_there)
    database = connections[DEFAULT_DB_ALIAS]
    known = (database.vendor, type(row), unless_there)
    if known not in _inserts:
        _inserts[known] = _insertion(type(row), unless_there)
    text, fields = _inserts[known]
    values = [field.get_db_prep_save(field.pre_save(row, True), database) for field in fields]
    found = _run(database, text, values)
    if not found:
        return False
    row.pk, row._state.adding, row._state.db = found[0][0], False, database.alias
    return True


def _insert_through_the_orm(row: models.Model, unless_there: bool) -> bool:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        cause = error.__cause__
        code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        if not unless_there or code not in UNIQUE_VIOLATIONS:
            raise
        return False
    return True


def _insertion(model: type[models.Model], unless_there: bool) -> tuple["_Text", Fields]:
    quote = connection.ops.quote_name
    fields: Fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(map(quote, map(attrgetter("column"), fields)))
    places = ", ".join(["%s"] * len(fields))
    text = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})"
    if unless_there:
        text += " ON CONFLICT DO NOTHING"
    return _Text(f"{text} RETURNING id"), fields


# --- parts -----------------------------------------------------------------------------------------


class _Text:
    """A statement with Django's placeholders, and with SQLite's own."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.for_sqlite: str = FORMAT_QMARK_REGEX.sub("?", text).replace("%%", "%")


def _run(database: Any, statement: _Text, values: list[object], *, rows: bool = True) -> Any:
    """Its rows, or how many it changed. On PostgreSQL the values go apart from the SQL, so that plans are kept.

    Of what Django does around each statement this does what keeps transactions and errors right; the rest, which is for
    those who look on, where somebody does.
    """
    database.ensure_connection()
    watched = database.queries_logged or database.execute_wrappers
    sqlite = database.vendor == "sqlite"
    if sqlite and not watched:
        return _run_on_sqlite(database, statement, values, rows)
    cursor = database.cursor() if sqlite else _binding_cursor()(database.connection)
    if watched and not sqlite:
        cursor = database._prepare_cursor(cursor)
    database.validate_no_broken_transaction()
    with database.wrap_database_errors:
        cursor.execute(statement.text, values)
        return cursor.fetchall() if rows else cursor.rowcount


def _run_on_sqlite(database: Any, statement: _Text, values: list[object], rows: bool) -> Any:
    """By the driver's own cursor, in the turn that a writer takes (`feedback.db.sqlite`)."""
    database.validate_thread_sharing()
    database.validate_no_broken_transaction()
    with database.wrap_database_errors, database.turn_for(statement.for_sqlite):
        cursor = database.connection.execute(statement.for_sqlite, values)
        return cursor.fetchall() if rows else cursor.rowcount


@cache
def _binding_cursor() -> Any:
    from django.db.backends.postgresql.base import ServerBindingCursor

    class BindingCursor(ServerBindingCursor):
        def _convert_query(self, query: Any, params: Any = None) -> Any:
            self._query = super()._convert_query(query, params)  # type: ignore[misc]  # for who captures queries
            return self._query

    return BindingCursor


def _parameters(database: BaseDatabaseWrapper, names: list[str], given: Mapping[str, object]) -> list[object]:
    """What is given, in the order of a statement's names, as the database takes it."""
    return [_stored(database, given[name]) for name in names]


def _plain(text: str, params: Sequence[object]) -> tuple[str, list[str]]:
    """The statement with its constants written out, and the names of what is given, in their order."""
    parts = text.split("%s")
    assert len(parts) == len(params) + 1, text
    names, whole = [], parts[0]
    for param, part in zip(params, parts[1:], strict=True):
        if isinstance(param, Param):
            names.append(param.name)
            whole += f"%s{part}"
        else:
            whole += f"{_literal(param)}{part}"
    return whole, names


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''").replace("%", "%%") + "'"
    raise TypeError(f"{value!r} cannot be written into a statement; make it a Param.")


def _stored(database: BaseDatabaseWrapper, value: object) -> object:
    """A given value as the database takes it."""
    if isinstance(value, uuid.UUID) and not database.features.has_native_uuid_field:
        return value.hex
    if isinstance(value, datetime):
        return database.ops.adapt_datetimefield_value(value)
    if isinstance(value, dict | list):
        return database.ops.adapt_json_value(value, None)
    return value


Fill = Callable[[Columns, models.Model], None]


def _model_maker(compiler: SQLCompiler, db: str) -> Callable[[Columns], models.Model]:
    """What makes a model object with its related ones from a row, to the same end as Django's own ModelIterable."""
    info = compiler.klass_info
    start, end = info["select_fields"][0], info["select_fields"][-1] + 1
    names = [column.target.attname for column, *_ in compiler.select[start:end]]
    new = _maker(info["model"], names, db)
    fills = _fills(info, compiler.select, db)
    annotations = list((compiler.annotation_col_map or {}).items())

    def make(row: Columns) -> models.Model:
        found = new(row[start:end])
        for fill in fills:
            fill(row, found)
        for name, place in annotations:
            setattr(found, name, row[place])
        return found

    return make


def _maker(model: type[models.Model], names: list[str], db: str) -> Callable[[Columns], models.Model]:
    """What makes an object of a row's columns.

    `Model.__init__` sets one attribute after another, and looks for receivers of its signals. Where it would do
    nothing else the columns become the object's attributes at once.
    """
    if not _only_sets_attributes(model, names):
        return lambda values: model.from_db(db, names, values)

    def make(values: Columns) -> models.Model:
        found = model.__new__(model)
        state = ModelState()
        state.adding, state.db = False, db
        found.__dict__.update(zip(names, values, strict=True), _state=state)
        return found

    return make


def _only_sets_attributes(model: type[models.Model], names: list[str]) -> bool:
    """Whether making an object of these columns, by Django's own code, sets its attributes and does nothing else."""
    if model.__init__ is not models.Model.__init__:
        return False
    for ancestor in model.__mro__:
        if "from_db" in vars(ancestor) and ancestor is not models.Model:
            return False
    for signal in (models.signals.pre_init, models.signals.post_init):
        if signal.has_listeners(model):
            return False
    return all(isinstance(getattr(model, name), DeferredAttribute) for name in names)


def _fills(info: Any, select: Any, db: str) -> list[Fill]:
    """What sets the related objects of a row's object, as Django's RelatedPopulator does."""
    return [_fill(one, select, db) for one in info.get("related_klass_infos", [])]


def _fill(info: Any, select: Any, db: str) -> Fill:
    populator: Any = RelatedPopulator(info, select, db)  # type: ignore[call-arg]  # the stubs are ahead
    if populator.reorder_for_init:  # a child of another table's model: none of ours
        return populator.populate
    start, end, key = populator.cols_start, populator.cols_end, populator.pk_idx
    new, fills = _maker(populator.model_cls, populator.init_list, db), _fills(info, select, db)
    local, remote = populator.local_setter, populator.remote_setter

    def fill(row: Columns, whose: models.Model) -> None:
        if row[start + key] is None:
            local(whose, None)
            return
        found = new(row[start:end])
        for one in fills:
            one(row, found)
        local(whose, found)
        remote(found, whose)

    return fill
