"""Faults of the moment, as errors that say when to come again: a locked, full or absent database, and a full disk."""

import sqlite3

from django.db import InterfaceError, OperationalError

from feedback.errors import NO_ROOM, Busy, DatabaseAway, DiskFull, DomainError

SQLITE_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SQLITE_FULL = sqlite3.SQLITE_FULL
POSTGRES_FULL = ("53100",)  # disk_full
POSTGRES_BUSY = ("40001", "40P01", "53300", "55P03", "57014")  # serialization, deadlock, connections, lock, timeout
LOCKED = "The database is busy, so nothing was saved."


def transient(error: BaseException) -> DomainError | None:
    """The error to answer with, or None: then it is no fault of the moment."""
    if isinstance(error, OSError):
        return DiskFull() if error.errno in NO_ROOM else None
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    cause = error.__cause__
    primary = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    state = getattr(cause, "sqlstate", None)
    text = str(error)
    if primary == SQLITE_FULL or state in POSTGRES_FULL or "disk is full" in text:
        return DiskFull()
    if primary in SQLITE_BUSY or state in POSTGRES_BUSY or "is locked" in text:
        return Busy(LOCKED, retry_after=5)
    if primary == sqlite3.SQLITE_ERROR and cause is not None and state is None:
        return None  # a statement that is wrong: a fault of ours
    return DatabaseAway()
