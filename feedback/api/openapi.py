"""The schema at /api/schema/: one error shape on every operation, and the Idempotency-Key on every POST."""

from typing import Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.pagination import BasePagination

from feedback.api.serializers import Serializer
from feedback.rules.json_types import JsonObject


class ProblemSerializer(Serializer):
    code = serializers.CharField(help_text="Stable: branch on this.")
    detail = serializers.CharField(help_text="A sentence for people, with a way out.")
    attr = serializers.CharField(allow_null=True, help_text="Which field of the input it is about, if any.")


class ErrorSerializer(Serializer):
    """The shape of every error, whatever its status."""

    type = serializers.ChoiceField(choices=["validation_error", "client_error", "server_error"])
    errors = ProblemSerializer(many=True)  # type: ignore[assignment]
    extra = serializers.DictField(required=False, help_text="Ids and numbers that help to go on, by name.")


SENTENCES = {
    "400": "The input is not valid; `attr` names the field.",
    "401": "No token, or one that is unknown, expired or revoked.",
    "403": "The token lacks the scope, or the person's role is too low.",
    "404": "Not found, or no access.",
    "409": "Conflict with the current state; the code says why.",
    "429": "Too many requests; `Retry-After` says when to retry.",
    "default": "Any other error, in the same shape.",
}
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description=(
        "A unique string of at most 200 characters. A repeat with the same key and body gets the first reply again,"
        " for 30 days; with another body it gets 409."
    ),
)
KEY_REQUIRED = OpenApiParameter(KEY.name, str, OpenApiParameter.HEADER, required=True, description=KEY.description)


class Schema(AutoSchema):
    """Adds to every operation what all views have in common, so that a view documents only what is its own."""

    def get_override_parameters(self) -> list[OpenApiParameter | Serializer | type[Serializer]]:
        parameters = list(super().get_override_parameters())
        if self.method != "POST":
            return parameters
        if getattr(self.view, "needs_key", False):
            return [*parameters, KEY_REQUIRED]
        return [*parameters, KEY]

    def _map_basic_serializer(self, serializer: Serializer, direction: str) -> JsonObject:
        """A request with a field that is not documented is refused, and the schema says so."""
        described: JsonObject = super()._map_basic_serializer(serializer, direction)
        if direction == "request":
            described["additionalProperties"] = False
        return described

    def _get_paginator(self) -> BasePagination | None:
        """Only a GET of a list is paginated."""
        if self.method != "GET":
            return None
        paginator: BasePagination | None = super()._get_paginator()
        return paginator

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> JsonObject:
        bodies: JsonObject = super()._get_response_bodies(direction)
        if direction != "response":
            return bodies
        for code, sentence in SENTENCES.items():
            if code in bodies or (code == "409" and self.method not in CHANGING):
                continue
            bodies[code] = self._get_response_for_code(OpenApiResponse(ErrorSerializer, sentence), code)
        return bodies
