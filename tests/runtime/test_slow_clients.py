"""Clients that stop in the middle, by accident or on purpose, take nobody else's place."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.slow_clients import BODY, CHUNKS, HEAD, NOTHING, Stalled, ask, latencies, share, web_alone
from tests.whole_service import free_port

WORKERS, THREADS, READ = 2, 3, 3
EVERYWHERE = [HEAD, BODY, CHUNKS, NOTHING]


INNER = free_port()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("web") / "data"
    environment = {"WEB_WORKERS": str(WORKERS), "WEB_THREADS": str(THREADS), "WEB_READ_SECONDS": str(READ)}
    with web_alone(folder, METRICS_BIND=f"127.0.0.1:{INNER}", **environment) as made:
        yield made


def test_stalled_heads_and_bodies_hold_nothing_but_their_sockets(port: int) -> None:
    """Twice as many of each as there are threads."""
    with Stalled(port, EVERYWHERE * (WORKERS * THREADS * 2)) as stalled:
        assert stalled.open() == len(stalled.sockets)  # a client that is only slow is not sent away at once
        for path in ("/healthz", "/readyz", "/sign-in/", "/static/feedback/app.css"):
            assert ask(port, path) == 200, path
        took = latencies(port, "/healthz", 1.0)
        assert share(took, 0.95) < 2, took


def test_who_sends_a_head_byte_by_byte_is_let_go_at_the_deadline(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(HEAD)
        slow.settimeout(0.2)
        began = time.monotonic()
        while time.monotonic() - began < 60:
            try:
                slow.sendall(b"a")
                if slow.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert READ - 1 < time.monotonic() - began < READ * 5


def test_a_slow_body_arrives_whole(port: int) -> None:
    body = b"username=nobody&password=" + b"x" * 20_000
    head = BODY.split(b"Content-Length")[0] + b"Content-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", port)) as slow:
        for place in range(0, len(head), 60):
            slow.sendall(head[place : place + 60])
            time.sleep(0.02)
        for place in range(0, len(body), 4000):
            slow.sendall(body[place : place + 4000])
            time.sleep(0.05)
        assert slow.recv(4096).startswith(b"HTTP/1.1 403")  # no CSRF cookie: the page's own refusal


def test_requests_sent_one_behind_another_are_answered_in_order(port: int) -> None:
    asked = [b"/healthz", b"/sign-in/", b"/healthz", b"/nowhere", b"/healthz"]
    sent = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in asked)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client, client.makefile("rb") as replies:
        client.sendall(sent)
        statuses = []
        for _ in asked:
            statuses.append(int(replies.readline().split()[1]))
            headers = http.client.parse_headers(replies)
            assert len(replies.read(int(headers["Content-Length"]))) == int(headers["Content-Length"])
    assert statuses == [200, 200, 200, 404, 200]


def test_who_waits_for_100_continue_is_told_to_go_on(port: int) -> None:
    head = b"POST /api/v1/prompts/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert client.recv(4096).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", b"400"),
        (b"NONSENSE\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused_at_once(port: int, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(sent)
        assert client.recv(4096).startswith(b"HTTP/1.1 " + status)


def test_those_who_take_a_reply_slowly_hold_no_thread(port: int) -> None:
    """The largest files there are, asked for by sockets that take nothing."""
    ask_for = (
        b"GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    with Stalled(port, []) as stalled:
        for _ in range(WORKERS * THREADS * 2):
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", port))
            slow.sendall(ask_for)
            stalled.sockets.append(slow)
        time.sleep(0.3)
        assert [ask(port, "/sign-in/", 5) for _ in range(10)] == [200] * 10
        slow = stalled.sockets[0]
        slow.setblocking(True)
        slow.settimeout(10)
        reply = http.client.HTTPResponse(slow)
        reply.begin()
        assert len(reply.read()) == int(reply.headers["Content-Length"]) > 1_000_000  # and who goes on gets it whole


def test_a_worker_that_stops_ends_what_it_is_doing_and_its_successor_serves(port: int) -> None:
    with Stalled(port, [HEAD] * 10) as stalled:
        master = next(
            process.parent()
            for process in psutil.Process(os.getpid()).children(recursive=True)
            if "gunicorn" in " ".join(process.cmdline()) and process.parent().pid != os.getpid()
        )
        master.send_signal(signal.SIGHUP)  # new workers, then the old ones leave
        deadline = time.monotonic() + 30
        while stalled.open() and time.monotonic() < deadline:
            assert ask(port, "/healthz") == 200
            time.sleep(0.1)
        assert stalled.open() == 0
    assert ask(port, "/readyz") == 200


def test_healthz_says_well_on_a_kept_connection(port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(3):
        client.request("GET", "/healthz")
        reply = client.getresponse()
        assert (reply.status, json.loads(reply.read())) == (200, {"status": "ok"})
        assert reply.headers["Cache-Control"] == "no-store"
    client.close()


def test_metrics_of_all_workers_are_read_at_their_own_address_and_nothing_else_is(port: int) -> None:
    before = requests_counted()
    for _ in range(20):
        ask(port, "/sign-in/")  # on connections of their own, so that both workers have some
    assert [requests_counted() - before for _ in range(3)] == [20] * 3
    assert ask(INNER, "/sign-in/") == 404
    assert ask(port, "/metrics") == 404


def requests_counted() -> int:
    client = http.client.HTTPConnection("127.0.0.1", INNER, timeout=10)
    client.request("GET", "/metrics")
    lines = client.getresponse().read().decode().splitlines()
    client.close()
    found = [line for line in lines if line.startswith('touchstone_requests_total{room="pages",status="2xx"}')]
    return int(float(found[0].split()[-1])) if found else 0
