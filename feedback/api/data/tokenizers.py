"""How a text falls into the tokens of a version."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import VerbatimField
from feedback.api.views import ServiceView
from feedback.selectors.data import tokenizers
from feedback.selectors.platform import access


@extend_schema_serializer(component_name="Tokenize")
class TokenizeSerializer(serializers.Serializer[Any]):
    model = serializers.UUIDField(help_text="A version that holds a tokenizer: of the stage tokenizer, or a model.")
    text = VerbatimField(max_length=tokenizers.LONGEST, allow_blank=True)


@extend_schema_serializer(component_name="TokenPiece")
class PieceSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    text = serializers.CharField(allow_blank=True)
    start = serializers.IntegerField(help_text="Unicode characters.")
    end = serializers.IntegerField(help_text="Exclusive.")
    special = serializers.BooleanField()
    part = serializers.CharField(allow_blank=True, help_text="As `2 of 3`: several tokens make up this character.")


@extend_schema_serializer(component_name="Tokenized")
class FallSerializer(serializers.Serializer[Any]):
    model = serializers.UUIDField(source="version.public_id")
    algorithm = serializers.CharField()
    vocabulary = serializers.IntegerField()
    tokens = PieceSerializer(source="pieces", many=True)
    bytes = serializers.IntegerField()
    bytes_per_token = serializers.FloatField()
    comes_back = serializers.BooleanField(help_text="Whether decoding restores the text.")


class Tokenize(ServiceView):
    scopes = {"POST": "read"}

    @extend_schema(summary="Tokenize a text", request=TokenizeSerializer, responses={200: FallSerializer})
    def post(self, request: Request) -> Response:
        given = self.read(TokenizeSerializer)
        version = self.named("model", access.get_model, given["model"])
        return Response(FallSerializer(tokenizers.fall(version, given["text"])).data)
