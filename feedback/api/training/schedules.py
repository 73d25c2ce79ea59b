"""Schedules: which chain starts when."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import ObjectField
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import Schedule, Stage
from feedback.selectors.platform import access
from feedback.services.training import schedules


@extend_schema_serializer(component_name="Schedule")
class ScheduleSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    stages = serializers.ListField(child=serializers.CharField())
    every_seconds = serializers.IntegerField(allow_null=True)
    after_pairs = serializers.IntegerField(allow_null=True)
    config = serializers.DictField()
    promote = serializers.BooleanField(
        help_text="Request an admin's decision on the new policy after each pipeline run."
    )
    enabled = serializers.BooleanField()
    next_due_at = serializers.DateTimeField(allow_null=True)
    trouble = serializers.CharField(allow_blank=True, help_text="Why it could not start when it was due.")
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="NewSchedule")
class NewScheduleSerializer(Serializer):
    """Exactly one of every_seconds and after_pairs."""

    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    name = serializers.CharField(max_length=120)
    stages = serializers.ListField(
        child=serializers.ChoiceField(choices=Stage.choices), min_length=1, max_length=len(Stage)
    )
    every_seconds = serializers.IntegerField(
        min_value=schedules.SHORTEST_SECONDS, max_value=366 * 86_400, required=False, allow_null=True
    )
    after_pairs = serializers.IntegerField(min_value=1, max_value=10**9, required=False, allow_null=True)
    config = ObjectField(required=False)
    promote = serializers.BooleanField(
        default=False,
        help_text="Request an admin's decision on the new policy at the end. Models are never promoted automatically.",
    )


class EnabledSerializer(Serializer):
    enabled = serializers.BooleanField()


class Schedules(ServiceView):
    scopes = {"GET": "read", "POST": "train"}

    @extend_schema(summary="Schedules", parameters=[IN_PROJECT], responses=ScheduleSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.ADMIN)
        return self.page(Schedule.objects.filter(project=project).select_related("project"), ScheduleSerializer)

    @extend_schema(
        summary="Create a schedule",
        description="Each due time starts one pipeline run; none starts while one with the same stages is active.",
        request=NewScheduleSerializer,
        responses={201: ScheduleSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewScheduleSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)

        def act() -> StatusAndBody:
            schedule = schedules.create_schedule(by=self.person, project=project, **given)
            return 201, ScheduleSerializer(schedule).data

        return self.once(act)


class OneSchedule(ServiceView):
    scopes = {"GET": "read", "PATCH": "train", "DELETE": "train"}

    @extend_schema(summary="A schedule", responses=ScheduleSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(ScheduleSerializer(access.get_schedule(self.viewer, id)).data)

    @extend_schema(
        summary="Enable or disable a schedule",
        description="After enabling, time and pairs count from now.",
        request=EnabledSerializer,
        responses=ScheduleSerializer,
    )
    def patch(self, request: Request, id: UUID) -> Response:
        schedule = access.get_schedule(self.viewer, id)
        enabled = self.validated(EnabledSerializer)["enabled"]
        schedule = schedules.set_enabled(by=self.person, schedule=schedule, enabled=enabled)
        return Response(ScheduleSerializer(schedule).data)

    @extend_schema(summary="Remove a schedule", description="Its pipeline runs stay.", responses={204: None})
    def delete(self, request: Request, id: UUID) -> Response:
        schedules.delete_schedule(by=self.person, schedule=access.get_schedule(self.viewer, id))
        return Response(status=status.HTTP_204_NO_CONTENT)
