"""Imports: jobs that read files into rows."""

from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.data.mappings import LayoutField, MappingField, RepairsField
from feedback.api.data.transfers import Transfers, TransferSerializer
from feedback.api.files import chunks_of_upload, digest, download
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, BoundedJSONParser, StatusAndBody
from feedback.downloads import NDJSON
from feedback.errors import Invalid
from feedback.models import Job
from feedback.rules.data.import_outcome import COMPLETE, NOTHING, PARTIAL, outcome_of
from feedback.selectors.platform import access
from feedback.services.data import exports, import_sources, imports


@extend_schema_serializer(component_name="Import")
class ImportSerializer(TransferSerializer):
    name = serializers.CharField(source="payload.name", help_text="The file's name.")
    outcome = serializers.SerializerMethodField(
        help_text="After success: complete, partial (some lines were rejected) or nothing (no row was imported)."
    )
    read = serializers.IntegerField(source="result.read", default=0, help_text="Rows read so far.")
    new = serializers.IntegerField(source="result.new", default=0)
    before = serializers.IntegerField(source="result.before", default=0, help_text="Rows already present.")
    rejected = serializers.IntegerField(source="result.rejected", default=0)
    linking = serializers.IntegerField(
        source="result.linking",
        default=0,
        help_text="Prompts whose family and group belong to different splits: stored, but excluded from snapshots.",
    )
    moved = serializers.IntegerField(
        source="result.moved", default=0, help_text="Prompts that older relatives put into another split than the file."
    )
    left_out = serializers.DictField(
        source="result.left_out",
        child=serializers.IntegerField(),
        default=dict,
        help_text="Entries that the file itself marks as no annotation, with their counts.",
    )
    notes = serializers.DictField(
        source="result.notes",
        child=serializers.IntegerField(),
        default=dict,
        help_text="How ambiguous rows were read, with their counts.",
    )

    kinds = serializers.DictField(
        source="result.kinds",
        child=serializers.IntegerField(),
        default=dict,
        help_text="New rows by task kind; `prompt` for those without a task, `thumb` for responses with thumbs.",
    )
    annotations = serializers.IntegerField(
        source="result.answers", default=0, help_text="Annotations and gold answers of the new rows."
    )
    dry_run = serializers.BooleanField(
        source="payload.dry_run", default=False, help_text="Rows were checked and counted only."
    )
    mapping = MappingField(
        source="payload.mapping", default=None, allow_null=True, help_text="Of a table: how its columns are read."
    )
    layout = LayoutField(
        source="payload.layout", default=None, allow_null=True, help_text="How the file is laid out, as detected."
    )

    @extend_schema_field(serializers.ChoiceField(choices=[COMPLETE, PARTIAL, NOTHING, ""]))
    def get_outcome(self, job: Job) -> str:
        if job.status != Job.Status.SUCCEEDED:
            return ""
        return outcome_of(job.result).state


@extend_schema_serializer(component_name="NewImport")
class NewImportSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    format = serializers.ChoiceField(
        choices=import_sources.IMPORTED,
        default=import_sources.AUTO,
        help_text="`auto` looks at the file; `table` reads CSV, XLSX, JSON or Parquet of any columns by a mapping.",
    )
    file = serializers.FileField(required=False, help_text="The file, plain or as gz or zip; needs multipart.")
    path = serializers.CharField(
        required=False,
        max_length=500,
        help_text="Instead of a file: one in the import folder (`inbox` in the data folder).",
    )
    source = serializers.CharField(required=False, max_length=100, help_text="Where the rows come from.")  # type: ignore[assignment]
    annotator = serializers.CharField(
        required=False, max_length=200, help_text="Who annotated, if the file does not name anybody."
    )
    mapping = MappingField(
        required=False,
        help_text="What the columns of a table are; without it, a guess. Multipart sends it as JSON text.",
    )
    repairs = RepairsField(
        required=False, help_text='Cells to replace before they are read: {"12": {"label": "good"}} for line 12.'
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Check and count every row, and list the rejected ones, without importing any."
    )


class Imports(Transfers):
    kind = Job.Kind.IMPORT
    parser_classes = [MultiPartParser, BoundedJSONParser]

    @extend_schema(summary="Imports", parameters=[IN_PROJECT], responses=ImportSerializer(many=True))
    def get(self, request: Request) -> Response:
        return self.page(self.rows(), ImportSerializer)

    @extend_schema(
        summary="Import a file",
        description="A worker imports it; get the import for its result. Valid rows are imported even if others "
        "are rejected; rejected lines can be downloaded. Importing a file twice adds nothing. With `dry_run` nothing "
        "is written: the result counts what would be.",
        request={"multipart/form-data": NewImportSerializer, "application/json": NewImportSerializer},
        responses={202: ImportSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewImportSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)
        file, path = given.pop("file", None), given.pop("path", None)
        if (file is None) == (path is None):
            raise Invalid("Send a file, or name one with path.", field="file")
        file_digest = None
        if file is not None:
            name, chunks = file.name, chunks_of_upload(file)
            file_digest = digest(chunks_of_upload(file))
        else:
            name, chunks = imports.from_inbox(path)
        body = {"project": str(project.public_id), "path": path, "file": file_digest, **given}

        def act() -> StatusAndBody:
            job = imports.request_import(project=project, by=self.person, name=name, chunks=chunks, **given)
            return 202, ImportSerializer(job).data

        return self.once(act, body)


class OneImport(Transfers):
    kind = Job.Kind.IMPORT
    scopes = {"GET": "data"}

    @extend_schema(summary="An import", responses=ImportSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(ImportSerializer(self.job(id)).data)


class Rejected(Transfers):
    kind = Job.Kind.IMPORT
    scopes = {"GET": "data"}

    @extend_schema(
        summary="Download rejected lines",
        description="JSON Lines: line, field, error, and the text of the line.",
        responses={(200, NDJSON): OpenApiResponse(OpenApiTypes.BINARY, "One JSON object per line.")},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        job = self.job(id)
        path = imports.rejected_file(job)
        return download(exports.chunks_of(path), f"rejected-{job.payload['name']}.jsonl", path.stat().st_size, NDJSON)
