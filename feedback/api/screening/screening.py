"""Content screening: the guard model, the pre-annotation tagger, personal data, and unblocking."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.collection.prompts import PromptSerializer, ResponseSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView, StatusAndBody
from feedback.models import Project
from feedback.rules.json_types import JsonObject
from feedback.rules.screening import screening as rules
from feedback.selectors.platform import access
from feedback.selectors.screening import screening as screening_selectors
from feedback.services.screening import screening


class GuardSerializer(Serializer):
    model = serializers.CharField(
        max_length=60, help_text="Id of a classifier, or `newest` for the newest approved one."
    )
    blocks = serializers.ListField(
        child=serializers.CharField(max_length=200),
        min_length=1,
        max_length=200,
        help_text="The classes that it blocks.",
    )
    threshold = serializers.FloatField(default=0.5, help_text="Threshold, a probability from 0 to 1.")
    when_away = serializers.ChoiceField(
        choices=[(rules.HOLD, "hold until it is available"), (rules.PASS, "pass unscreened after ten minutes")],
        default=rules.HOLD,
        help_text="What happens to texts while it is unavailable.",
    )


class MarkerSerializer(Serializer):
    model = serializers.CharField(max_length=60, help_text="A tagger's id, or `newest`: the newest approved one.")
    scheme = serializers.CharField(max_length=60, help_text="Span scheme whose tasks it pre-annotates.")
    personal = serializers.ListField(
        child=serializers.CharField(max_length=60),
        max_length=200,
        default=list,
        help_text="Labels that mean personal data; with `personal` below they are detected in prompts.",
    )


@extend_schema_serializer(component_name="Screening")
class ScreeningSerializer(Serializer):
    guard = GuardSerializer(allow_null=True, required=False, help_text="Null: prompts are not screened.")
    marker = MarkerSerializer(allow_null=True, required=False)
    personal = serializers.ChoiceField(
        choices=list(rules.PERSONAL),
        required=False,
        help_text="How personal data in prompts is handled: off, noted, masked, or the prompt is blocked.",
    )


@extend_schema_serializer(component_name="ScreeningTold")
class ScreeningStateSerializer(Serializer):
    guard = GuardSerializer(allow_null=True)
    marker = MarkerSerializer(allow_null=True)
    personal = serializers.CharField()
    waiting = serializers.IntegerField(help_text="Number of unscreened prompts and responses, at most 1,000.")
    trouble = serializers.CharField(allow_blank=True, help_text="Why it could not, the last time.")


class UnblockSerializer(Serializer):
    reason = serializers.CharField(max_length=500, help_text="Reason for unblocking; stored with it.")


class Screening(ServiceView):
    scopes = {"GET": "read", "PATCH": "admin"}

    @extend_schema(summary="Get the content screening settings", responses=ScreeningStateSerializer)
    def get(self, request: Request, project: str) -> Response:
        return Response(screening_state(access.get_project(self.viewer, project, access.ADMIN)))

    @extend_schema(
        summary="Set content screening",
        description="Omitted settings stay unchanged. A guard model screens prompts and responses before anyone "
        "sees them and blocks texts that reach the threshold of a blocked class.",
        request=ScreeningSerializer,
        responses=ScreeningStateSerializer,
    )
    def patch(self, request: Request, project: str) -> Response:
        found = access.get_project(self.viewer, project, access.ADMIN)
        given = self.validated(ScreeningSerializer)
        return Response(screening_state(screening.set_screening(by=self.person, project=found, **given)))


class UnblockPrompt(ServiceView):
    scopes = {"POST": "admin"}

    @extend_schema(summary="Unblock a prompt", request=UnblockSerializer, responses={200: PromptSerializer})
    def post(self, request: Request, id: UUID) -> Response:
        prompt = access.get_prompt(self.viewer, id, access.ADMIN)
        reason = self.validated(UnblockSerializer)["reason"]

        def act() -> StatusAndBody:
            return 200, PromptSerializer(screening.unblock_prompt(by=self.person, prompt=prompt, reason=reason)).data

        return self.once(act)


class UnblockResponse(ServiceView):
    scopes = {"POST": "admin"}

    @extend_schema(summary="Unblock a response", request=UnblockSerializer, responses={200: ResponseSerializer})
    def post(self, request: Request, id: UUID) -> Response:
        response = access.get_response(self.viewer, id, access.ADMIN)
        reason = self.validated(UnblockSerializer)["reason"]

        def act() -> StatusAndBody:
            unblocked = screening.unblock_response(by=self.person, response=response, reason=reason)
            return 200, ResponseSerializer(unblocked).data

        return self.once(act)


def screening_state(project: Project) -> JsonObject:
    """The data of ScreeningStateSerializer."""
    status = screening_selectors.status(project)
    state = {"guard": None, "marker": None, "personal": rules.OFF, **project.screening}
    state |= {"waiting": status.waiting, "trouble": status.trouble}
    return ScreeningStateSerializer(state).data
