"""Cursor pagination of the pages, newest row first. Every page costs the same.

A cursor is the public id of the last row shown. With a filter that no index supports, a page examines at most `WINDOW`
rows and then offers to search further back, so that a rare filter cannot read a whole table.
"""

import uuid
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

from feedback.models.base import Row

SIZE = 50
WINDOW = 20_000
COUNT_LIMIT = 100_000

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page of rows.

    Attributes:
        older: the cursor of the next page, None on the last one.
        first: whether it is the first page.
        looked_at: how many rows were examined, if the page ended at the window and not at the end of the table.
    """

    rows: list[M]
    older: str | None
    first: bool
    looked_at: int | None = None


@dataclass(frozen=True)
class Count:
    """A number of rows, or a lower bound of it."""

    value: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.value:,}+" if self.more else f"{self.value:,}"

    def __bool__(self) -> bool:
        return self.value > 0


def page_of(
    base: QuerySet[M],
    cursor: str | None,
    *,
    narrowed: QuerySet[M] | None = None,
    size: int = SIZE,
    window: int = WINDOW,
) -> Page[M]:
    """A page of `base`, newest first, or of `narrowed`: the same rows with filters that no index supports."""
    after = _key(base, cursor)
    rows = base.order_by("-pk")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    if narrowed is None:
        found = list(rows[: size + 1])
        if len(found) > size:
            return Page(found[:size], _public_id(found[size - 1]), after is None)
        return Page(found, None, after is None)
    edge = rows.values_list("pk", flat=True)[window - 1 : window].first()
    wanted = narrowed.order_by("-pk")
    if after is not None:
        wanted = wanted.filter(pk__lt=after)
    if edge is not None:
        wanted = wanted.filter(pk__gte=edge)
    found = list(wanted[: size + 1])
    if len(found) > size:
        return Page(found[:size], _public_id(found[size - 1]), after is None)
    if edge is None:
        return Page(found, None, after is None)
    return Page(found, str(rows.values_list("public_id", flat=True).get(pk=edge)), after is None, looked_at=window)


def at_most(rows: QuerySet[M], limit: int = COUNT_LIMIT) -> Count:
    """The number of rows, counted up to `limit`."""
    number = rows.order_by()[: limit + 1].count()
    return Count(min(number, limit), more=number > limit)


def _key(rows: QuerySet[M], cursor: str | None) -> int | None:
    """The primary key of a cursor. An unknown or invalid cursor is None, which starts at the newest row."""
    if not cursor:
        return None
    try:
        public_id = uuid.UUID(cursor)
    except ValueError:
        return None
    key: int | None = rows.model._default_manager.filter(public_id=public_id).values_list("pk", flat=True).first()
    return key


def _public_id(row: Model) -> str:
    assert isinstance(row, Row)
    return str(row.public_id)
