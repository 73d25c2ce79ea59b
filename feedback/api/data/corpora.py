"""Corpora and their documents: opened, uploaded as jobs, read, removed and restored."""

import json
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import ObjectField, VerbatimField
from feedback.api.files import chunks_of_upload, digest, download
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, BoundedJSONParser, ServiceView, StatusAndBody
from feedback.downloads import NDJSON, streamed
from feedback.errors import Invalid, NotFound
from feedback.formats.json_lines import json_line
from feedback.models import Corpus, Document, Job
from feedback.rules.json_types import JsonObject
from feedback.selectors.data import corpora as corpus_selectors
from feedback.selectors.platform import access, health
from feedback.services.data import corpora, exports

OF_CORPUS = OpenApiParameter("corpus", UUID, required=True, description="Public id of the corpus.")
REMOVED = OpenApiParameter("removed", bool, description="Removed documents instead of current ones.")
MAX_DOCUMENTS = 500  # documents in one body


@extend_schema_serializer(component_name="Corpus")
class CorpusSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    hold_out = serializers.ChoiceField(choices=Corpus.HoldOut.choices)
    documents = serializers.IntegerField(
        source="report.documents", default=None, allow_null=True, help_text="As of `reported_at`."
    )
    characters = serializers.IntegerField(source="report.characters", default=None, allow_null=True)
    reported_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="CorpusChange")
class CorpusChangeSerializer(Serializer):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=5000, required=False, allow_blank=True)
    hold_out = serializers.ChoiceField(
        choices=Corpus.HoldOut.choices,
        required=False,
        help_text="Held-out share: `share` (5 % of documents) or `last_tenth` (last 10 % of characters).",
    )


@extend_schema_serializer(component_name="NewCorpus")
class NewCorpusSerializer(CorpusChangeSerializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    name = serializers.CharField(max_length=120)


@extend_schema_serializer(component_name="CorpusUpload")
class UploadSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    corpus = serializers.UUIDField(source="payload.corpus")
    name = serializers.CharField(source="payload.name", help_text="Of the file or folder.")
    status = serializers.ChoiceField(choices=Job.Status.choices)
    says = serializers.SerializerMethodField(help_text="Status sentence, including whether a worker is running.")
    progress_text = serializers.CharField(allow_blank=True)
    step = serializers.IntegerField(help_text="Files read.")
    steps = serializers.IntegerField(help_text="Files in all. 0 while unknown.")
    read = serializers.IntegerField(source="result.read", default=0, help_text="Documents read so far.")
    new = serializers.IntegerField(source="result.new", default=0)
    characters = serializers.IntegerField(source="result.characters", default=0, help_text="Of the new ones.")
    left_out = serializers.DictField(
        source="result.left_out", child=serializers.IntegerField(), default=dict, help_text="Documents, by reason."
    )
    masked = serializers.DictField(
        source="result.masked", child=serializers.IntegerField(), default=dict, help_text="Personal data, by kind."
    )
    error = serializers.CharField(allow_blank=True)
    remedy = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_says(self, job: Job) -> str:
        return health.life(job).sentence


@extend_schema_serializer(component_name="NewCorpusUpload")
class NewUploadSerializer(Serializer):
    file = serializers.FileField(
        required=False, help_text="txt, md, html, jsonl, csv, parquet, any of them as gz, or a zip of them; multipart."
    )
    path = serializers.CharField(
        required=False,
        max_length=500,
        help_text="Instead: a file or folder in the import folder (`inbox` in the data folder).",
    )
    source = serializers.CharField(required=False, max_length=200, help_text="For documents that name no source.")  # type: ignore[assignment]
    kind = serializers.ChoiceField(choices=Document.Kind.choices, required=False)
    licence = serializers.CharField(required=False, max_length=100)
    cleaning = serializers.JSONField(
        required=False,
        help_text="quality (true), thresholds, languages (codes of those kept; none: all), near_duplicates (true), mask"
        " (false, true, or kinds of personal data).",
    )


@extend_schema_serializer(component_name="NewDocument")
class NewDocumentSerializer(Serializer):
    text = VerbatimField()
    name = serializers.CharField(required=False, max_length=200)
    source = serializers.CharField(required=False, max_length=200)  # type: ignore[assignment]
    kind = serializers.ChoiceField(choices=Document.Kind.choices, required=False)
    licence = serializers.CharField(required=False, max_length=100)


@extend_schema_serializer(component_name="NewDocuments")
class NewDocumentsSerializer(Serializer):
    corpus = serializers.UUIDField()
    documents = serializers.ListField(child=NewDocumentSerializer(), min_length=1, max_length=MAX_DOCUMENTS)
    cleaning = ObjectField(required=False)


@extend_schema_serializer(component_name="Document")
class DocumentSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField(allow_blank=True)
    excerpt = serializers.CharField(allow_blank=True)
    characters = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    kind = serializers.CharField(source="document_kind")
    licence = serializers.CharField()
    removed_at = serializers.DateTimeField(allow_null=True)
    removed_reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="WholeDocument")
