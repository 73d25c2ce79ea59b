"""The tokens of a text, by the tokenizer of a model version."""

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import VerbatimField
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.selectors.data import tokenizers
from feedback.selectors.platform import access


@extend_schema_serializer(component_name="Tokenize")
class TokenizeSerializer(Serializer):
    model = serializers.UUIDField(
        help_text="A version that holds a tokenizer: one of the stage `tokenizer`, or a model."
    )
    text = VerbatimField(max_length=tokenizers.LONGEST, allow_blank=True)


@extend_schema_serializer(component_name="TokenPiece")
class PieceSerializer(Serializer):
    id = serializers.IntegerField()
    text = serializers.CharField(allow_blank=True)
    start = serializers.IntegerField(help_text="Unicode characters.")
    end = serializers.IntegerField(help_text="Exclusive.")
    special = serializers.BooleanField()
    part = serializers.CharField(
        allow_blank=True, help_text="Such as `2 of 3`, if several tokens make up one character."
    )


@extend_schema_serializer(component_name="Tokenized")
class TokenizedSerializer(Serializer):
    model = serializers.UUIDField(source="version.public_id")
    algorithm = serializers.CharField()
    vocabulary = serializers.IntegerField()
    tokens = PieceSerializer(source="pieces", many=True)
    bytes = serializers.IntegerField()
    bytes_per_token = serializers.FloatField()
    comes_back = serializers.BooleanField(help_text="Whether decoding restores the text.")


class Tokenize(ServiceView):
    scopes = {"POST": "read"}

    @extend_schema(summary="Tokenize a text", request=TokenizeSerializer, responses={200: TokenizedSerializer})
    def post(self, request: Request) -> Response:
        given = self.validated(TokenizeSerializer)
        version = self.row_named("model", access.get_model, given["model"])
        return Response(TokenizedSerializer(tokenizers.fall(version, given["text"])).data)
