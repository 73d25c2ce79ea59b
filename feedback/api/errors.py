"""One error shape for all of REST: {"type": …, "errors": [{"code", "detail", "attr"}]}."""

from typing import Any

from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions

from feedback.errors import DomainError

SCOPE_ERROR = "insufficient_scope"


class DomainAPIException(exceptions.APIException):
    """A DomainError on its way out of REST; keeps its status, code, field and extra details."""

    def __init__(self, error: DomainError) -> None:
        self.status_code = error.status
        self.extra = error.extra
        detail = exceptions.ErrorDetail(error.sentence, code=error.code)
        super().__init__(detail, code=error.code)
        self.detail = {error.field: [detail]} if error.field else detail


class Handler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, DomainError):
            return DomainAPIException(exc)
        return super().convert_known_exceptions(exc)

    def format_exc(self, exc: exceptions.APIException) -> Any:
        body = super().format_exc(exc)
        if isinstance(exc, DomainAPIException) and exc.extra:
            body["extra"] = exc.extra
        return body


def exception_handler(exc: Exception, context: dict[str, Any]) -> Any:
    return Handler(exc, context).run()
