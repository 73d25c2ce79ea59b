"""Newest first, a page at a time, by cursor: page one and page ten thousand cost the same.

A cursor is the public id of the last row shown. When a list is filtered by something that no index holds, a page looks
at no more than `WINDOW` rows and then offers to look further back, so that a rare filter cannot read a whole table.
"""

import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

SIZE = 50
WINDOW = 20_000
COUNT_LIMIT = 100_000

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Page(Generic[M]):
    """`older` is the cursor of the next page; `looked_at` is set when the page ended at the window, not at the end."""

    rows: list[M]
    older: str | None
    first: bool
    looked_at: int | None = None


@dataclass(frozen=True)
class Count:
    """A number of rows, or that there are more than were counted."""

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
    """A page of `base`, newest first, or of `narrowed` (the same rows with filters that no index holds)."""
    after = _key(base, cursor)
    rows = base.order_by("-pk")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    if narrowed is None:
        found = list(rows[: size + 1])
        return Page(found[:size], _id(found[size - 1]) if len(found) > size else None, after is None)
    edge = rows.values_list("pk", flat=True)[window - 1 : window].first()
    wanted = narrowed.order_by("-pk")
    if after is not None:
        wanted = wanted.filter(pk__lt=after)
    if edge is not None:
        wanted = wanted.filter(pk__gte=edge)
    found = list(wanted[: size + 1])
    if len(found) > size:
        return Page(found[:size], _id(found[size - 1]), after is None)
    if edge is None:
        return Page(found, None, after is None)
    return Page(found, str(rows.values_list("public_id", flat=True).get(pk=edge)), after is None, looked_at=window)


def at_most(rows: QuerySet[Any], limit: int = COUNT_LIMIT) -> Count:
    """How many rows, counting no further than `limit`."""
    number = rows.order_by()[: limit + 1].count()
    return Count(min(number, limit), more=number > limit)


def _key(rows: QuerySet[Any], cursor: str | None) -> int | None:
    """The primary key behind a cursor; an unknown or broken cursor starts at the newest."""
    if not cursor:
        return None
    try:
        public_id = uuid.UUID(cursor)
    except ValueError:
        return None
    return rows.model._default_manager.filter(public_id=public_id).values_list("pk", flat=True).first()


def _id(row: Any) -> str:
    return str(row.public_id)
