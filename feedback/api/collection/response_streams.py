"""Responses as server-sent events while they are written.

Events, where `of` names the response:

- `text` {"of", "text"}: the next piece of the text.
- `restart` {"of"}: the writing begins again; discard the pieces received so far.
- `waiting` {"of", "text"}: a sentence that says what the response waits for.
- `end` {"of", "state", "text", "finish_reason"}: the stored response. `state` is ready, failed or blocked; for failed
  and blocked, `text` is the sentence that says why.
- `done`: all responses have ended.
- `timeout`: the stream has lasted as long as it may; connect again.
"""

import time
from collections.abc import Iterable, Iterator
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
from feedback.services.platform import accounts

EVENT_STREAM = "text/event-stream"
LONGEST = 120.0  # seconds
CHECK_SECONDS = 1.0  # how long a stream goes on for a person who may not sign in any more
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
    """Only for the schema. The view streams the events itself, and errors are JSON."""

    media_type = EVENT_STREAM
    format = "events"


class AlwaysJSON(DefaultContentNegotiation):
    """Errors are JSON whatever the client accepts: the EventSource of a browser accepts only events."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(renderer for renderer in renderers if isinstance(renderer, JSONRenderer))
        return renderer, renderer.media_type


class HeldStream:
    """An iterator that holds one of the places for streams until it is closed.

    It is closed at its end, when the client disconnects, before the first piece was read, or when its person is
    suspended or signed out everywhere: sign-in is checked only when a stream is opened, so it is checked again here.

    Args:
        caller: primary key of the person.
    """

    def __init__(self, parts: Iterator[str], caller: int) -> None:
        places.take(caller)
        self.places, self.parts, self.caller, self.open = places, parts, caller, True
        self.barred = False  # whether it ended because its person may not go on
        self.access, self.checked_at = accounts.access_of(caller), time.monotonic()

    def __iter__(self) -> "HeldStream":
        return self

    def __next__(self) -> bytes:
        try:
            part = next(self.parts)
            if time.monotonic() - self.checked_at > CHECK_SECONDS:
                self.checked_at = time.monotonic()
                if accounts.access_of(self.caller) != self.access:
                    self.barred = True
                    raise StopIteration
            return part.encode()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.open:
            self.open = False
            self.places.give_back(self.caller)
            self.parts.close()  # type: ignore[attr-defined]


def streamed(parts: Iterator[str], caller: int) -> StreamingHttpResponse:
    """A reply that sends `parts` as they come.

    Raises:
        TooManyStreams: all places for streams are taken.
        TooManyRequests: this caller holds as many streams as one caller may.
    """
    response = StreamingHttpResponse(HeldStream(parts, caller), content_type=EVENT_STREAM)
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def event(name: str, **data: object) -> str:
    return f"event: {name}\ndata: {json_line(data)}\n\n"


def events(responses: dict[UUID, str], seconds: float | None = None) -> Iterator[str]:
    """The events of some responses.

    Args:
        responses: public id -> the name that the reader knows the response by.
        seconds: how long to wait at most; None is LONGEST.
    """
    names = {"begun": "restart", "piece": "text", "waits": "waiting"}
    ended = 0
    if seconds is None:
        seconds = LONGEST
    for news in follow(list(responses), seconds):
        of = responses[news.response]
        if news.what == "ended":
            ended += 1
            text = news.text
            if news.state != "ready":
                text = news.sentence
            yield event("end", of=of, state=news.state, text=text, finish_reason=news.finish_reason)
        else:
            yield event(names[news.what], of=of, text=_text_of(news))
    if ended == len(responses):
        yield event("done")
    else:
        yield event("timeout", text=TAKES_LONGER)


def _text_of(news: News) -> str:
    return news.sentence if news.what == "waits" else news.text


class StreamView(ServiceView):
    """A view whose reply is a stream of events."""

    renderer_classes = [JSONRenderer, EventStreamRenderer]
    content_negotiation_class = AlwaysJSON


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
