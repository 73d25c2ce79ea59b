"""Counts what each caller has used in the current minute, shared between the processes of the service.

Counted here and, in pieces, in the broker: a process adds what it counted when that is a twentieth of the limit. So a
large limit costs a call to the broker every few hundred requests, and a small one is exact. While the broker is away
each process goes by what it knows; nothing waits for it for longer than a moment.
"""

import logging
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings

log = logging.getLogger(__name__)

WINDOW = 60  # seconds
PART = 0.05  # of a limit that a process may keep to itself
AWAY_FOR = 5.0  # seconds for which a broker that did not answer is not requested again
MOST_KEYS = 20_000
SCALE = 1000  # the broker counts whole numbers


@dataclass
class Entry:
    window: int
    known: float = 0.0  # what all processes have spent, as far as this one was reported
    own: float = 0.0  # what it spent since


class Ledger:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.lock = threading.Lock()
        self.away_until = 0.0

    def spend(self, key: str, amount: float, limit: float, seconds: int = WINDOW) -> float:
        """Count `amount` for `key`. Returns 0, or past `limit` the number of seconds to wait.

        Args:
            amount: negative to give back.
            seconds: how long a window of this key lasts.
        """
        now = time.time()
        window = int(now // seconds)
        with self.lock:
            entry = self.entries.get(key)
            if entry is None or entry.window != window:
                if len(self.entries) >= MOST_KEYS:
                    self._forget()
                entry = self.entries[key] = Entry(window)
            entry.own += amount
            over = entry.known > limit
            reported = entry.own if abs(entry.own) >= limit * PART and (entry.own < 0 or not over) else 0.0
            if reported:
                entry.known, entry.own = entry.known + reported, 0.0
        if reported and (everybody := self._add(f"{key}:{window}", reported, seconds)) is not None:
            with self.lock:
                entry.known = everybody
        if entry.known + entry.own > limit:
            return seconds - now % seconds
        return 0.0

    def left_for(self, key: str, limit: float) -> float:
        """As `spend`, without spending."""
        return self.spend(key, 0.0, limit)

    def forget(self) -> None:
        """Forget all counts, as a new process does."""
        with self.lock:
            self.entries.clear()
        self.away_until = 0.0

    def _forget(self) -> None:
        """Forget the older half. The broker still has what was reported to it."""
        for key in list(self.entries)[: MOST_KEYS // 2]:
            del self.entries[key]

    def _add(self, key: str, amount: float, seconds: int) -> float | None:
        """The total of all processes, this amount included. None while the broker is away."""
        if time.monotonic() < self.away_until:
            return None
        name = f"allowance:{key}"
        try:
            pipe: Any = _client(settings.STREAM_URL).pipeline(transaction=False)
            pipe.incrby(name, round(amount * SCALE))
            pipe.expire(name, 2 * seconds)
            return float(pipe.execute()[0]) / SCALE
        except (redis.RedisError, OSError) as error:
            log.warning("allowances are counted by each process alone while the broker is away: %s", error)
            self.away_until = time.monotonic() + AWAY_FOR
            return None


@lru_cache(maxsize=4)
def _client(url: str) -> Any:
    return redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25)


ledger = Ledger()
