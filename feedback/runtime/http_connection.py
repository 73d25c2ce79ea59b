"""One client's connection: what came, what is still to be sent, and the deadlines of both."""

import itertools
import os
import select
import socket
import time
from collections import deque
from contextlib import suppress
from typing import Any

from feedback.runtime.environment import env_int
from feedback.runtime.http_request import Incoming

HEAD_SECONDS = float(env_int("WEB_READ_SECONDS", 10, low=1))  # from a connection's first byte to the end of the head
BODY_SECONDS = 2 * HEAD_SECONDS  # for a body; a long one gets what SLOWEST takes beyond that
WRITE_SECONDS = 30.0  # likewise for a reply
SLOWEST = 8 * 1024  # bytes a second: whoever is slower than this, on the whole, is let go
PIECE = 64 * 1024


class Connection:
    """One client's socket. It belongs to the loop, or (deadline None) to the thread that answers it."""

    __slots__ = (
        "answered",
        "continued",
        "deadline",
        "incoming",
        "inner",
        "keep",
        "out",
        "peer",
        "server",
        "since",
        "sock",
    )

    def __init__(self, sock: socket.socket, peer: Any, server: Any, now: float, *, inner: bool = False) -> None:
        self.sock, self.peer, self.server = sock, peer, server
        self.incoming = Incoming()
        self.inner = inner  # it came to METRICS_BIND
        self.out: deque[Any] = deque()  # what of a finished reply is not sent: bytes, or pieces of files
        self.keep = True  # whether another request may follow
        self.continued = False  # whether 100 Continue was sent for the present request
        self.answered = 0
        self.since = now  # when the present request, or the reply that is being sent, began
        self.deadline: float | None = now + HEAD_SECONDS


class PieceOfFile:
    """Bytes of a file that the loop sends, from `at`; the file is ours until it is closed."""

    __slots__ = ("at", "fd", "left")

    def __init__(self, fd: int, at: int, left: int) -> None:
        self.fd, self.at, self.left = fd, at, left


class Output:
    """What gunicorn's response writes to. A reply is gathered; a stream goes out piece by piece."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.gathered: list[bytes] = []
        self.waited = 0.0  # seconds in which the client took nothing
        self.sent = 0

    def sendall(self, data: bytes) -> None:
        self.gathered.append(data)

    def send(self, data: bytes) -> int:
        """Only `100 Continue` comes here: at once, unless the loop has sent it."""
        if not self.connection.continued:
            self.connection.continued = True
            self.connection.sock.send(data)
        return len(data)

    def gettimeout(self) -> float:
        return 0.0

    def finish(self) -> None:
        """Send what fits now; the rest is the loop's."""
        connection = self.connection
        data = b"".join(self.gathered)
        self.gathered.clear()
        sent = 0
        if data and not connection.out:
            with suppress(BlockingIOError):
                sent = connection.sock.send(data)
        if sent < len(data):
            connection.out.append(memoryview(data)[sent:])

    def file(self, fd: int, at: int, left: int) -> None:
        """After what was gathered, bytes of a file."""
        self.finish()
        if left > 0:
            self.connection.out.append(PieceOfFile(os.dup(fd), at, left))

    def stream(self) -> None:
        """Send all of it now, waiting for a client that takes it slowly, but not for one that takes nothing."""
        data = memoryview(b"".join(self.gathered))
        self.gathered.clear()
        sock = self.connection.sock
        while data:
            try:
                sent = sock.send(data)
            except BlockingIOError:
                began = time.monotonic()
                patience = WRITE_SECONDS + self.sent / SLOWEST - self.waited
                if patience <= 0 or not wait_for(sock, select.POLLOUT, patience):
                    raise TimeoutError("the client does not take what it asked for") from None
                self.waited += time.monotonic() - began
            else:
                self.sent += sent
                data = data[sent:]


def pieces_of(connection: Connection, large: bool) -> Any:
    """The bytes of one request, for the parser. Of a large one the rest is read as it comes, against its deadline."""
    if not large:
        return [connection.incoming.take()]
    return itertools.chain([connection.incoming.take_everything()], the_rest_of(connection))


def the_rest_of(connection: Connection) -> Any:
    """Pieces as they come.

    Raises:
        TimeoutError: the client sends too slowly on the whole, or nothing.
    """
    sock, waited, came = connection.sock, 0.0, 0
    while True:
        try:
            piece = sock.recv(PIECE)
        except BlockingIOError:
            began = time.monotonic()
            patience = BODY_SECONDS + came / SLOWEST - waited
            if patience <= 0 or not wait_for(sock, select.POLLIN, min(patience, BODY_SECONDS)):
                raise TimeoutError("the body does not come") from None
            waited += time.monotonic() - began
            continue
        if not piece:
            return
        came += len(piece)
        yield piece


def wait_for(sock: socket.socket, what: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, what)
    return bool(poll.poll(seconds * 1000))
