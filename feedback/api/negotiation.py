"""Which renderer answers: where there is one only, and the client takes anything or JSON, nothing is weighed."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

ANYTHING = (None, "", "*/*", "application/json")


class Negotiation(DefaultContentNegotiation):
    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        first: BaseRenderer = renderers[0]
        header = request.META.get("HTTP_ACCEPT")
        if (
            len(renderers) == 1
            and type(first) is JSONRenderer
            and header in ANYTHING
            and not request.META["QUERY_STRING"]
        ):
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)
