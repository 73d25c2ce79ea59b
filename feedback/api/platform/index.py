"""The index of the API at /api/v1/."""

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView

ROOT = "/api/v1/"


@extend_schema_serializer(component_name="Index")
class IndexSerializer(Serializer):
    rooms = serializers.DictField(child=serializers.CharField(), help_text="Name of a list -> its path.")
    schema = serializers.CharField(help_text="Path of the OpenAPI schema.")
    docs = serializers.CharField(help_text="Path of the documentation that a browser shows.")


class Index(ServiceView):
    """The index. `rooms` are the paths of the lists, below /api/v1/."""

    scopes = {"GET": "read"}
    rooms: tuple[str, ...] = ()

    @extend_schema(operation_id="index_retrieve", summary="API index", responses=IndexSerializer)
    def get(self, request: Request) -> Response:
        rooms = {name.strip("/"): ROOT + name for name in self.rooms}
        return Response(IndexSerializer({"rooms": rooms, "schema": "/api/schema/", "docs": "/api/docs/"}).data)
