"""The connection: it waits for its turn where a transaction begins, and gives it back where that ends."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

from feedback.db.sqlite import writer_turns

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
NO_TURN = nullcontext()


class Cursor(base.SQLiteCursorWrapper):
    """A statement that writes outside of a transaction is one: it takes a turn of its own."""

    wrapper: "DatabaseWrapper"

    def execute(self, query: str, params: Any = None) -> Any:
        with self.wrapper.turn_for(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self.wrapper.turn_for(query):
            return super().executemany(query, param_list)


class DatabaseWrapper(base.DatabaseWrapper):
    """Begins transactions in turn; everything else is Django's."""

    _turn: writer_turns.Turns | None = None

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = self.connection.cursor(factory=Cursor)
        cursor.wrapper = self
        return cursor

    def turn_for(self, query: str) -> AbstractContextManager[None]:
        if self._turn is not None or self.connection.in_transaction or not query.lstrip().startswith(WRITES):
            return NO_TURN
        return self._one_turn()

    @contextmanager
    def _one_turn(self) -> Iterator[None]:
        self._take_turn()
        try:
            yield
        finally:
            self._give_turn_back()

    def _start_transaction_under_autocommit(self) -> None:
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._give_turn_back()
            raise

    def _take_turn(self) -> None:
        """Raises OperationalError, as SQLite does, when it does not come."""
        name = str(self.settings_dict["NAME"])
        if ":memory:" in name or "mode=memory" in name:
            return
        line = writer_turns.of(Path(name))
        if not line.take(self.settings_dict["OPTIONS"].get("timeout", 5.0)):
            raise OperationalError("database is locked")
        self._turn = line

    def _commit(self) -> Any:
        try:
            return super()._commit()  # type: ignore[misc]
        finally:
            self._give_turn_back_if_over()

    def _rollback(self) -> Any:
        try:
            return super()._rollback()  # type: ignore[misc]
        finally:
            self._give_turn_back_if_over()

    def _close(self) -> Any:
        try:
            return super()._close()  # type: ignore[misc]
        finally:
            self._give_turn_back()

    def _give_turn_back_if_over(self) -> None:
        """A commit that failed leaves its transaction open, to be rolled back."""
        if self.connection is None or not self.connection.in_transaction:
            self._give_turn_back()

    def _give_turn_back(self) -> None:
        if self._turn is not None:
            line, self._turn = self._turn, None
            line.give_back()
