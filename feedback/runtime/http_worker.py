"""A gunicorn worker that slow clients cannot hold: threads see whole requests only, and leave before the last byte.

One loop reads heads and bodies of all connections, each against a deadline, and hands a request to a thread when all of
it is there. A finished response that the client does not take at once goes back to the loop, which sends the rest,
again against a deadline. So 24 threads serve thousands of sockets that stand still.

Ours rather than gunicorn's gthread, which reads in its threads without any deadline: as many unfinished requests as it
has threads stop it. Granian bounds the head only: its WSGI threads wait for a body, and for whoever reads a stream,
without end. A buffering proxy would be one more program to run on a laptop.

A body too long for memory (an upload) is read by its thread, against a deadline, in few places. A stream of events
holds its thread; the service bounds their number. /healthz is answered by the loop itself, and /readyz has a thread of
its own, so that both answer while everybody else is busy.
"""

import mmap
import os
import resource
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from gunicorn.http import errors
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from gunicorn.workers import base

from feedback.runtime.environment import env_str
from feedback.runtime.http_connection import (
    BODY_SECONDS,
    HEAD_SECONDS,
    PIECE,
    SLOWEST,
    WRITE_SECONDS,
    Connection,
    Output,
    PieceOfFile,
    pieces_of,
)
from feedback.runtime.http_request import Came

LINGER_SECONDS = 2.0  # for the client to close its end first, so that the reply's last bytes are not cut off
IDLE_AT_STOP_SECONDS = 0.5  # a kept connection may be about to send its next request
MOST_CONNECTIONS = 1000
MOST_WORKERS = 64
YIELD_SECONDS = 0.002  # for which a worker leaves a new connection to one that has fewer
HELD_BYTES = 64 * 1024 * 1024  # of unfinished bodies, all connections together
SENT_AT_ONCE = 1024 * 1024
METRICS = b"GET /metrics"
PROBES = (b"GET /readyz ", b"GET /metrics ", b"HEAD /readyz ")
ALIVE = (b"GET /healthz ", b"HEAD /healthz ")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WELL = b'{"status": "ok"}'
ONCE = select.EPOLLONESHOT


# Each worker's connections, plus one; 0 where there is none. Made before workers are forked, so they share it.
LOADS = memoryview(mmap.mmap(-1, 2 * MOST_WORKERS)).cast("H")