class WholeDocumentSerializer(DocumentSerializer):
    excerpt = None  # type: ignore[assignment]
    text = serializers.CharField()


@extend_schema_serializer(component_name="DocumentIds")
class DocumentIdsSerializer(Serializer):
    corpus = serializers.UUIDField()
    documents = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=corpora.MOST_AT_ONCE, help_text="Public ids."
    )


@extend_schema_serializer(component_name="DocumentRemoval")
class RemovalSerializer(DocumentIdsSerializer):
    reason = serializers.CharField(max_length=200)


@extend_schema_serializer(component_name="DocumentsMoved")
class MovedSerializer(Serializer):
    documents = serializers.IntegerField(help_text="Number of documents moved.")


class Corpora(ServiceView):
    scopes = {"GET": "data", "POST": "data"}
    queryset = Corpus.objects.none()

    @extend_schema(summary="Corpora", parameters=[IN_PROJECT], responses=CorpusSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.ADMIN)
        return self.page(Corpus.objects.filter(project=project).select_related("project"), CorpusSerializer)

    @extend_schema(summary="Create a corpus", request=NewCorpusSerializer, responses={201: CorpusSerializer})
    def post(self, request: Request) -> Response:
        given = self.validated(NewCorpusSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)

        def act() -> StatusAndBody:
            return 201, CorpusSerializer(corpora.open_corpus(project=project, by=self.person, **given)).data

        return self.once(act)


