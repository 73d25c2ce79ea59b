"""Refuse a long body before it is read, unless the path takes files and the caller is signed in."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from feedback.errors import BodyTooLarge, SignedOut
from feedback.web.errors import error_reply

LARGEST_FORM = 1024 * 1024  # bytes; a longer body is an upload
PATHS_THAT_TAKE_FILES = re.compile(
    r"/p/[-\w]+/data/(imports/new|corpora/[-0-9a-f]+/upload)/|/api/v1/(imports|corpora/[-0-9a-f]+/uploads)/"
)
PROGRAMS = ("/api/", "/v1/")


class RefuseLongBodies:
    """Middleware after the session, and before the CSRF check, which would read the body.

    The API identifies its callers before it reads a body, so only the length is checked here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = str(request.META.get("CONTENT_LENGTH") or "0")
        if not length.isdigit() or int(length) <= LARGEST_FORM:
            return self.get_response(request)
        if not request.path.startswith(PROGRAMS) and not request.user.is_authenticated:
            return error_reply(request, SignedOut())
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if PATHS_THAT_TAKE_FILES.fullmatch(request.path):
            limit = settings.MAX_UPLOAD_BYTES
        if int(length) > limit:
            return error_reply(request, BodyTooLarge(limit))
        return self.get_response(request)
