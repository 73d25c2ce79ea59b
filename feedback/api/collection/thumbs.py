"""Thumbs of API clients on responses they were given."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import VerbatimField
from feedback.api.views import ServiceView
from feedback.selectors.platform import access
from feedback.services.collection import thumbs
from feedback.services.collection.thumbs import MAX_COMMENT

UP, DOWN = "up", "down"


class ResponseOrCompletionField(serializers.UUIDField):
    """A response by its id, or the first choice of a completion by the completion's."""

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(data.removeprefix("chatcmpl-") if isinstance(data, str) else data)


class NewThumbSerializer(serializers.Serializer[Any]):
    response = ResponseOrCompletionField(help_text="A response's id, or a completion's of /v1 for its first choice.")
    thumbs = serializers.ChoiceField(choices=[UP, DOWN])
    comment = VerbatimField(max_length=MAX_COMMENT, allow_blank=True, default="")


class ThumbSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    response = serializers.UUIDField(source="response.public_id")
    thumbs = serializers.SerializerMethodField()
    comment = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()

    def get_thumbs(self, row: Any) -> str:
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
        given = self.read(NewThumbSerializer)
        response = self.named("response", access.get_response_with_author, given["response"])

        def act() -> tuple[int, Any]:
            thumb = thumbs.give_thumb(
                response=response,
                person=self.person,
                token=self.viewer.token,
                up=given["thumbs"] == UP,
                comment=given["comment"],
            )
            return 201, ThumbSerializer(thumb).data

        return self.once(act)
