"""Middleware: count requests, charge their cost to the caller, limit pages, and forbid caching."""

import time
from collections.abc import Callable
from typing import cast

from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.middleware import HtmxMiddleware

from feedback.errors import PasswordChangeNeeded, TooManyRequests, TooManyStreams
from feedback.models import Person
from feedback.runtime import metrics
from feedback.runtime.download_places import DownloadPlaces
from feedback.services.platform import limits
from feedback.services.platform.accounts import must_change_password
from feedback.web.errors import error_reply
from feedback.web.json_views import is_json

PROGRAMS = ("/api/v1/", "/v1/")  # the API counts its callers itself, after it has identified them
FREE = ("/healthz", "/readyz", "/metrics", "/static/")
PAGE_METHODS = ("GET", "HEAD", "POST")  # a view of a page does not check the method itself
# No page uses these features, so browsers refuse them to every page and frame.
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"

downloads = DownloadPlaces(max(2, settings.LIVE_STREAMS // 2))  # fewer than the streams, so that threads remain


class AroundEveryRequest:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.content_policy = build_policy()  # equal for every reply, so it is built once

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started, cpu_before = time.perf_counter(), time.thread_time()
        response = self.get_response(request)
        if isinstance(response, StreamingHttpResponse) and not request.path.startswith("/static/"):
            response = hold_download_place(request, response)
        cost = time.thread_time() - cpu_before
        limits.charge(request, cost)
        metrics.count(request.path, response.status_code, time.perf_counter() - started, cost)
        # Private pages and replies must not be cached. Static files set their own header.
        if not response.has_header("Cache-Control"):
            response["Cache-Control"] = "no-store"
        response["Permissions-Policy"] = PERMISSIONS
        response[HEADER] = self.content_policy
        return response


def hold_download_place(request: HttpRequest, response: StreamingHttpResponse) -> HttpResponseBase:
    """Let a download hold one of the places for downloads until it is closed. Event streams have their own places."""
    if response.headers["Content-Type"].startswith("text/event-stream"):
        return response
    caller, _ = getattr(request, "counted_for", (limits.caller_address(request), 0))
    try:
        downloads.take(caller)
    except (TooManyRequests, TooManyStreams) as refused:
        return error_reply(request, refused)
    # Runs when the response is closed, even if no part of it was sent.
    response._resource_closers.append(lambda: downloads.give_back(caller))  # type: ignore[attr-defined]
    return response


class PageMessages(MessageMiddleware):
    """Messages for the next page. The API has no pages, so its requests skip this."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(PROGRAMS):
            return cast(HttpResponseBase, self.get_response(request))
        return cast(HttpResponseBase, super().__call__(request))


class PageHtmx(HtmxMiddleware):
    """The headers of htmx as `request.htmx`. Requests of the API skip this."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(PROGRAMS):
            return cast(HttpResponseBase, self.get_response(request))
        return cast(HttpResponseBase, super().__call__(request))


class LimitPages:
    """Limit the methods of pages and the requests of each caller. It must come after the session middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> HttpResponse | None:
        if request.path.startswith((*PROGRAMS, *FREE)):
            return None
        if request.method not in PAGE_METHODS:
            return HttpResponseNotAllowed(PAGE_METHODS)
        user = request.user
        if isinstance(user, Person):
            wait_seconds = limits.of_person(request, user.pk)
        else:
            wait_seconds = limits.of_address(request, page=True)
        if not wait_seconds:
            return None
        return error_reply(request, TooManyRequests(wait_seconds))


class ChangeGeneratedPassword:
    """Whoever signed in with a password that others have seen changes it first. The API checks this by itself."""

    ALLOWED = ("account_password", "sign_out")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> HttpResponseBase | None:
        if request.path.startswith((*PROGRAMS, *FREE)) or not isinstance(request.user, Person):
            return None
        if not must_change_password(request.user) or request.path in map(reverse, self.ALLOWED):
            return None
        if request.method == "GET" and not request.headers.get("HX-Request") and not is_json(request):
            return redirect("account_password")
        return error_reply(request, PasswordChangeNeeded())
