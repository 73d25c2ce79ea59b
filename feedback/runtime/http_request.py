"""Find where a request ends, with each received piece again, without parsing it.

Only lengths are read here: Content-Length, or the sizes of chunks. The parser of gunicorn decides what is valid. Where
it disagrees it finds too few or too many bytes, and the connection ends.
"""

import re
from enum import Enum

HEAD_BYTES = 64 * 1024  # request line and headers together
BODY_BYTES = 1024 * 1024  # a longer body is read by its view; the loop does not wait for it
CHUNK_LINE = 1024  # a chunk's size with its extensions
END_OF_HEAD = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
CODED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
EXPECTS = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue", re.IGNORECASE)


class Received(Enum):
    """How much of a request has arrived."""

    NOTHING = "nothing"
    SOME_OF_HEAD = "some of the head"
    SOME_OF_BODY = "some of the body"
    ALL = "all of it"
    LARGE = "a head whose body is long"
    TOO_LONG = "a head without an end"


class Incoming:
    """The bytes of one connection that were received and not yet processed."""

    __slots__ = ("_at", "_chunked", "_end", "_head", "data", "expects")

    def __init__(self) -> None:
        self.data = bytearray()
        self._forget()

    def _forget(self) -> None:
        self._head = 0  # where the body begins, once known
        self._end = 0  # where the request ends, once known
        self._at = 0  # how far the search has got
        self._chunked = False
        self.expects = False  # the client waits for 100 Continue before it sends the body

    def add(self, data: bytes) -> None:
        self.data += data

    def received(self) -> Received:
        """How much has arrived. Calling it again is cheap, because the search continues where it stopped."""
        data = self.data
        if not self._head:
            if not data:
                return Received.NOTHING
            found = data.find(END_OF_HEAD, max(0, self._at - 3))
            self._at = len(data)
            if found < 0 or found > HEAD_BYTES:
                if len(data) > HEAD_BYTES:
                    return Received.TOO_LONG
                return Received.SOME_OF_HEAD
            self._head = self._at = found + len(END_OF_HEAD)
            self._read_lengths(bytes(data[: self._head]))
        if self._chunked and not self._end:
            self._follow_chunks()
        if self._end:
            if self._end - self._head > BODY_BYTES:
                return Received.LARGE
            if len(data) >= self._end:
                return Received.ALL
        elif len(data) - self._head > BODY_BYTES:
            return Received.LARGE
        return Received.SOME_OF_BODY

    def take(self) -> bytes:
        """Take one whole request. Bytes after it stay for the next one."""
        taken = bytes(self.data[: self._end])
        del self.data[: self._end]
        self._forget()
        return taken

    def take_everything(self) -> bytes:
        """Take the received bytes of a large request."""
        taken = bytes(self.data)
        self.data.clear()
        self._forget()
        return taken

    def starts_with(self, *beginnings: bytes) -> bool:
        return self.data.startswith(beginnings)

    def _read_lengths(self, head: bytes) -> None:
        self.expects = EXPECTS.search(head) is not None
        if CODED.search(head):
            self._chunked = True
            return
        lengths = LENGTH.findall(head)
        self._end = self._head
        if lengths:
            self._end += int(lengths[0])

    def _follow_chunks(self) -> None:
        """Follow the chunks. Set the end when the last one and its trailers have arrived, or a size is invalid."""
        data = self.data
        while self._at <= len(data):
            line_end = data.find(b"\r\n", self._at)
            if line_end < 0:
                if len(data) - self._at > CHUNK_LINE:
                    self._end = len(data)  # no size, so the parser refuses it
                return
            size = _size_of(bytes(data[self._at : line_end]))
            if size is None:
                self._end = len(data)
                return
            if size == 0:
                self._find_trailers(line_end)
                return
            next_chunk = line_end + 2 + size + 2
            if next_chunk > len(data):
                return  # continue at this chunk when more of it has arrived
            self._at = next_chunk

    def _find_trailers(self, line_end: int) -> None:
        """The last chunk ends at the first empty line after its size."""
        found = self.data.find(END_OF_HEAD, line_end)
        if found >= 0:
            self._end = found + len(END_OF_HEAD)
        elif len(self.data) - line_end > HEAD_BYTES:
            self._end = len(self.data)


def _size_of(line: bytes) -> int | None:
    """The size in the first line of a chunk, or None if it is invalid."""
    digits = line.split(b";")[0].strip()
    if not SIZE.fullmatch(digits):
        return None
    return int(digits, 16)
