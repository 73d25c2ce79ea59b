"""One error shape for all of REST: {"type": …, "errors": [{"code", "detail", "attr"}]}."""

import logging
import sys

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views import defaults
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ExceptionHandlerContext
from rest_framework import exceptions
from rest_framework.response import Response

from feedback.db.transient_faults import transient
from feedback.errors import DomainError
from feedback.rules.json_types import JsonObject

log = logging.getLogger(__name__)
SCOPE_ERROR = "insufficient_scope"


class TooLarge(exceptions.APIException):
    status_code = 413
    default_code = "body_too_large"
    default_detail = "The body is too large. Send it in several requests."


class DomainAPIException(exceptions.APIException):
    """A DomainError as an exception of REST framework, with its status, code, field and extra details."""

    def __init__(self, error: DomainError) -> None:
        self.status_code = error.status
        self.extra = error.extra
        self.wait = error.extra.get("retry_after")  # sent as the header Retry-After
        detail = exceptions.ErrorDetail(error.sentence, code=error.code)
        super().__init__(detail, code=error.code)
        self.detail = {error.field: [detail]} if error.field else detail


class Handler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, DomainError):
            return DomainAPIException(exc)
        if isinstance(exc, RequestDataTooBig):
            return TooLarge()
        if (passing := transient(exc)) is not None:
            log.warning("answered %s: %r", passing.code, exc)
            return DomainAPIException(passing)
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: exceptions.APIException, response: Response) -> None:
        """Report only unexpected faults. A DomainError is expected, even with the status 503."""
        if not isinstance(exc, DomainAPIException):
            super().report_exception(exc, response)

    def format_exception(self, exc: exceptions.APIException) -> JsonObject:
        body: JsonObject = super().format_exception(exc)
        if isinstance(exc, DomainAPIException) and exc.extra:
            body["extra"] = exc.extra
        return body


PROGRAM_PATHS = ("/api/", "/v1/")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The handler404 of Django: programs get JSON, people get a page."""
    if request.path.startswith(PROGRAM_PATHS):
        return _json_error(404, "client_error", "not_found", "This path does not exist.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """The handler500 of Django, for exceptions outside of views, such as in a middleware."""
    fault = sys.exc_info()[1]
    if fault is not None and (passing := transient(fault)) is not None:
        return _transient_fault(request, passing)
    if request.path.startswith(PROGRAM_PATHS):
        return _json_error(500, "server_error", "error", "Internal error. It was logged; try again later.")
    return defaults.server_error(request)


def _transient_fault(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Rendered without the request, because reading the session may fail in the same way."""
    if request.path.startswith(PROGRAM_PATHS):
        reply: HttpResponse = _json_error(error.status, "server_error", error.code, error.sentence)
    else:
        reply = HttpResponse(
            render_to_string("feedback/platform/errors/domain.html", {"error": error}), status=error.status
        )
    reply["Retry-After"] = str(error.extra["retry_after"])
    return reply


def _json_error(status: int, kind: str, code: str, detail: str) -> JsonResponse:
    return JsonResponse({"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}, status=status)


def exception_handler(exc: Exception, context: ExceptionHandlerContext) -> Response | None:
    """The EXCEPTION_HANDLER of REST framework."""
    return Handler(exc, context).run()
