"""Thumbs up or down on responses, by API clients."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import VerbatimField
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView, StatusAndBody
from feedback.models import Thumb
from feedback.selectors.platform import access
from feedback.services.collection import thumbs
from feedback.services.collection.thumbs import MAX_COMMENT

UP, DOWN = "up", "down"


class ResponseOrCompletionField(serializers.UUIDField):
    """The id of a response, or the id of a completion, which stands for its first choice."""

    def to_internal_value(self, data: int | str | UUID) -> UUID:
        if isinstance(data, str):
            data = data.removeprefix("chatcmpl-")
        return super().to_internal_value(data)


class NewThumbSerializer(Serializer):
    response = ResponseOrCompletionField(help_text="A response's id, or a completion's of /v1 for its first choice.")
    thumbs = serializers.ChoiceField(choices=[UP, DOWN])
    comment = VerbatimField(max_length=MAX_COMMENT, allow_blank=True, default="")


class ThumbSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    response = serializers.UUIDField(source="response.public_id")
    thumbs = serializers.SerializerMethodField()
    comment = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()

    def get_thumbs(self, row: Thumb) -> str:
        return UP if row.up else DOWN


class Feedback(ServiceView):
    scopes = {"POST": "submit"}

    @extend_schema(
        summary="Rate a response",
        description="On a response to one of your prompts; reviewers and admins on any. The last one of a token and"
        " response counts; earlier ones stay in the history.",
        request=NewThumbSerializer,
        responses={201: ThumbSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewThumbSerializer)
        response = self.row_named("response", access.get_response_with_author, given["response"])

        def act() -> StatusAndBody:
            thumb = thumbs.give_thumb(
                response=response,
                person=self.person,
                token=self.viewer.token,
                up=given["thumbs"] == UP,
                comment=given["comment"],
            )
            return 201, ThumbSerializer(thumb).data

        return self.once(act)
