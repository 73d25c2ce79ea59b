"""Where a request ends is known whatever pieces it comes in, and what is no request is never waited for without end."""

import random

import pytest

from feedback.runtime.http_request import BODY_BYTES, HEAD_BYTES, Incoming, Received

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
NONE = b"POST /a HTTP/1.1\r\ncontent-length:0\r\n\r\n"
CHUNKED = b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\n\r\n0\r\n0\r\n\r\n"
TRAILERS = b"POST /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n"
ENDS_LIKE_ONE = b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab0\r\n\r\nyz\r\n0\r\n\r\n"


@pytest.mark.parametrize("request_bytes", [GET, POST, NONE, CHUNKED, TRAILERS, ENDS_LIKE_ONE])
def test_a_request_is_whole_at_its_last_byte_and_not_before(request_bytes: bytes) -> None:
    incoming = Incoming()
    assert incoming.received() is Received.NOTHING
    for place in range(len(request_bytes)):
        incoming.add(request_bytes[place : place + 1])
        whole = incoming.received() is Received.ALL
        assert whole == (place == len(request_bytes) - 1), request_bytes[: place + 1]
    assert incoming.take() == request_bytes
    assert incoming.received() is Received.NOTHING


def test_requests_one_behind_another_are_told_apart_however_they_are_cut() -> None:
    chance = random.Random(7)
    sent = [chance.choice([GET, POST, NONE, CHUNKED, TRAILERS, ENDS_LIKE_ONE]) for _ in range(200)]
    stream, incoming, taken = b"".join(sent), Incoming(), []
    while stream:
        cut = chance.randint(1, 90)
        incoming.add(stream[:cut])
        stream = stream[cut:]
        while incoming.received() is Received.ALL:
            taken.append(incoming.take())
    assert taken == sent


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1),
        b"Content-Length: 53687091200\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b"x" * (BODY_BYTES + 1),
    ],
)
def test_a_body_too_long_for_memory_is_told_by_its_length_or_as_it_comes(body: bytes) -> None:
    incoming = Incoming()
    incoming.add(b"POST /a HTTP/1.1\r\nHost: x\r\n" + body)
    assert incoming.received() is Received.LARGE


def test_a_head_without_an_end_is_too_long_at_some_point() -> None:
    incoming = Incoming()
    incoming.add(b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES)
    assert incoming.received() is Received.TOO_LONG


@pytest.mark.parametrize("size", [b"zz", b"", b"-5", b"7" * 2000])
def test_chunks_without_a_size_are_handed_on_to_be_refused(size: bytes) -> None:
    """Waiting for the end of what has none would be waiting until the deadline."""
    incoming = Incoming()
    incoming.add(b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhello")
    assert incoming.received() in (Received.ALL, Received.LARGE)