class Worker(base.Worker):
    """See above. Settings: `threads` (beside the one for probes) and `keepalive`."""

    def init_process(self) -> None:
        self.epoll = select.epoll()
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.connections: dict[int, Connection] = {}
        self.again: deque[Connection] = deque()  # answered, with their next request already there
        self.ready: SimpleQueue[tuple[Connection, bool]] = SimpleQueue()
        self.probes: SimpleQueue[tuple[Connection, bool]] = SimpleQueue()
        # An upload holds its thread as long as it comes in.
        self.uploads = threading.BoundedSemaphore(max(1, self.cfg.threads // 3))
        self.stopping = False
        self.seat = self.age % MOST_WORKERS
        self.limit = min(MOST_CONNECTIONS, max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        super().init_process()

    # --- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        for fd in (self.wake, self.PIPE[0]):
            self.epoll.register(fd, select.EPOLLIN)
        self.listeners = {listener.fileno(): listener for listener in self.sockets}
        for fd, listener in self.listeners.items():
            listener.setblocking(False)
            self.epoll.register(fd, select.EPOLLIN)
        self.inner = self.inner_listener()
        for number in range(self.cfg.threads):
            threading.Thread(target=self.serve, args=[self.ready], name=f"request-{number}", daemon=True).start()
        threading.Thread(target=self.serve, args=[self.probes], name="probe", daemon=True).start()
        looked = time.monotonic()
        while self.alive and self.ppid == os.getppid():
            self.notify()
            self.turn(1.0)
            if time.monotonic() - looked >= 1.0:
                self.let_go_of_the_late()
                looked = time.monotonic()
        self.leave()

    def inner_listener(self) -> socket.socket | None:
        """Where metrics are read without a token. Every worker listens there: they share their counts."""
        where = env_str("METRICS_BIND", "")
        if not where:
            return None
        host, _, port = where.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), int(port)), family=family, reuse_port=True)
        listener.setblocking(False)
        self.listeners[listener.fileno()] = listener
        self.epoll.register(listener, select.EPOLLIN)
        return listener

    def turn(self, seconds: float) -> None:
        """Wait for something to happen, up to so long, and do it."""
        try:
            happened = self.epoll.poll(seconds, 256)
        except InterruptedError:
            return
        for fd, what in happened:
            if fd in self.listeners:
                self.accept(self.listeners[fd])
            elif fd == self.wake:
                with suppress(BlockingIOError):
                    os.eventfd_read(fd)
            elif fd == self.PIPE[0]:
                with suppress(BlockingIOError):
                    os.read(fd, 4096)
            elif (connection := self.connections.get(fd)) is not None:
                try:
                    self.write(connection) if what & select.EPOLLOUT else self.read(connection)
                except OSError:
                    self.drop(connection)
        while self.again:
            connection = self.again.popleft()
            try:
                self.look(connection)
            except OSError:
                self.drop(connection)

    def accept(self, listener: Any) -> None:
        """One at a time, so that workers share them; whoever has more than another gives that one a moment."""
        LOADS[self.seat] = len(self.connections) + 1
        if len(self.connections) > min(load for load in LOADS if load):
            time.sleep(YIELD_SECONDS)
        try:
            sock, peer = listener.accept()
        except OSError:  # another process was quicker, the client has gone, or no file is left to open
            if len(self.connections) > 1:
                self.make_room()
            return
        sock.setblocking(False)
        with suppress(OSError):  # not every socket speaks TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) >= self.limit:
            self.make_room()
        inner = listener is self.inner
        connection = Connection(sock, peer, listener.getsockname(), time.monotonic(), inner=inner)
        self.connections[sock.fileno()] = connection
        LOADS[self.seat] = len(self.connections) + 1
        self.epoll.register(sock, select.EPOLLIN | ONCE)

    def make_room(self) -> None:
        """The connection that has waited longest without a whole request goes."""
        if len(self.connections) < self.limit:
            return
        for connection in self.connections.values():
            if connection.deadline is not None and not connection.out:
                self.drop(connection)
                return

    def read(self, connection: Connection) -> None:
        got = connection.sock.recv(PIECE)
        if not got:
            self.drop(connection)
        elif not connection.keep:  # its last reply is sent; what comes now is read so that it is not cut off
            self.arm(connection, select.EPOLLIN)
        else:
            if not connection.incoming.data:
                connection.since = time.monotonic()
            connection.incoming.add(got)
            self.look(connection)

    def look(self, connection: Connection) -> None:
        """Hand the request over if all of it is there; else wait for more, until its deadline."""
        incoming = connection.incoming
        came = incoming.came()
        if came is Came.ALL:
            connection.deadline = None
            if connection.inner and not incoming.starts_with(METRICS):
                self.refuse(connection, "404 Not Found", "Only /metrics is here.")
            elif incoming.starts_with(*ALIVE):
                self.tell_alive(connection)
            else:
                queue = self.probes if incoming.starts_with(*PROBES) else self.ready
                queue.put((connection, False))
        elif came is Came.LARGE:
            self.take_upload(connection)
        elif came is Came.TOO_LONG:
            self.refuse(connection, "431 Request Header Fields Too Large", "The head of the request is too long.")
        else:
            connection.deadline = connection.since + HEAD_SECONDS
            if came is Came.SOME_OF_BODY:
                connection.deadline += BODY_SECONDS + len(incoming.data) / SLOWEST
                if incoming.expects and not connection.continued:
                    connection.continued = True
                    connection.sock.send(CONTINUE)
                self.bound_memory()
            self.arm(connection, select.EPOLLIN)

    def take_upload(self, connection: Connection) -> None:
        if self.uploads.acquire(blocking=False):
            connection.deadline = None
            self.ready.put((connection, True))
        else:
            sentence = "Too many uploads are in progress. Try again in a few seconds."
            self.refuse(connection, "503 Service Unavailable", sentence, "Retry-After: 5\r\n")

    def bound_memory(self) -> None:
        """Unfinished bodies share a bounded memory: the longest goes first."""
        if len(self.connections) * PIECE < HELD_BYTES // 16:
            return
        waiting = [one for one in self.connections.values() if one.deadline is not None]
        if sum(len(one.incoming.data) for one in waiting) > HELD_BYTES:
            self.drop(max(waiting, key=lambda one: len(one.incoming.data)))

    def refuse(self, connection: Connection, status: str, sentence: str, more: str = "") -> None:
        body = sentence.encode()
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n{more}"
        connection.incoming.take_everything()
        with suppress(BlockingIOError):
            connection.sock.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.hand_back(connection, keep=False)

    def tell_alive(self, connection: Connection) -> None:
        """This process answers. That is all the question was, and no thread is needed for it."""
        incoming = connection.incoming.take()
        keep = not self.stopping and b"\r\nconnection: close" not in incoming.lower() and b" HTTP/1.1\r\n" in incoming
        head = f"Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: {len(WELL)}\r\n"
        reply = f"HTTP/1.1 200 OK\r\nConnection: {'keep-alive' if keep else 'close'}\r\n{head}\r\n".encode()
        with suppress(BlockingIOError):
            connection.sock.send(reply + (WELL if incoming.startswith(b"GET") else b""))
        self.hand_back(connection, keep=keep)

    def write(self, connection: Connection) -> None:
        """Send what is left of a finished reply, as much as the client takes now."""
        out, sock = connection.out, connection.sock
        sent = 0
        while out and sent < SENT_AT_ONCE:
            first = out[0]
            try:
                if isinstance(first, PieceOfFile):
                    count = os.sendfile(sock.fileno(), first.fd, first.at, min(first.left, SENT_AT_ONCE))
                    if count == 0:
                        raise ConnectionAbortedError("the file became shorter while it was sent")
                    first.at, first.left = first.at + count, first.left - count
                    if not first.left:
                        os.close(out.popleft().fd)
                else:
                    count = sock.send(first)
                    out[0] = first[count:]
                    if not out[0]:
                        out.popleft()
            except BlockingIOError:
                break
            sent += count
        if sent and connection.deadline is not None:
            connection.deadline = max(connection.deadline, time.monotonic() + min(WRITE_SECONDS, sent / SLOWEST))
        if out:
            self.arm(connection, select.EPOLLOUT)
        else:
            self.hand_back(connection, keep=connection.keep)

    def let_go_of_the_late(self) -> None:
        now = time.monotonic()
        for connection in [one for one in self.connections.values() if one.deadline is not None]:
            if connection.deadline is not None and connection.deadline < now:
                self.drop(connection)

    def drop(self, connection: Connection) -> None:
        self.connections.pop(connection.sock.fileno(), None)
        if not self.stopping:
            LOADS[self.seat] = len(self.connections) + 1
        for piece in connection.out:
            if isinstance(piece, PieceOfFile):
                os.close(piece.fd)
        connection.out.clear()
        connection.sock.close()  # and epoll forgets it

    def leave(self) -> None:
        """Nothing new is accepted; what is being answered gets `graceful_timeout` to end."""
        self.stopping = True
        for fd in self.listeners:
            self.epoll.unregister(fd)
        self.listeners = {}
        if self.inner is not None:
            self.end_inner(self.inner)
        LOADS[self.seat] = 0
        began = time.monotonic()
        while self.connections and time.monotonic() < began + self.cfg.graceful_timeout:
            self.notify()
            self.turn(0.1)
            if time.monotonic() > began + IDLE_AT_STOP_SECONDS:
                for connection in list(self.connections.values()):
                    if connection.deadline is not None and not connection.out:
                        self.drop(connection)
            self.let_go_of_the_late()

    def end_inner(self, listener: socket.socket) -> None:
        """Its queue is this worker's alone (SO_REUSEPORT): who waits there is let in, and later ones go to others."""
        waiting = select.poll()
        waiting.register(listener, select.POLLIN)
        for _ in range(self.limit):
            if not waiting.poll(0):
                break
            self.accept(listener)
        listener.close()

    # --- between the loop and the threads ----------------------------------------------------------

    def arm(self, connection: Connection, what: int) -> None:
        self.epoll.modify(connection.sock, what | ONCE)

    def hand_back(self, connection: Connection, *, keep: bool) -> None:
        """A request is answered. Whoever calls this (a thread, or the loop) touches the connection no more.

        The deadline is set before the socket is armed: from then on the loop may have it.
        """
        now = time.monotonic()
        connection.keep, connection.since, connection.continued = keep, now, False
        with suppress(OSError, ValueError):
            if connection.out:
                connection.deadline = now + WRITE_SECONDS
                self.arm(connection, select.EPOLLOUT)
            elif not keep:
                connection.deadline = now + LINGER_SECONDS
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_WR)
                self.arm(connection, select.EPOLLIN)
            elif connection.incoming.data:
                self.again.append(connection)
                os.eventfd_write(self.wake, 1)
            else:
                connection.deadline = now + self.cfg.keepalive
                self.arm(connection, select.EPOLLIN)

    # --- in a thread -------------------------------------------------------------------------------

    def serve(self, queue: "SimpleQueue[tuple[Connection, bool]]") -> None:
        while True:
            connection, large = queue.get()
            keep = False
            try:
                keep = self.answer(connection, large)
            except BaseException:
                self.log.exception("a request could not be answered")
            finally:
                if large:
                    self.uploads.release()
                self.hand_back(connection, keep=keep)

    def answer(self, connection: Connection, large: bool) -> bool:
        """Answer one request; true when another may follow on this connection."""
        output, request = Output(connection), None
        parser = RequestParser(self.cfg, pieces_of(connection, large), connection.peer)
        parser.req_count = connection.answered
        connection.answered += 1
        try:
            request = next(parser)
            # Whether a long body was read to its end is not known, so nothing may follow it.
            return self.run_application(request, output, connection) and not large
        except (errors.NoMoreData, StopIteration, OSError) as error:
            self.log.debug("a connection ended early: %s", error)  # it went away, or was let go
        except Exception as error:  # noqa: BLE001 - gunicorn sorts and logs them
            self.handle_error(request, output, connection.peer, error)
            with suppress(OSError):
                output.finish()
        return False

    def run_application(self, request: Any, output: Output, connection: Connection) -> bool:
        response, environ = create(request, output, connection.peer, connection.server, self.cfg)
        response.version = "touchstone"  # what serves it is nobody's concern
        environ["wsgi.multithread"] = True
        environ["touchstone.inner"] = connection.inner
        if self.stopping:
            response.force_close()
        body = self.wsgi(environ, response.start_response)
        try:
            if isinstance(body, environ["wsgi.file_wrapper"]) and response.response_length is not None:
                self.send_file(response, body, output)
            elif getattr(body, "streaming", not isinstance(body, list | tuple)):
                for piece in body:
                    response.write(piece)
                    output.stream()
                response.close()
                output.stream()
            else:
                for piece in body:
                    response.write(piece)
                response.close()
                output.finish()
        except Exception:
            if response.headers_sent and not output.gathered:
                self.log.exception("A reply broke off.")  # half of it is sent, so no error can be determined
                return False
            output.gathered.clear()
            raise
        finally:
            if hasattr(body, "close"):
                body.close()
        return not response.should_close()

    def send_file(self, response: Any, body: Any, output: Output) -> None:
        """A file's bytes are the loop's to send; no thread waits for them."""
        response.send_headers()
        try:
            fd, at = body.filelike.fileno(), body.filelike.tell()
        except (AttributeError, OSError):  # it lies in memory
            for piece in body:
                response.write(piece)
            response.close()
            output.finish()
            return
        sent = 0 if response._omits_body else response.response_length
        output.file(fd, at, min(sent, os.fstat(fd).st_size - at))
