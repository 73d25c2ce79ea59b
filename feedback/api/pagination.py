"""Cursor pagination: new rows do not shift the pages, and every page costs the same."""

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

LARGEST_KEY = 2**63 - 1


class NewestFirst(CursorPagination):
    ordering = "-id"
    page_size = 50
    max_page_size = 500
    page_size_query_param = "page_size"

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor, whose position must be the key of a row. The base class would pass any text to the database."""
        cursor = super().decode_cursor(request)
        if cursor is None or cursor.position is None:
            return cursor
        position = str(cursor.position)
        if not (position.isascii() and position.isdecimal() and len(position) < 20 and int(position) <= LARGEST_KEY):
            raise NotFound(self.invalid_cursor_message)
        return cursor
