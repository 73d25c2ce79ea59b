"""Rows as JSON Lines, one after another: memory holds a few hundred of them, however many there are."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer

from feedback.formats.json_lines import json_line

NDJSON = "application/x-ndjson"
TOGETHER = 200  # lines a chunk: a chunk is a write to the socket


class NDJSONRenderer(BaseRenderer):
    """Lets `Accept: application/x-ndjson` through the negotiation. Rows are streamed by the view; errors come here."""

    media_type = NDJSON
    format = "ndjson"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else line(data).encode()


def line(row: Any) -> str:
    return json_line(row) + "\n"


def streamed(rows: Iterable[Any], filename: str) -> StreamingHttpResponse:
    """A download of `rows`. What can fail should have failed before: the status is sent with the first line."""
    return streamed_bytes(_chunks(rows), filename, NDJSON)


def streamed_bytes(chunks: Iterable[bytes], filename: str, kind: str) -> StreamingHttpResponse:
    """A download of bytes that are made as they are sent."""
    response = StreamingHttpResponse(chunks, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["X-Accel-Buffering"] = "no"
    return response


def _chunks(rows: Iterable[Any]) -> Iterator[bytes]:
    waiting: list[str] = []
    for row in rows:
        waiting.append(line(row))
        if len(waiting) == TOGETHER:
            yield "".join(waiting).encode()
            waiting.clear()
    if waiting:
        yield "".join(waiting).encode()


class ByAcceptOnly(DefaultContentNegotiation):
    """What a client gets follows from its Accept header alone, so that `?format=` can mean something else."""

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)  # type: ignore[assignment]
