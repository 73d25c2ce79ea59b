"""Imports and exports: jobs that read files into rows and write rows to files."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, BoundedJSONParser, ServiceView, StatusAndBody
from feedback.downloads import NDJSON
from feedback.errors import Invalid, NotFound
from feedback.formats.catalogue import FORMATS
from feedback.models import Job
from feedback.rules.data.import_outcome import COMPLETE, NOTHING, PARTIAL, outcome_of
from feedback.selectors.platform import access, health
from feedback.services.data import exports, imports

FORMAT_NAMES = list(FORMATS)
UNSAFE_IN_HEADER = re.compile(r"[^A-Za-z0-9._-]")


class TransferSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    format = serializers.CharField(source="payload.format")
    status = serializers.ChoiceField(choices=Job.Status.choices)
    says = serializers.SerializerMethodField(help_text="Status sentence, including whether a worker is running.")
    progress_text = serializers.CharField(allow_blank=True)
    step = serializers.IntegerField(help_text="Of an import: kilobytes read.")
    steps = serializers.IntegerField(help_text="Of an import: kilobytes in all. 0 while unknown.")
    error = serializers.CharField(allow_blank=True)
    remedy = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_says(self, job: Job) -> str:
        return health.life(job).sentence


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

    @extend_schema_field(serializers.ChoiceField(choices=[COMPLETE, PARTIAL, NOTHING, ""]))
    def get_outcome(self, job: Job) -> str:
        if job.status != Job.Status.SUCCEEDED:
            return ""
        return outcome_of(job.result).state


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


@extend_schema_serializer(component_name="NewImport")
class NewImportSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    format = serializers.ChoiceField(choices=FORMAT_NAMES)
    file = serializers.FileField(required=False, help_text="The file, plain or as gz or zip; needs multipart.")
    path = serializers.CharField(
        required=False,
        max_length=500,
        help_text="Instead of a file: one in the import folder (`inbox` in the data folder) folder.",
    )
    source = serializers.CharField(required=False, max_length=100, help_text="Where the rows come from.")  # type: ignore[assignment]
    annotator = serializers.CharField(
        required=False, max_length=200, help_text="Who annotated, if the file does not name anybody."
    )


@extend_schema_serializer(component_name="NewExport")
class NewExportSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    format = serializers.ChoiceField(choices=FORMAT_NAMES)
    kind = serializers.ChoiceField(
        choices=list(exports.KINDS_OF_ITEMS), required=False, help_text="Only tasks of this kind."
    )
    file_type = serializers.ChoiceField(choices=list(exports.FILE_TYPES), default=exports.JSONL)


class Transfers(ServiceView):
    """What imports and exports share: a list of the jobs of one kind, and one job of that kind."""

    scopes = {"GET": "data", "POST": "data"}
    queryset = Job.objects.none()
    kind: str

    def rows(self) -> QuerySet[Job]:
        project = self.requested_project(access.ADMIN)
        return Job.objects.filter(project=project, kind=self.kind).select_related("project")

    def job(self, id: UUID) -> Job:
        job = access.get_job(self.viewer, id)
        if job.kind != self.kind:
            raise NotFound
        return job


class Imports(Transfers):
    kind = Job.Kind.IMPORT
    parser_classes = [MultiPartParser, BoundedJSONParser]

    @extend_schema(summary="Imports", parameters=[IN_PROJECT], responses=ImportSerializer(many=True))
    def get(self, request: Request) -> Response:
        return self.page(self.rows(), ImportSerializer)

    @extend_schema(
        summary="Import a file",
        description="A worker imports it; get the import for its result. Valid rows are imported even if others "
        "are rejected; rejected lines can be downloaded. Importing a file twice adds nothing.",
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


def download(chunks: Iterable[bytes], name: str, size: int, kind: str) -> StreamingHttpResponse:
    """A file in chunks. Browsers save it under `name`, in which unsafe characters of a header become "_"."""
    plain = UNSAFE_IN_HEADER.sub("_", name)
    response = StreamingHttpResponse(chunks, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{plain}"'
    response["Content-Length"] = str(size)
    return response


def chunks_of_upload(file: UploadedFile) -> Iterator[bytes]:
    """The upload from its start, each time that it is read."""
    file.seek(0)
    yield from file.chunks()


def digest(chunks: Iterable[bytes]) -> str:
    """The SHA-256 of a file in chunks."""
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return sha256.hexdigest()
