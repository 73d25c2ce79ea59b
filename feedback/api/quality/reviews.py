"""The review queue: its entries, and dismissing one. Decisions are made at the annotation or task."""

from uuid import UUID

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import MomentFilter
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import Concern, Kind
from feedback.selectors.platform import access
from feedback.selectors.quality import reviews as review_selectors
from feedback.services.quality import reviews


class ConcernSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    reason = serializers.ChoiceField(choices=Concern.Reason.choices)
    task = serializers.UUIDField(source="task.public_id")
    kind = serializers.CharField(source="task.kind")
    annotation = serializers.SerializerMethodField(help_text="The annotation it is about; null: the whole task.")
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)

    def get_annotation(self, row: Concern) -> UUID | None:
        if row.assignment is None or row.assignment.current is None:
            return None
        return row.assignment.current.public_id


class ConcernFilter(django_filters.FilterSet):
    reason = django_filters.ChoiceFilter(choices=Concern.Reason.choices)
    kind = django_filters.ChoiceFilter(field_name="task__kind", choices=Kind.choices)
    annotator = django_filters.UUIDFilter(field_name="assignment__annotator__public_id")
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Concern
        fields = ["reason"]


class Concerns(ServiceView):
    scopes = {"GET": "read"}
    queryset = Concern.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = ConcernFilter

    @extend_schema(
        summary="List pending reviews",
        description="Flagged, skipped too often, disagreeing, by unreliable annotators, and a random sample. Your "
        "own annotations are excluded. Decide with `annotations/{id}/review/` or "
        "`tasks/{id}/decide/`.",
        parameters=[IN_PROJECT],
        responses=ConcernSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.REVIEWER)
        rows = review_selectors.waiting(project, self.person).select_related("task", "assignment__current")
        return self.page(rows, ConcernSerializer)


class DismissConcern(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(summary="Dismiss a review", request=None, responses=ConcernSerializer)
    def post(self, request: Request, id: UUID) -> Response:
        concern = access.get_concern(self.viewer, id)

        def act() -> StatusAndBody:
            return 200, ConcernSerializer(reviews.dismiss(concern=concern, by=self.person)).data

        return self.once(act)
