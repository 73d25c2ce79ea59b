"""Where a request ends: what has come of it so far is looked at again with each piece, without parsing it.

Only lengths are read here (Content-Length, or the sizes of chunks). The parser that gunicorn brings decides what is
right: where it disagrees it finds too little or too much, and the connection ends.
"""

import re
from enum import Enum

HEAD_BYTES = 64 * 1024  # request line and headers together
BODY_BYTES = 1024 * 1024  # a longer body is read by whoever takes it in, not waited for here
CHUNK_LINE = 1024  # a chunk's size with its extensions
END_OF_HEAD = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
CODED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
EXPECTS = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue", re.IGNORECASE)


class Came(Enum):
    """How much of a request is there."""

    NOTHING = "nothing"
    SOME_OF_HEAD = "some of the head"
    SOME_OF_BODY = "some of the body"
    ALL = "all of it"
    LARGE = "a head whose body is long"
    TOO_LONG = "a head without an end"


class Incoming:
    """The bytes that came on one connection and were not taken yet."""

    __slots__ = ("_at", "_chunked", "_end", "_head", "data", "expects")

    def __init__(self) -> None:
        self.data = bytearray()
        self._forget()

    def _forget(self) -> None:
        self._head = 0  # where the body begins, once that is known
        self._end = 0  # where the request ends, once that is known
        self._at = 0  # how far the search has come
        self._chunked = False
        self.expects = False  # the client waits for 100 Continue before it sends the body

    def add(self, data: bytes) -> None:
        self.data += data

    def came(self) -> Came:
        """Look at what is there. Cheap to call again: the search goes on where it stood."""
        data = self.data
        if not self._head:
            if not data:
                return Came.NOTHING
            found = data.find(END_OF_HEAD, max(0, self._at - 3))
            self._at = len(data)
            if found < 0 or found > HEAD_BYTES:
                return Came.TOO_LONG if len(data) > HEAD_BYTES else Came.SOME_OF_HEAD
            self._head = self._at = found + len(END_OF_HEAD)
            self._read_lengths(bytes(data[: self._head]))
        if self._chunked and not self._end:
            self._follow_chunks()
        if self._end:
            if self._end - self._head > BODY_BYTES:
                return Came.LARGE
            return Came.ALL if len(data) >= self._end else Came.SOME_OF_BODY
        return Came.LARGE if len(data) - self._head > BODY_BYTES else Came.SOME_OF_BODY

    def take(self) -> bytes:
        """One whole request. What was sent behind it stays for the next."""
        taken = bytes(self.data[: self._end])
        del self.data[: self._end]
        self._forget()
        return taken

    def take_everything(self) -> bytes:
        """What is there of a large request."""
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
        self._end = self._head + (int(lengths[0]) if lengths else 0)

    def _follow_chunks(self) -> None:
        """Go from chunk to chunk; set the end when the last one and its trailers are there, or none can be read."""
        data = self.data
        while self._at <= len(data):
            line_end = data.find(b"\r\n", self._at)
            if line_end < 0:
                if len(data) - self._at > CHUNK_LINE:
                    self._end = len(data)  # no size: the parser refuses it
                return
            size = _size_of(bytes(data[self._at : line_end]))
            if size is None:
                self._end = len(data)
                return
            if size == 0:
                self._find_trailers(line_end)
                return
            following = line_end + 2 + size + 2
            if following > len(data):
                return  # look at this chunk again when more of it is there
            self._at = following

    def _find_trailers(self, line_end: int) -> None:
        """The end of the last chunk is the first empty line from its size on."""
        found = self.data.find(END_OF_HEAD, line_end)
        if found >= 0:
            self._end = found + len(END_OF_HEAD)
        elif len(self.data) - line_end > HEAD_BYTES:
            self._end = len(self.data)


def _size_of(line: bytes) -> int | None:
    """The size that a chunk's first line names, or None."""
    digits = line.split(b";")[0].strip()
    if not SIZE.fullmatch(digits):
        return None
    return int(digits, 16)
