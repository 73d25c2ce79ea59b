"""Page and fragment are one view, one URL, one context."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def wants_fragment(request: HttpRequest) -> bool:
    """True when htmx asks for a part of a page (a boosted link or a restored history entry wants all of it)."""
    htmx: Any = getattr(request, "htmx", None)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def page_or_partial(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    """Render `feedback/<folder>/<name>.html`, or for htmx the fragment `feedback/<folder>/_<name>.html` beside it.

    Args:
        template: folder and name, such as "platform/home/pipeline".
    """
    folder, _, name = template.rpartition("/")
    if wants_fragment(request):
        name = f"_{name}"
    response = render(request, f"feedback/{folder}/{name}.html", context, status=status)
    response["Vary"] = "HX-Request"
    return response
