"""The audit log: who did what to which row."""

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import MomentFilter, PersonBriefSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView
from feedback.models import Event
from feedback.selectors.platform import access


@extend_schema_serializer(component_name="Event")
class EventSerializer(Serializer):
    """One entry of the audit log. It holds ids only, never text."""

    id = serializers.UUIDField(source="public_id")
    at = serializers.DateTimeField(source="created_at")
    actor = PersonBriefSerializer(allow_null=True, help_text="Null: the service itself.")
    verb = serializers.CharField(help_text="noun.participle, such as task.withdrawn.")
    object_type = serializers.CharField()
    object_id = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]


class EventFilter(django_filters.FilterSet):
    verb = django_filters.CharFilter()
    object_id = django_filters.UUIDFilter()
    since = MomentFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = Event
        fields = ["verb", "object_id", "since"]


class Events(ServiceView):
    scopes = {"GET": "admin"}
    queryset = Event.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = EventFilter

    @extend_schema(summary="Events of a project", parameters=[IN_PROJECT], responses=EventSerializer(many=True))
    def get(self, request: Request) -> Response:
        found = Event.objects.filter(project=self.requested_project(access.ADMIN))
        return self.page(found.select_related("actor"), EventSerializer)
