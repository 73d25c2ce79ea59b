"""Exports: jobs that write rows to files."""

from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.data.transfers import FORMAT_NAMES, Transfers, TransferSerializer
from feedback.api.files import download
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, StatusAndBody
from feedback.models import Job
from feedback.selectors.platform import access
from feedback.services.data import exports


@extend_schema_serializer(component_name="Export")
class ExportSerializer(TransferSerializer):
    kind = serializers.CharField(source="payload.kind", allow_blank=True)
    file_type = serializers.CharField(source="payload.file_type")
    rows = serializers.IntegerField(source="result.rows", default=None, allow_null=True)
    bytes = serializers.IntegerField(source="result.bytes", default=None, allow_null=True)
    sha256 = serializers.CharField(source="result.sha256", default="", allow_blank=True)
    notes = serializers.ListField(
        source="result.notes", child=serializers.CharField(), default=list, help_text="What the format cannot include."
    )
    left_out = serializers.DictField(
        source="result.left_out",
        child=serializers.IntegerField(),
        default=dict,
        help_text="What was left out for that reason, with counts.",
    )


@extend_schema_serializer(component_name="NewExport")
class NewExportSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    format = serializers.ChoiceField(choices=FORMAT_NAMES)
    kind = serializers.ChoiceField(
        choices=list(exports.KINDS_OF_ITEMS), required=False, help_text="Only tasks of this kind."
    )
    file_type = serializers.ChoiceField(choices=list(exports.FILE_TYPES), default=exports.JSONL)


class Exports(Transfers):
    kind = Job.Kind.EXPORT

    @extend_schema(summary="Exports", parameters=[IN_PROJECT], responses=ExportSerializer(many=True))
    def get(self, request: Request) -> Response:
        return self.page(self.rows(), ExportSerializer)

    @extend_schema(
        summary="Export a file",
        description="A worker writes it; once it has succeeded, download its file. `notes` and `left_out` list "
        "what the format cannot include.",
        request=NewExportSerializer,
        responses={202: ExportSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewExportSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)

        def act() -> StatusAndBody:
            return 202, ExportSerializer(exports.request_export(project=project, by=self.person, **given)).data

        return self.once(act)


class OneExport(Transfers):
    kind = Job.Kind.EXPORT
    scopes = {"GET": "data"}

    @extend_schema(summary="An export", responses=ExportSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(ExportSerializer(self.job(id)).data)


class ExportFile(Transfers):
    kind = Job.Kind.EXPORT
    scopes = {"GET": "data"}

    @extend_schema(
        summary="An export's file",
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The file.")},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        path = exports.file_of(self.job(id))
        return download(exports.chunks_of(path), path.name, path.stat().st_size, "application/octet-stream")
