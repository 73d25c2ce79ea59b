"""The schema of a database as plain sets, so that two ways to the same schema can be compared."""

from typing import Any

from django.db import connection

Schema = dict[str, list[str]]  # parts of each table, sorted: columns, constraints, indexes

# Whether a column may be NULL is told by the column; PostgreSQL 18 names that as a constraint of its own as well.
POSTGRES_PARTS = """
SELECT table_name, concat_ws(' ', 'column', column_name, data_type, character_maximum_length, column_default,
       is_nullable, is_identity)
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT conrelid::regclass::text, concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT tablename, concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = 'public'
"""
SQLITE_PARTS = "SELECT tbl_name, type, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'sqlite_%'"


def read_schema() -> Schema:
    """Columns, constraints and indexes of each table of the default database; the order of columns does not count."""
    schema: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(POSTGRES_PARTS)
            parts = cursor.fetchall()
        else:
            cursor.execute(SQLITE_PARTS)
            parts = [(table, part) for table, kind, sql in cursor.fetchall() for part in _parts_of(kind, sql)]
    for table, part in parts:
        schema.setdefault(table, []).append(part)
    return {table: sorted(found) for table, found in sorted(schema.items())}


def _parts_of(kind: str, sql: str) -> list[str]:
    """An index as it stands; a table as its columns and constraints, which its outermost commas divide."""
    if kind != "table":
        return [sql]
    parts, depth, start = [], 0, sql.index("(") + 1
    for place, sign in enumerate(sql):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if place >= start and ((sign == "," and depth == 1) or depth == 0):
            parts.append(" ".join(sql[start:place].split()))
            start = place + 1
        if place >= start and depth == 0:
            break
    return parts


def difference(one: Schema, other: Schema) -> dict[str, Any]:
    """What either has and the other lacks, by table; empty where they are equal."""
    found = {}
    for table in one.keys() | other.keys():
        here, there = set(one.get(table, [])), set(other.get(table, []))
        if here != there:
            found[table] = {"only the first": sorted(here - there), "only the second": sorted(there - here)}
    return found
