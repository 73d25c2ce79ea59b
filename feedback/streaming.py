"""Texts on their way: one Redis stream a response, from the worker that writes it to the door where somebody reads it.

The row in the database is the response; what lies here is only how far it has come, and is forgotten after a while. A
relay that is away costs the reader the typing, never the text.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import redis
from django.conf import settings

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = 600  # seconds
GONE_AFTER = 30  # seconds without a reader after which nobody listens any more: time to connect again
AWAY_FOR = 5.0  # seconds for which a relay that did not answer is not requested again
PIECE, BEGUN, ENDED = b"piece", b"begun", b"ended"
BEGINNING = "0"


@dataclass(frozen=True)
class StreamEvent:
    """What came of one response: a piece of its text, or that it is begun (again, from nothing) or ended."""

    response: UUID
    piece: str = ""
    begun: bool = False
    ended: bool = False


class StreamWriter:
    """Writes what responses go on with. Never raises for a relay that is away."""

    def __init__(self) -> None:
        self.away_until = 0.0

    def begin(self, responses: list[UUID]) -> None:
        """These are written from nothing, now; what an earlier attempt left is void."""
        self._write({response: {BEGUN: b"1"} for response in responses}, anew=True)

    def go_on(self, pieces: Mapping[UUID, str]) -> None:
        self._write({response: {PIECE: piece.encode()} for response, piece in pieces.items() if piece})

    def is_read(self, responses: list[UUID]) -> bool | None:
        """Whether somebody has listened to one of them within the last GONE_AFTER seconds; None: the relay is away."""
        if time.monotonic() < self.away_until:
            return None
        try:
            client: Any = _client(settings.STREAM_URL)
            return bool(client.exists(*(_reader_key(response) for response in responses)))
        except redis.RedisError as error:
            log.warning("the relay is away; responses are written to their end: %s", error)
            self.away_until = time.monotonic() + AWAY_FOR
            return None

    def end(self, responses: list[UUID]) -> None:
        """Their rows say what became of them."""
        self._write({response: {ENDED: b"1"} for response in responses})

    def _write(self, entries: Mapping[UUID, dict[bytes, bytes]], *, anew: bool = False) -> None:
        if not entries or time.monotonic() < self.away_until:
            return
        try:
            pipe: Any = _client(settings.STREAM_URL).pipeline(transaction=False)
            for response, entry in entries.items():
                if anew:
                    pipe.delete(_key(response))
                pipe.xadd(_key(response), entry)
                if anew or ENDED in entry:
                    pipe.expire(_key(response), FORGOTTEN_AFTER)
            pipe.execute()
        except redis.RedisError as error:
            log.warning("the relay is away; readers get the whole text when it is written: %s", error)
            self.away_until = time.monotonic() + AWAY_FOR


class StreamReader:
    """Hears some responses from their beginning on."""

    def __init__(self, responses: list[UUID]) -> None:
        self.heard = {_key(response): BEGINNING for response in responses}
        self.by_key = {_key(response): response for response in responses}
        self.seen_at = 0.0  # when the writer was last reported that somebody listens

    def hear(self, seconds: float) -> list[StreamEvent] | None:
        """What came since the last call, waiting up to so many seconds for it. None when the relay is away."""
        if not self.heard:
            return []
        try:
            client: Any = _client(settings.STREAM_URL)
            self._be_seen(client)
            found = client.xread(self.heard, block=max(1, round(seconds * 1000))) or []
        except redis.RedisError as error:
            log.warning("the relay is away; reading rows instead: %s", error)
            return None
        events = []
        for key, entries in found:
            for place, entry in entries:
                self.heard[key.decode()] = place.decode()
                events.append(
                    StreamEvent(
                        self.by_key[key.decode()],
                        piece=entry.get(PIECE, b"").decode(),
                        begun=BEGUN in entry,
                        ended=ENDED in entry,
                    )
                )
        return events

    def _be_seen(self, client: Any) -> None:
        """Tell the writer that somebody listens: a few times in GONE_AFTER seconds."""
        if self.seen_at and time.monotonic() - self.seen_at < GONE_AFTER / 4:
            return
        pipe = client.pipeline(transaction=False)
        for key in self.heard:
            pipe.set(_reader_key(self.by_key[key]), b"1", ex=GONE_AFTER)
        pipe.execute()
        self.seen_at = time.monotonic()

    def forget(self, response: UUID) -> None:
        """It has ended; nothing more is awaited of it."""
        self.heard.pop(_key(response), None)


def _key(response: UUID) -> str:
    return f"response:{response}"


def _reader_key(response: UUID) -> str:
    return f"reader:{response}"


@lru_cache(maxsize=4)
def _client(url: str) -> Any:
    # Reading blocks for a second at most, so a socket that is silent for longer is dead.
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=1)
