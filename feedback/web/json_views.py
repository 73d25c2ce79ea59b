"""Views for the scripts of the pages: JSON in and JSON out, with errors as code and sentence."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from feedback.errors import DomainError, Invalid
from feedback.rules.json_types import JsonObject
from feedback.web.pages import refuse_nul

P = ParamSpec("P")


def json_view(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """A decorator: errors become {"code", "sentence", "field"}, and signed-out callers get 401 instead of a page."""

    @never_cache
    @wraps(view)
    def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not request.user.is_authenticated:
            return JsonResponse({"code": "signed_out", "sentence": "You are signed out. Sign in again."}, status=401)
        try:
            refuse_nul(request)
            return view(request, *args, **kwargs)
        except DomainError as error:
            if not is_json(request):
                raise
            body = {"code": error.code, "sentence": error.sentence, "field": error.field}
            return JsonResponse(body, status=error.status)

    return wrapped


def is_json(request: HttpRequest) -> bool:
    """Whether a script sent the request. A plain form, from a browser without scripts, gets a page instead."""
    return request.content_type == "application/json" or request.headers.get("Accept") == "application/json"


def body_of(request: HttpRequest) -> JsonObject:
    """The body of the request as a JSON object that both databases can store and every reply can hold.

    Raises:
        Invalid: it is no JSON object, or holds a character that cannot be stored.
    """
    try:
        body = json.loads(request.body or b"{}", parse_constant=_refuse_constant)
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)  # 1e400 is read as infinity
        text.encode()  # fails for half of a surrogate pair
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.") from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise Invalid("It contains a NUL character, which cannot be stored.")
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.")
    return body


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")
