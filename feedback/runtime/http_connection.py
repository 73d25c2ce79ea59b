"""The connection of one client: received and unsent bytes, and their deadlines."""

import itertools
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress

from feedback.runtime.environment import env_int
from feedback.runtime.http_request import Incoming

HEAD_SECONDS = float(env_int("WEB_READ_SECONDS", 10, low=1))  # from the first byte to the end of the request head
BODY_SECONDS = 2 * HEAD_SECONDS  # for a body; a long body gets the time that SLOWEST needs in addition
WRITE_SECONDS = 30.0  # the same for a reply
SLOWEST = 8 * 1024  # bytes a second; slower clients are disconnected
PIECE = 64 * 1024


class Connection:
    """The socket of one client. It belongs to the loop or, while the deadline is None, to the thread that answers."""

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

    def __init__(self, sock: socket.socket, peer: object, server: object, now: float, *, inner: bool = False) -> None:
        self.sock, self.peer, self.server = sock, peer, server
        self.incoming = Incoming()
        self.inner = inner  # connected to METRICS_BIND
        self.out: deque[memoryview | PieceOfFile] = deque()  # unsent parts of a finished reply
        self.keep = True  # whether another request may follow on this connection
        self.continued = False  # whether 100 Continue was sent for the present request
        self.answered = 0
        self.since = now  # when the present request or reply began
        self.deadline: float | None = now + HEAD_SECONDS


class PieceOfFile:
    """Bytes of a file from position `at`, which the loop sends. The connection owns the file descriptor."""

    __slots__ = ("at", "fd", "left")

    def __init__(self, fd: int, at: int, left: int) -> None:
        self.fd, self.at, self.left = fd, at, left


class Output:
    """The socket that a response of gunicorn writes to. A reply is gathered; a stream is sent piece by piece."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.gathered: list[bytes] = []
        self.waited = 0.0  # seconds in which the client read nothing
        self.sent = 0

    def sendall(self, data: bytes) -> None:
        self.gathered.append(data)

    def send(self, data: bytes) -> int:
        """Send `100 Continue` at once, unless the loop has sent it. gunicorn sends nothing else here."""
        if not self.connection.continued:
            self.connection.continued = True
            self.connection.sock.send(data)
        return len(data)

    def gettimeout(self) -> float:
        return 0.0

    def finish(self) -> None:
        """Send what the socket takes now. The loop sends the rest."""
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
        """Append bytes of a file to the gathered bytes."""
        self.finish()
        if left > 0:
            self.connection.out.append(PieceOfFile(os.dup(fd), at, left))

    def stream(self) -> None:
        """Send all gathered bytes now, and wait for a slow client within its deadline.

        Raises:
            TimeoutError: the client reads too slowly, or nothing.
        """
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
                    raise TimeoutError("the client does not read the reply") from None
                self.waited += time.monotonic() - began
            else:
                self.sent += sent
                data = data[sent:]


def pieces_of(connection: Connection, large: bool) -> Iterable[bytes]:
    """The bytes of one request, for the parser. The rest of a large one is read as it arrives, within its deadline."""
    if not large:
        return [connection.incoming.take()]
    return itertools.chain([connection.incoming.take_everything()], remaining_pieces(connection))


def remaining_pieces(connection: Connection) -> Iterator[bytes]:
    """The rest of a body, piece by piece.

    Raises:
        TimeoutError: the client sends too slowly, or nothing.
    """
    sock, waited, received = connection.sock, 0.0, 0
    while True:
        try:
            piece = sock.recv(PIECE)
        except BlockingIOError:
            began = time.monotonic()
            patience = BODY_SECONDS + received / SLOWEST - waited
            if patience <= 0 or not wait_for(sock, select.POLLIN, min(patience, BODY_SECONDS)):
                raise TimeoutError("the client does not send the body") from None
            waited += time.monotonic() - began
            continue
        if not piece:
            return
        received += len(piece)
        yield piece


def wait_for(sock: socket.socket, what: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, what)
    return bool(poll.poll(seconds * 1000))
