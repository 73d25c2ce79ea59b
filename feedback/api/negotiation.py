"""Content negotiation, with a short cut for a view that has one renderer and a client that accepts JSON."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

ANYTHING = (None, "", "*/*", "application/json")


class Negotiation(DefaultContentNegotiation):
    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderers = list(renderers)
        first = renderers[0]
        header = request.META.get("HTTP_ACCEPT")
        if (
            len(renderers) == 1
            and type(first) is JSONRenderer
            and header in ANYTHING
            and not request.META["QUERY_STRING"]
        ):
            return first, str(first.media_type)
        return super().select_renderer(request, renderers, format_suffix)
