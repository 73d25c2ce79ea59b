"""What the desk's script asks of the service: JSON in, JSON out, errors as code and sentence."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from feedback.errors import DomainError, Invalid
from feedback.web.pages import refuse_nul

P = ParamSpec("P")


def json_view(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Errors become {"code", "sentence", "field"}; who is signed out gets 401 rather than the sign-in page."""

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
    """Whether script asks (a plain form, from a browser without script, gets a page instead)."""
    return request.content_type == "application/json" or request.headers.get("Accept") == "application/json"


def body_of(request: HttpRequest) -> dict[str, Any]:
    """The body as an object that both databases can hold and every reply can carry."""
    try:
        body = json.loads(request.body or b"{}", parse_constant=_refused)
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)  # 1e400 is read as infinity
        text.encode()  # half of a surrogate pair has no UTF-8
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.") from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise Invalid("It contains a NUL character, which cannot be stored.")
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.")
    return body


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")
