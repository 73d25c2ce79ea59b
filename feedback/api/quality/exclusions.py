"""Annotators whose annotations are excluded from snapshots, and how an admin lifts an exclusion."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import PersonBriefSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView
from feedback.models import Exclusion
from feedback.selectors.platform import access
from feedback.selectors.quality import exclusions as exclusion_selectors
from feedback.services.quality import exclusions


@extend_schema_serializer(component_name="Exclusion")
class ExclusionSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    person = PersonBriefSerializer()
    reason = serializers.ChoiceField(choices=Exclusion.Reason.choices)
    sentence = serializers.SerializerMethodField(help_text="The evidence, for people.")
    hits = serializers.IntegerField(
        help_text=("Annotations that were too fast, or gold tasks with a wrong answer, at the time of exclusion.")
    )
    looked_at = serializers.IntegerField(help_text="Annotations checked before the exclusion.")
    since = serializers.DateTimeField()
    lifted_at = serializers.DateTimeField(allow_null=True)
    lifted_by = PersonBriefSerializer(allow_null=True)
    annotations = serializers.SerializerMethodField(help_text="Current annotations that are left out of snapshots.")
    tasks_to_reopen = serializers.SerializerMethodField(help_text="Tasks in which they fill a slot.")

    def get_sentence(self, row: Exclusion) -> str:
        return exclusion_selectors.sentence(row)

    def get_annotations(self, row: Exclusion) -> int:
        if row.lifted_at:
            return 0
        return exclusion_selectors.annotations_of(row).count()

    def get_tasks_to_reopen(self, row: Exclusion) -> int:
        if row.lifted_at:
            return 0
        return exclusion_selectors.fills(row).count()


class ReopenedSerializer(Serializer):
    reopened = serializers.IntegerField(help_text="Tasks that have a free slot again.")


class Exclusions(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="List exclusions",
        description="For reviewers and admins. Annotators who are too fast or fail gold tasks are excluded "
        "automatically: snapshots exclude their annotations until an admin lifts the exclusion.",
        parameters=[IN_PROJECT],
        responses=ExclusionSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.REVIEWER)
        return self.page(project.exclusions.select_related("person", "lifted_by"), ExclusionSerializer)


class LiftExclusion(ServiceView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Lift an exclusion",
        description="From then on, only new annotations count for an exclusion.",
        request=None,
        responses=ExclusionSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        row = access.get_exclusion(self.viewer, id)
        return self.once(lambda: (200, ExclusionSerializer(exclusions.lift(by=self.person, exclusion=row)).data))


class ReopenTasks(ServiceView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Reopen tasks of excluded annotations",
        description="`tasks_to_reopen` of the exclusion says how many tasks that are. The annotations stay, as extras.",
        request=None,
        responses=ReopenedSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        row = access.get_exclusion(self.viewer, id)
        return self.once(lambda: (200, {"reopened": exclusions.reopen_tasks(by=self.person, exclusion=row)}))
