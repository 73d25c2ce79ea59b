"""Long bodies are refused before a byte of them is read, wherever nobody may send one."""

import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from feedback.errors import BodyTooLarge, SignedOut
from feedback.web.errors import error_reply

SMALL = 1024 * 1024  # as much as any form is; more than that is somebody's upload
PAGES_THAT_TAKE_FILES = re.compile(r"/p/[-\w]+/data/(imports/new|corpora/[-0-9a-f]+/upload)/")
DOORS_THAT_TAKE_FILES = re.compile(r"/api/v1/(imports|corpora/[-0-9a-f]+/uploads)/")
PROGRAMS = ("/api/", "/v1/")


class RefuseLongBodies:
    """Comes after the session is known, and before the check of forms, which would read the body.

    Doors for programs ask who calls before they read, so only the length is looked at for them.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length: Any = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdigit() or int(length) <= SMALL:
            return self.get_response(request)
        program = request.path.startswith(PROGRAMS)
        takes_files = (DOORS_THAT_TAKE_FILES if program else PAGES_THAT_TAKE_FILES).fullmatch(request.path)
        if not program and not request.user.is_authenticated:
            return error_reply(request, SignedOut())
        limit = settings.MAX_UPLOAD_BYTES if takes_files else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return error_reply(request, BodyTooLarge(limit)) if int(length) > limit else self.get_response(request)