class OneCorpus(ServiceView):
    scopes = {"GET": "data", "PATCH": "data"}

    @extend_schema(summary="A corpus", responses=CorpusSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(CorpusSerializer(access.get_corpus(self.viewer, id)).data)

    @extend_schema(summary="Change a corpus", request=CorpusChangeSerializer, responses=CorpusSerializer)
    def patch(self, request: Request, id: UUID) -> Response:
        corpus = access.get_corpus(self.viewer, id)
        given = self.validated(CorpusChangeSerializer)
        return Response(CorpusSerializer(corpora.update_corpus(corpus=corpus, by=self.person, **given)).data)


class CorpusReport(ServiceView):
    scopes = {"GET": "data", "POST": "data"}

    @extend_schema(
        summary="Get the report of a corpus",
        description=(
            "From the last report job: kinds, sources, licenses, lengths, vocabulary, n-gram overlap of sources."
        ),
        responses={200: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, id: UUID) -> Response:
        corpus = access.get_corpus(self.viewer, id)
        return Response({"reported_at": corpus.reported_at, **corpus.report})

    @extend_schema(summary="Refresh the report", request=None, responses={202: OpenApiTypes.OBJECT})
    def post(self, request: Request, id: UUID) -> Response:
        corpus = access.get_corpus(self.viewer, id)

        def act() -> StatusAndBody:
            return 202, {"job": str(corpora.request_report(corpus=corpus, by=self.person).public_id)}

        return self.once(act)


class CorpusDownload(ServiceView):
    scopes = {"GET": "data"}

    @extend_schema(
        summary="Download a corpus",
        description="Its current documents, in upload format.",
        responses={(200, NDJSON): OpenApiResponse(OpenApiTypes.BINARY, "One JSON object per line.")},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        corpus = access.get_corpus(self.viewer, id)
        return streamed(corpus_selectors.rows(corpus), f"{corpus.project.slug}-corpus.jsonl")


class CorpusUploads(ServiceView):
    scopes = {"GET": "data", "POST": "data"}
    queryset = Job.objects.none()
    parser_classes = [MultiPartParser, BoundedJSONParser]

    @extend_schema(summary="Uploads to a corpus", responses=UploadSerializer(many=True))
    def get(self, request: Request, id: UUID) -> Response:
        return self.page(corpus_selectors.uploads(access.get_corpus(self.viewer, id)), UploadSerializer)

    @extend_schema(
        summary="Add documents from a file or folder",
        description="A worker imports and cleans the documents; get the upload for its result. Excluded documents "
        "can be downloaded with reasons. Uploading a file twice adds nothing.",
        request={"multipart/form-data": NewUploadSerializer, "application/json": NewUploadSerializer},
        responses={202: UploadSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        corpus = access.get_corpus(self.viewer, id)
        given = self.validated(NewUploadSerializer)
        file, path = given.pop("file", None), given.pop("path", "")
        if (file is None) == (not path):
            raise Invalid("Send a file, or name one with path.", field="file")
        given["cleaning"] = _object(given.get("cleaning"))
        name, chunks, file_digest = path, None, None
        if file is not None:
            file_digest = digest(chunks_of_upload(file))
            name, chunks = str(file.name), chunks_of_upload(file)
        body = {"path": path, "file": file_digest, **given}

        def act() -> StatusAndBody:
            job = corpora.request_upload(corpus=corpus, by=self.person, name=name, chunks=chunks, path=path, **given)
            return 202, UploadSerializer(job).data

        return self.once(act, body)


class OneCorpusUpload(ServiceView):
    scopes = {"GET": "data"}

    @extend_schema(summary="Get an upload", responses=UploadSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(UploadSerializer(upload(self.viewer, id)).data)


class CorpusUploadRejected(ServiceView):
    scopes = {"GET": "data"}

    @extend_schema(
        summary="Download excluded documents",
        description="JSON Lines: file, line, reason, detail, the document it repeats (`of`), and the text's beginning.",
        responses={(200, NDJSON): OpenApiResponse(OpenApiTypes.BINARY, "One JSON object per line.")},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        job = upload(self.viewer, id)
        path = corpora.rejected_file(job)
        return download(exports.chunks_of(path), f"left-out-{job.payload['name']}.jsonl", path.stat().st_size, NDJSON)


class Documents(ServiceView):
    scopes = {"GET": "data", "POST": "data"}
    queryset = Document.objects.none()

    @extend_schema(
        summary="List documents of a corpus", parameters=[OF_CORPUS, REMOVED], responses=DocumentSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        key = request.query_params.get("corpus", "")
        if not key:
            raise NotFound("Name the corpus: ?corpus=<public id>.", field="corpus")
        corpus = self.row_named("corpus", access.get_corpus, key)
        removed = request.query_params.get("removed", "").lower() in ("true", "1")
        return self.page(corpus_selectors.listed(corpus, removed=removed), DocumentSerializer)

    @extend_schema(
        summary="Add documents",
        description=f"At most {MAX_DOCUMENTS}. A worker cleans them like those of a file.",
        request=NewDocumentsSerializer,
        responses={202: UploadSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewDocumentsSerializer)
        corpus = self.row_named("corpus", access.get_corpus, given["corpus"])
        lines = [json_line(row).encode() + b"\n" for row in given["documents"]]

        def act() -> StatusAndBody:
            job = corpora.request_upload(
                corpus=corpus, by=self.person, name="documents.jsonl", chunks=lines, cleaning=given.get("cleaning")
            )
            return 202, UploadSerializer(job).data

        return self.once(act)


class OneDocument(ServiceView):
    scopes = {"GET": "data"}

    @extend_schema(summary="Get a document with its text", responses=WholeDocumentSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(WholeDocumentSerializer(access.get_document(self.viewer, id)).data)


class RemoveDocuments(ServiceView):
    scopes = {"POST": "data"}

    @extend_schema(
        summary="Remove documents",
        description="Later snapshots exclude them, and the same text is not imported again.",
        request=RemovalSerializer,
        responses={200: MovedSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(RemovalSerializer)
        corpus = self.row_named("corpus", access.get_corpus, given["corpus"])

        def act() -> StatusAndBody:
            moved = corpora.remove_documents(
                corpus=corpus, by=self.person, ids=given["documents"], reason=given["reason"]
            )
            return 200, {"documents": moved}

        return self.once(act)


class RestoreDocuments(ServiceView):
    scopes = {"POST": "data"}

    @extend_schema(summary="Restore documents", request=DocumentIdsSerializer, responses={200: MovedSerializer})
    def post(self, request: Request) -> Response:
        given = self.validated(DocumentIdsSerializer)
        corpus = self.row_named("corpus", access.get_corpus, given["corpus"])

        def act() -> StatusAndBody:
            moved = corpora.restore_documents(corpus=corpus, by=self.person, ids=given["documents"])
            return 200, {"documents": moved}

        return self.once(act)


def upload(viewer: access.Viewer, id: UUID) -> Job:
    job = access.get_job(viewer, id)
    if job.kind != Job.Kind.CORPUS or job.payload.get("do") != corpora.UPLOAD:
        raise NotFound
    return job


def _object(value: object) -> JsonObject:
    """A JSON object. A form sends it as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Invalid("cleaning must be a JSON object.", field="cleaning") from None
    if value is not None and not isinstance(value, dict):
        raise Invalid("cleaning must be a JSON object.", field="cleaning")
    return value or {}
