"""Whose turn it is to write: SQLite has one writer, and these wait for it in line.

SQLite itself has no line: who finds it busy sleeps and looks again, longer each time (up to a tenth of a second), while
whoever comes later may be lucky. With many writers some wait for seconds. Here the threads of a process stand in line,
and its first one stands in line with those of other processes: a lock on one file is the turn, a lock on another is for
whoever comes next, so that a process that has just had a turn cannot take the next one before the one that waits.

A turn is a courtesy. SQLite's own lock is what keeps writers apart, so whoever writes without one does no harm.
"""

import fcntl
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

LOOK_EVERY = 0.0005  # seconds between looks at another process's lock


class Turns:
    """The line of one process for one database file."""

    def __init__(self, database: Path) -> None:
        self.paths = [database.with_name(f"{database.name}-{name}") for name in ("turn", "next")]
        self.lock = threading.Lock()
        self.line: deque[threading.Lock] = deque()
        self.taken = False
        self.files: tuple[int, int] | None = None  # the turn's, and that of whoever comes next

    def take(self, seconds: float) -> bool:
        """Wait for a turn, at most so long; whether it came."""
        deadline = time.monotonic() + seconds
        if not self._stand_in_line(seconds):
            return False
        try:
            turn, following = self._opened()
            came = _lock(following, deadline) and _lock(turn, deadline)
            fcntl.flock(following, fcntl.LOCK_UN)
        except OSError:  # no file can be opened, or locked where it lies: SQLite keeps order alone then
            came = True
        if not came:
            self._next()
        return came

    def give_back(self) -> None:
        if self.files is not None:
            with suppress(OSError):
                fcntl.flock(self.files[0], fcntl.LOCK_UN)
        self._next()

    def _stand_in_line(self, seconds: float) -> bool:
        """Until this thread is the first of its process."""
        with self.lock:
            if not self.taken:
                self.taken = True
                return True
            mine = threading.Lock()
            mine.acquire()  # whoever is before releases it
            self.line.append(mine)
        if mine.acquire(timeout=seconds):
            return True
        with self.lock:
            if mine in self.line:
                self.line.remove(mine)
                return False
        return True  # it was handed over at this very moment

    def _next(self) -> None:
        with self.lock:
            if self.line:
                self.line.popleft().release()
            else:
                self.taken = False

    def _opened(self) -> tuple[int, int]:
        """Called by the first in line only."""
        if self.files is None:
            turn, following = (os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in self.paths)
            self.files = (turn, following)
        return self.files


def _lock(file: int, deadline: float) -> bool:
    """Lock it, looking again and again until then."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_EVERY)


_lines: dict[Path, Turns] = {}
_making = threading.Lock()


def of(database: Path) -> Turns:
    line = _lines.get(database)
    if line is None:
        with _making:
            line = _lines.setdefault(database, Turns(database))
    return line


def _begin_anew() -> None:
    """In a child after a fork: the parent's file, and with it its turn, is the parent's."""
    global _making
    _making = threading.Lock()
    for line in _lines.values():
        for file in line.files or ():
            os.close(file)
    _lines.clear()


os.register_at_fork(after_in_child=_begin_anew)
