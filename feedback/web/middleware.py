"""What happens around every request: it is counted, charged to its caller, and its reply is kept by nobody."""

import time
from collections.abc import Callable
from typing import Any

from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django_htmx.middleware import HtmxMiddleware

from feedback.errors import TooManyRequests, TooManyStreams
from feedback.models import Person
from feedback.runtime import metrics
from feedback.runtime.download_places import DownloadPlaces
from feedback.services.platform import limits
from feedback.web.errors import error_reply

PROGRAMS = ("/api/v1/", "/v1/")  # their doors count callers themselves, when they know them
FREE = ("/healthz", "/readyz", "/metrics", "/static/")
PAGE_METHODS = ("GET", "HEAD", "POST")  # a page would answer others as if it were requested
# Nothing here uses these, so no page of ours, and nothing framed in one, may.
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"

downloads = DownloadPlaces(max(2, settings.LIVE_STREAMS // 2))  # beside the streams, so that threads are always left


class AroundEveryRequest:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.content_policy = build_policy()  # the same for every reply, so it is put together once

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began, used = time.perf_counter(), time.thread_time()
        response = self.get_response(request)
        if isinstance(response, StreamingHttpResponse) and not request.path.startswith("/static/"):
            response = held(request, response)
        cost = time.thread_time() - used
        limits.charge(request, cost)
        metrics.count(request.path, response.status_code, time.perf_counter() - began, cost)
        # Private pages and answers lie in no cache. Static files say for themselves how long they may.
        if not response.has_header("Cache-Control"):
            response["Cache-Control"] = "no-store"
        response["Permissions-Policy"] = PERMISSIONS
        response[HEADER] = self.content_policy
        return response


def held(request: HttpRequest, response: StreamingHttpResponse) -> HttpResponseBase:
    """A download holds one of the places for them until it is closed. Streams of events hold theirs already."""
    if response.headers["Content-Type"].startswith("text/event-stream"):
        return response
    caller, _ = getattr(request, "counted_for", (limits.caller_address(request), 0))
    try:
        downloads.take(caller)
    except (TooManyRequests, TooManyStreams) as refused:
        return error_reply(request, refused)
    # Closed with the response, whether or not its first piece was ever requested.
    response._resource_closers.append(lambda: downloads.give_back(caller))  # type: ignore[attr-defined]
    return response


class MessagesOfPages(MessageMiddleware):
    """What a page tells at its next view. Programs have no next view."""

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if request.path.startswith(PROGRAMS) else super().__call__(request)


class HtmxOfPages(HtmxMiddleware):
    """What htmx stated about a request for a page."""

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if request.path.startswith(PROGRAMS) else super().__call__(request)


class LimitPages:
    """The methods of pages, and the allowance of whoever asks for one. Comes after the session is known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if request.path.startswith((*PROGRAMS, *FREE)):
            return None
        if request.method not in PAGE_METHODS:
            return HttpResponseNotAllowed(PAGE_METHODS)
        user = request.user
        wait = limits.of_person(request, user.pk) if isinstance(user, Person) else limits.of_address(request, page=True)
        return error_reply(request, TooManyRequests(wait)) if wait else None
