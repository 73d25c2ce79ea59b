"""A DomainError that reaches a page becomes a page: what went wrong, and the way out."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from feedback.errors import NO_ROOM, DiskFull, DomainError


class DomainErrorMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            error = DiskFull()
        if not isinstance(error, DomainError):
            return None
        if request.path.startswith(("/api/", "/v1/")):
            body = {"type": "client_error", "errors": [{"code": error.code, "detail": error.sentence, "attr": None}]}
            return JsonResponse(body, status=error.status)
        return render(request, "feedback/errors/domain.html", {"error": error}, status=error.status)
