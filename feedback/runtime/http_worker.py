"""A gunicorn worker whose threads are not blocked by slow clients.

One loop reads the heads and bodies of all connections within deadlines, and hands a request to a thread when it is
complete. If the client does not read a finished response at once, the loop sends the rest, again within a deadline. So
24 threads serve thousands of idle sockets.

Why not gthread of gunicorn: it reads in its threads without a deadline, so as many unfinished requests as it has
threads stop it. Granian limits only the head: its WSGI threads wait for bodies and for readers of streams without end.
A buffering proxy would be another program to run on a laptop.

An upload, too long for memory, is read by its thread within a deadline, and few may be read at once. An event stream
holds its thread; the service limits their number. The loop itself answers /healthz, and /readyz has its own thread, so
that both answer while all other threads are busy.
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
from feedback.runtime.http_request import Received

LINGER_SECONDS = 2.0  # for the client to close its end first, so that the end of the reply is not cut off
IDLE_AT_STOP_SECONDS = 0.5  # a kept connection may be about to send its next request
MOST_CONNECTIONS = 1000
MOST_WORKERS = 64
YIELD_SECONDS = 0.002  # for which a worker leaves a new connection to a worker with fewer
HELD_BYTES = 64 * 1024 * 1024  # of unfinished bodies, all connections together
SENT_AT_ONCE = 1024 * 1024
METRICS = b"GET /metrics"
PROBES = (b"GET /readyz ", b"GET /metrics ", b"HEAD /readyz ")
ALIVE = (b"GET /healthz ", b"HEAD /healthz ")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WELL = b'{"status": "ok"}'
ONCE = select.EPOLLONESHOT


# The number of connections of each worker plus one, or 0 without a worker. Workers share it, as it is made before fork.
LOADS = memoryview(mmap.mmap(-1, 2 * MOST_WORKERS)).cast("H")


class Worker(base.Worker):
    """See the module. Settings: `threads` (without the one for probes) and `keepalive`."""

    def init_process(self) -> None:
        self.epoll = select.epoll()
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.connections: dict[int, Connection] = {}
        self.again: deque[Connection] = deque()  # answered, and their next request has arrived
        self.ready: SimpleQueue[tuple[Connection, bool]] = SimpleQueue()
        self.probes: SimpleQueue[tuple[Connection, bool]] = SimpleQueue()
        # An upload holds its thread until it is received.
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
                self.drop_expired()
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
        """Wait for events for at most so many seconds, and handle them."""
        try:
            events = self.epoll.poll(seconds, 256)
        except InterruptedError:
            return
        for fd, what in events:
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
                    if what & select.EPOLLOUT:
                        self.write(connection)
                    else:
                        self.read(connection)
                except OSError:
                    self.drop(connection)
        while self.again:
            connection = self.again.popleft()
            try:
                self.check(connection)
            except OSError:
                self.drop(connection)

    def accept(self, listener: Any) -> None:
        """Accept one connection. A worker with more connections than another waits briefly for the other."""
        LOADS[self.seat] = len(self.connections) + 1
        if len(self.connections) > min(load for load in LOADS if load):
            time.sleep(YIELD_SECONDS)
        try:
            sock, peer = listener.accept()
        except OSError:  # another process accepted it, the client has left, or no file descriptor is free
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
        """Drop the connection that has waited longest without a complete request."""
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
        elif not connection.keep:  # its last reply is sent; more input is read so that the reply is not cut off
            self.arm(connection, select.EPOLLIN)
        else:
            if not connection.incoming.data:
                connection.since = time.monotonic()
            connection.incoming.add(got)
            self.check(connection)

    def check(self, connection: Connection) -> None:
        """Hand the request over if it is complete; else wait for more until its deadline."""
        incoming = connection.incoming
        received = incoming.received()
        if received is Received.ALL:
            connection.deadline = None
            if connection.inner and not incoming.starts_with(METRICS):
                self.refuse(connection, "404 Not Found", "Only /metrics is here.")
            elif incoming.starts_with(*ALIVE):
                self.answer_alive(connection)
            else:
                queue = self.ready
                if incoming.starts_with(*PROBES):
                    queue = self.probes
                queue.put((connection, False))
        elif received is Received.LARGE:
            self.take_upload(connection)
        elif received is Received.TOO_LONG:
            self.refuse(connection, "431 Request Header Fields Too Large", "The head of the request is too long.")
        else:
            connection.deadline = connection.since + HEAD_SECONDS
            if received is Received.SOME_OF_BODY:
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
        """Limit the memory of unfinished bodies: drop the connection with the longest one."""
        if len(self.connections) * PIECE < HELD_BYTES // 16:
            return
        total, longest = 0, None
        for connection in self.connections.values():
            if connection.deadline is None:
                continue
            total += len(connection.incoming.data)
            if longest is None or len(connection.incoming.data) > len(longest.incoming.data):
                longest = connection
        if longest is not None and total > HELD_BYTES:
            self.drop(longest)

    def refuse(self, connection: Connection, status: str, sentence: str, more: str = "") -> None:
        body = sentence.encode()
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n{more}"
        connection.incoming.take_everything()
        with suppress(BlockingIOError):
            connection.sock.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.hand_back(connection, keep=False)

    def answer_alive(self, connection: Connection) -> None:
        """Answer /healthz: this process is alive. It needs no thread."""
        incoming = connection.incoming.take()
        keep = not self.stopping and b"\r\nconnection: close" not in incoming.lower() and b" HTTP/1.1\r\n" in incoming
        head = f"Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: {len(WELL)}\r\n"
        kept = "keep-alive" if keep else "close"
        reply = f"HTTP/1.1 200 OK\r\nConnection: {kept}\r\n{head}\r\n".encode()
        if incoming.startswith(b"GET"):
            reply += WELL
        with suppress(BlockingIOError):
            connection.sock.send(reply)
        self.hand_back(connection, keep=keep)

    def write(self, connection: Connection) -> None:
        """Send as much of a finished reply as the client takes now."""
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
                        out.popleft()
                        os.close(first.fd)
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

    def drop_expired(self) -> None:
        """Drop the connections whose deadline has passed."""
        now = time.monotonic()
        for connection in list(self.connections.values()):
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
        connection.sock.close()  # epoll forgets it, too

    def leave(self) -> None:
        """Stop accepting, and give requests in progress `graceful_timeout` seconds to end."""
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
            self.drop_expired()

    def end_inner(self, listener: socket.socket) -> None:
        """Accept those that wait in the queue of this worker (SO_REUSEPORT); later ones reach other workers."""
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
        """Return an answered connection to the loop. The caller must not use it afterwards.

        The deadline is set before the socket is armed, because the loop may use the connection from then on.
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
        """Answer one request. Returns whether another may follow on this connection."""
        output, request = Output(connection), None
        parser = RequestParser(self.cfg, pieces_of(connection, large), connection.peer)
        parser.req_count = connection.answered
        connection.answered += 1
        try:
            request = next(parser)
            # A long body may not be read to its end, so no request may follow it.
            return self.run_application(request, output, connection) and not large
        except (errors.NoMoreData, StopIteration, OSError) as error:
            self.log.debug("a connection ended early: %s", error)  # the client left, or was dropped
        except Exception as error:  # noqa: BLE001 - gunicorn sorts and logs them
            self.handle_error(request, output, connection.peer, error)
            with suppress(OSError):
                output.finish()
        return False

    def run_application(self, request: Any, output: Output, connection: Connection) -> bool:
        response, environ = create(request, output, connection.peer, connection.server, self.cfg)
        response.version = "touchstone"  # hides the name of the server software
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
                self.log.exception("A reply broke off.")  # a part of it is sent, so no error can be sent
                return False
            output.gathered.clear()
            raise
        finally:
            if hasattr(body, "close"):
                body.close()
        return not response.should_close()

    def send_file(self, response: Any, body: Any, output: Output) -> None:
        """Let the loop send the bytes of a file, so that no thread waits for them."""
        response.send_headers()
        try:
            fd, at = body.filelike.fileno(), body.filelike.tell()
        except (AttributeError, OSError):  # it is in memory
            for piece in body:
                response.write(piece)
            response.close()
            output.finish()
            return
        sent = response.response_length
        if response._omits_body:
            sent = 0
        output.file(fd, at, min(sent, os.fstat(fd).st_size - at))
