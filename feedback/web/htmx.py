"""A page and its fragment for htmx share one view, one URL and one context."""

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx requests a part of a page. A boosted link or a restored history entry needs the whole page."""
    htmx = getattr(request, "htmx", None)
    return isinstance(htmx, HtmxDetails) and bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def page_or_partial(
    request: HttpRequest, template: str, context: Mapping[str, object] | None = None, status: int = 200
) -> HttpResponse:
    """Render `feedback/<folder>/<name>.html`, or for htmx the fragment `feedback/<folder>/_<name>.html`.

    Args:
        template: folder and name, such as "platform/home/pipeline".
    """
    folder, _, name = template.rpartition("/")
    if wants_fragment(request):
        name = f"_{name}"
    response = render(request, f"feedback/{folder}/{name}.html", context, status=status)
    response["Vary"] = "HX-Request"
    return response
