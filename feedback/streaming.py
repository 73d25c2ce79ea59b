"""Streaming of responses: one Redis stream per response, from the worker that writes it to the view that sends it.

The database row is the response. The stream holds only the pieces so far, and expires after a while. Without Redis,
readers get the whole text when it is written.
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

EXPIRE_SECONDS = 600
READER_SECONDS = 30  # after so long without a sign of a reader, nobody reads; long enough to reconnect
RETRY_SECONDS = 5.0  # after Redis did not answer, until it is tried again
PIECE, BEGUN, ENDED = b"piece", b"begun", b"ended"
BEGINNING = "0"


@dataclass(frozen=True)
class StreamEvent:
    """An event of one response: a piece of its text, or that writing has begun (again) or ended."""

    response: UUID
    piece: str = ""
    begun: bool = False
    ended: bool = False


class StreamWriter:
    """Writes the events of responses. It never raises if Redis does not answer."""

    def __init__(self) -> None:
        self.away_until = 0.0

    def begin(self, responses: list[UUID]) -> None:
        """The writing begins; pieces of an earlier attempt are deleted."""
        self._write({response: {BEGUN: b"1"} for response in responses}, anew=True)

    def write(self, pieces: Mapping[UUID, str]) -> None:
        """Add a piece of text to each response."""
        self._write({response: {PIECE: piece.encode()} for response, piece in pieces.items() if piece})

    def is_read(self, responses: list[UUID]) -> bool | None:
        """Whether one of them had a reader within the last READER_SECONDS; None if Redis does not answer."""
        if time.monotonic() < self.away_until:
            return None
        try:
            client = _client(settings.STREAM_URL)
            return bool(client.exists(*map(_reader_key, responses)))
        except redis.RedisError as error:
            log.warning("Redis does not answer; responses are written to their end: %s", error)
            self.away_until = time.monotonic() + RETRY_SECONDS
            return None

    def end(self, responses: list[UUID]) -> None:
        """The writing has ended; the rows hold the results."""
        self._write({response: {ENDED: b"1"} for response in responses})

    def _write(self, entries: Mapping[UUID, dict[bytes, bytes]], *, anew: bool = False) -> None:
        if not entries or time.monotonic() < self.away_until:
            return
        try:
            pipe = _client(settings.STREAM_URL).pipeline(transaction=False)
            for response, entry in entries.items():
                if anew:
                    pipe.delete(_key(response))
                pipe.xadd(_key(response), entry)
                if anew or ENDED in entry:
                    pipe.expire(_key(response), EXPIRE_SECONDS)
            pipe.execute()
        except redis.RedisError as error:
            log.warning("Redis does not answer; readers get the whole text when it is written: %s", error)
            self.away_until = time.monotonic() + RETRY_SECONDS


class StreamReader:
    """Reads the events of some responses from their beginning."""

    def __init__(self, responses: list[UUID]) -> None:
        self.by_key = {_key(response): response for response in responses}
        self.positions = dict.fromkeys(self.by_key, BEGINNING)
        self.announced_at = 0.0  # when the writer was last informed of this reader

    def read(self, seconds: float) -> list[StreamEvent] | None:
        """The events since the last call, waiting for at most so many seconds. None if Redis does not answer."""
        if not self.positions:
            return []
        try:
            client = _client(settings.STREAM_URL)
            self._announce(client)
            found = client.xread(self.positions, block=max(1, round(seconds * 1000))) or []
        except redis.RedisError as error:
            log.warning("Redis does not answer; reading rows instead: %s", error)
            return None
        events = []
        for raw_key, entries in found:
            key = raw_key.decode()
            for position, entry in entries:
                self.positions[key] = position.decode()
                piece = entry.get(PIECE, b"").decode()
                events.append(StreamEvent(self.by_key[key], piece, begun=BEGUN in entry, ended=ENDED in entry))
        return events

    def _announce(self, client: Any) -> None:
        """Inform the writer of this reader, a few times within READER_SECONDS."""
        if self.announced_at and time.monotonic() - self.announced_at < READER_SECONDS / 4:
            return
        pipe = client.pipeline(transaction=False)
        for key in self.positions:
            pipe.set(_reader_key(self.by_key[key]), b"1", ex=READER_SECONDS)
        pipe.execute()
        self.announced_at = time.monotonic()

    def forget(self, response: UUID) -> None:
        """Stop reading a response that has ended."""
        self.positions.pop(_key(response), None)


def _key(response: UUID) -> str:
    return f"response:{response}"


def _reader_key(response: UUID) -> str:
    return f"reader:{response}"


@lru_cache(maxsize=4)
def _client(url: str) -> Any:
    # A read blocks for a second at most, so a socket that is silent for longer is broken.
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=1)
