"""What there is below /api/v1/."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.views import ServiceView

ROOT = "/api/v1/"


@extend_schema_serializer(component_name="Index")
class IndexSerializer(serializers.Serializer[Any]):
    rooms = serializers.DictField(child=serializers.CharField(), help_text="Name -> the path of its list.")
    schema = serializers.CharField(help_text="Path of the OpenAPI schema.")
    docs = serializers.CharField(help_text="Path of the documentation that a browser shows.")


class Index(ServiceView):
    """Made with `rooms`: the paths below /api/v1/ of the lists."""

    scopes = {"GET": "read"}
    rooms: tuple[str, ...] = ()

    @extend_schema(operation_id="index_retrieve", summary="API index", responses=IndexSerializer)
    def get(self, request: Request) -> Response:
        rooms = {name.strip("/"): ROOT + name for name in self.rooms}
        return Response(IndexSerializer({"rooms": rooms, "schema": "/api/schema/", "docs": "/api/docs/"}).data)
