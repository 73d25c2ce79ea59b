"""Responses as server-sent events while they are written.

Events: `text` {"of", "text"} goes on; `restart` {"of"} what was reported of it is void; `waiting` {"of", "text"} says
what
for; `end` {"of", "state", "text", "finish_reason"} is the row (state ready, failed or blocked; for the last two, text
is the sentence why); `done` closes. `timeout` says that it takes longer than a stream may last: connect again.
"""

from collections.abc import Hashable, Iterator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from feedback.api.views import ServiceView
from feedback.formats.json_lines import json_line
from feedback.runtime.download_places import DownloadPlaces
from feedback.selectors.collection.response_streams import News, follow
from feedback.selectors.platform import access

EVENT_STREAM = "text/event-stream"
LONGEST = 120.0  # seconds
TAKES_LONGER = "The stream reached its time limit. Connect again, or get the response later."
places = DownloadPlaces(settings.LIVE_STREAMS)
DESCRIPTION = (
    "Server-sent events: `text` appends, `restart` discards the text so far, `waiting` gives the "
    "reason, `end` is the final state (ready, failed or blocked), `done` closes the stream. A stream "
    "holds one of the server's threads: past LIVE_STREAMS of them in a process the answer is 503, "
    "past half of them for one person 429, both with `Retry-After`."
)
EVENTS = {(200, EVENT_STREAM): OpenApiResponse(OpenApiTypes.ANY, DESCRIPTION)}


class EventStreamRenderer(BaseRenderer):
    """Named in the schema only: events are streamed by the view, and errors are JSON."""

    media_type = EVENT_STREAM
    format = "events"


class WhateverIsAccepted(DefaultContentNegotiation):
    """A browser's EventSource accepts nothing but events; its errors are JSON all the same."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return next((one, one.media_type) for one in renderers if isinstance(one, JSONRenderer))


class Held:
    """An iterator that holds one of the places for streams until it is closed, however it ends: at its end, because the
    client has gone, or before it began."""

    def __init__(self, parts: Iterator[str], caller: Hashable) -> None:
        places.take(caller)
        self.places, self.parts, self.caller, self.open = places, parts, caller, True

    def __iter__(self) -> "Held":
        return self

    def __next__(self) -> bytes:
        try:
            return next(self.parts).encode()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.open:
            self.open = False
            self.places.give_back(self.caller)
            self.parts.close()  # type: ignore[attr-defined]


def streamed(parts: Iterator[str], caller: Hashable) -> StreamingHttpResponse:
    """Raises TooManyStreams when all places are taken, TooManyRequests when all of this caller's are."""
    response = StreamingHttpResponse(Held(parts, caller), content_type=EVENT_STREAM)
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def event(name: str, **data: Any) -> str:
    return f"event: {name}\ndata: {json_line(data)}\n\n"


def events(responses: dict[UUID, str], seconds: float | None = None) -> Iterator[str]:
    """The news of some responses, each under the name that the reader knows it by."""
    names = {"begun": "restart", "piece": "text", "waits": "waiting"}
    ended = 0
    for news in follow(list(responses), LONGEST if seconds is None else seconds):
        of = responses[news.response]
        if news.what == "ended":
            ended += 1
            text = news.text if news.state == "ready" else news.sentence
            yield event("end", of=of, state=news.state, text=text, finish_reason=news.finish_reason)
        else:
            yield event(names[news.what], of=of, text=_said(news))
    yield event("done") if ended == len(responses) else event("timeout", text=TAKES_LONGER)


def _said(news: News) -> str:
    return news.sentence if news.what == "waits" else news.text


class StreamView(ServiceView):
    """A door whose answer is a stream of events."""

    renderer_classes = [JSONRenderer, EventStreamRenderer]
    content_negotiation_class = WhateverIsAccepted


class ResponseStream(StreamView):
    scopes = {"GET": "read"}

    @extend_schema(summary="Stream a response", description=DESCRIPTION, responses=EVENTS)
    def get(self, request: Request, id: UUID) -> StreamingHttpResponse:
        response = access.get_response_with_author(self.viewer, id)
        return streamed(events({response.public_id: str(response.public_id)}), self.person.pk)


class PromptStream(StreamView):
    scopes = {"GET": "read"}

    @extend_schema(summary="Stream the responses of a prompt", responses=EVENTS)
    def get(self, request: Request, id: UUID) -> StreamingHttpResponse:
        prompt = access.get_prompt_with_authors(self.viewer, id)
        keys = prompt.responses.order_by("pk").values_list("public_id", flat=True)
        return streamed(events({key: str(key) for key in keys}), self.person.pk)
