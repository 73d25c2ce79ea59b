"""A DomainError that reaches a page becomes a page: what went wrong, and the way out."""

import logging
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from feedback.db.transient_faults import transient
from feedback.errors import DomainError
from feedback.web.json_views import is_json

log = logging.getLogger(__name__)


class DomainErrorMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if (passing := transient(error)) is not None:
            log.warning("answered %s: %r", passing.code, error)
            error = passing
        if not isinstance(error, DomainError):
            return None
        return error_reply(request, error)


def error_reply(request: HttpRequest, error: DomainError) -> HttpResponse:
    """An error as its caller reads it: a page, what the desk's script understands, or the error of a program."""
    if request.path.startswith(("/api/", "/v1/")):
        body: Any = {"type": "client_error", "errors": [{"code": error.code, "detail": error.sentence, "attr": None}]}
        reply: HttpResponse = JsonResponse(body, status=error.status)
    elif is_json(request):
        body = {"code": error.code, "sentence": error.sentence, "field": error.field}
        reply = JsonResponse(body, status=error.status)
    elif error.status >= 500:  # without the request, whose frame would ask the database again for who is signed in
        reply = HttpResponse(
            render_to_string("feedback/platform/errors/domain.html", {"error": error}), status=error.status
        )
    else:
        reply = render(request, "feedback/platform/errors/domain.html", {"error": error}, status=error.status)
    if wait := error.extra.get("retry_after"):
        reply["Retry-After"] = str(wait)
    return reply
