"""Clients that stop in the middle of what they say or take, and what others meet meanwhile."""

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.whole_service import ROOT, House, free_port, wait_until

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-a: "
BODY = b"POST /sign-in/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
BODY += b"Content-Length: 100000\r\n\r\nusername=a"
CHUNKS = b"POST /sign-in/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
NOTHING = b""


@contextmanager
def web_alone(folder: Path, **environment: str) -> Iterator[int]:
    """The web server by itself, on a migrated database; its port."""
    made, port = House(folder, **environment), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    made.manage("migrate", "--verbosity", "0")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:feedback.runtime.gunicorn_config"]
    with (folder / "web.log").open("wb") as log:
        command += ["--bind", f"127.0.0.1:{port}"]
        server = subprocess.Popen(command, cwd=ROOT, env=made.environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: ask(port, "/healthz") == 200, 60, "the web server")
        yield port
    finally:
        server.terminate()
        server.wait(30)


def ask(port: int, path: str, seconds: float = 10) -> int:
    """The status of a reply on a connection of its own; 0 when none came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        reply.read()
        return reply.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@dataclass
class Stalled:
    """Sockets that said the beginning of a request and nothing more."""

    port: int
    said: list[bytes]
    sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> "Stalled":
        for beginning in self.said:
            connection = socket.create_connection(("127.0.0.1", self.port))
            connection.sendall(beginning)
            connection.setblocking(False)
            self.sockets.append(connection)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.sockets:
            connection.close()

    def open(self) -> int:
        """How many the server has not closed."""
        count = 0
        for connection in self.sockets:
            with suppress(OSError):
                try:
                    count += connection.recv(4096) != b""
                except BlockingIOError:
                    count += 1
        return count


def latencies(port: int, path: str, seconds: float, every: float = 0.05) -> list[float]:
    """Seconds that each of several requests took; one without a good answer counts as 10."""
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        well = ask(port, path) == 200
        took.append(time.monotonic() - began if well else 10.0)
        time.sleep(every)
    return sorted(took)


def share(values: list[float], of: float) -> float:
    return values[min(len(values) - 1, int(of * len(values)))]
