"""Downloads of rows as JSON Lines. Memory holds a few hundred rows, however many there are."""

from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace

from django.http import StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer

from feedback.formats.json_lines import json_line

NDJSON = "application/x-ndjson"
LINES_PER_CHUNK = 200  # a chunk is one write to the socket


class NDJSONRenderer(BaseRenderer):
    """Accepts `application/x-ndjson` in content negotiation. The view streams rows; this renders errors."""

    media_type = NDJSON
    format = "ndjson"
    charset = None

    def render(
        self, data: object, accepted_media_type: str | None = None, renderer_context: Mapping[str, object] | None = None
    ) -> bytes:
        if data is None:
            return b""
        return line(data).encode()


def line(row: object) -> str:
    return json_line(row) + "\n"


def streamed(rows: Iterable[object], filename: str) -> StreamingHttpResponse:
    """A download of `rows`. Check for errors before: the status is sent with the first line."""
    return streamed_bytes(_chunks(rows), filename, NDJSON)


def streamed_bytes(chunks: Iterable[bytes], filename: str, kind: str) -> StreamingHttpResponse:
    """A download of bytes that are produced while they are sent."""
    response = StreamingHttpResponse(chunks, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["X-Accel-Buffering"] = "no"
    return response


def _chunks(rows: Iterable[object]) -> Iterator[bytes]:
    waiting: list[str] = []
    for row in rows:
        waiting.append(line(row))
        if len(waiting) == LINES_PER_CHUNK:
            yield "".join(waiting).encode()
            waiting.clear()
    if waiting:
        yield "".join(waiting).encode()


class ByAcceptOnly(DefaultContentNegotiation):
    """What a client gets follows from its Accept header alone, so that `?format=` can mean something else."""

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)  # type: ignore[assignment]
