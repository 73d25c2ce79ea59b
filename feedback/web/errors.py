"""Replies for a DomainError that a view raises: what went wrong, and what to do."""

import logging
from collections.abc import Callable

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
        if (fault := transient(error)) is not None:
            log.warning("answered %s: %r", fault.code, error)
            error = fault
        if not isinstance(error, DomainError):
            return None
        return error_reply(request, error)


def error_reply(request: HttpRequest, error: DomainError) -> HttpResponse:
    """The error in the form that the caller reads: JSON of the API, JSON for a script of the pages, or a page."""
    if request.path.startswith(("/api/", "/v1/")):
        errors = [{"code": error.code, "detail": error.sentence, "attr": None}]
        reply: HttpResponse = JsonResponse({"type": "client_error", "errors": errors}, status=error.status)
    elif is_json(request):
        body = {"code": error.code, "sentence": error.sentence, "field": error.field}
        reply = JsonResponse(body, status=error.status)
    elif error.status >= 500:  # rendered without the request, because its context would query the database again
        reply = HttpResponse(
            render_to_string("feedback/platform/errors/domain.html", {"error": error}), status=error.status
        )
    else:
        reply = render(request, "feedback/platform/errors/domain.html", {"error": error}, status=error.status)
    if wait := error.extra.get("retry_after"):
        reply["Retry-After"] = str(wait)
    return reply
