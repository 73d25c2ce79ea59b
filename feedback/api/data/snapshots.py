"""Snapshots: requested, read, and downloaded row by row."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import django_filters
from django.http import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.downloads import NDJSON, ByAcceptOnly, NDJSONRenderer, streamed, streamed_bytes
from feedback.errors import Invalid, SnapshotRevoked
from feedback.formats import parquet
from feedback.formats.annotations import trl_rows as trl_row_formats
from feedback.models import FROZEN_SPLITS, DatasetSnapshot, Split
from feedback.rules.data.training_contract import REASONS
from feedback.rules.json_types import JsonObject
from feedback.rules.quality.reliability_weights import Weighing
from feedback.rules.training import policies
from feedback.selectors.platform import access
from feedback.services.data import snapshots
from feedback.services.data.exports import FILE_TYPES, JSONL

RAW, TRL = "raw", "trl"
PARQUET_TYPE = "application/vnd.apache.parquet"
KINDS = tuple(trl_row_formats.CONVERTERS)
REASON_LIST = "; ".join(f"{name}: {reason}" for name, reason in REASONS.items())


@extend_schema_serializer(component_name="SnapshotPolicy")
class PolicySerializer(Serializer):
    """Which rows the snapshot holds. A setting that is not given follows the policy of the project."""

    pairs = serializers.ChoiceField(choices=snapshots.PAIR_POLICIES, required=False)
    unsettled = serializers.BooleanField(required=False, help_text="Include incomplete tasks.")
    extras = serializers.BooleanField(required=False, help_text="Include extra annotations.")
    prompt_sources = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=100)
    accepted = serializers.BooleanField(
        required=False,
        help_text=(
            "Also use accepted responses as demonstrations: thumbs up and high ratings without a negative annotation."
        ),
    )
    include_excluded = serializers.BooleanField(required=False, help_text="Include annotations of excluded annotators.")
    weigh_annotators = serializers.ChoiceField(
        choices=list(Weighing),
        required=False,
        help_text="off: all annotators count the same; drop: leave out those who agree too little with the others; "
        "weigh: discount each by their error, or learn a weight per annotator while too few tasks have two.",
    )
    held_out_annotators = serializers.FloatField(
        required=False,
        min_value=0,
        max_value=policies.MOST_HELD_OUT,
        help_text="Share of annotators whose annotations of training prompts are held out.",
    )


@extend_schema_serializer(component_name="NewSnapshot")
class NewSnapshotSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    purpose = serializers.ChoiceField(choices=DatasetSnapshot.Purpose.choices, default=DatasetSnapshot.Purpose.FEEDBACK)
    corpus = serializers.UUIDField(required=False, allow_null=True, help_text="Which one, for the purpose `corpus`.")
    policy = PolicySerializer(required=False)


@extend_schema_serializer(component_name="Snapshot")
class SnapshotSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    number = serializers.IntegerField()
    purpose = serializers.ChoiceField(choices=DatasetSnapshot.Purpose.choices)
    state = serializers.ChoiceField(choices=DatasetSnapshot.State.choices)
    policy = serializers.DictField()
    content_hash = serializers.CharField(allow_blank=True, help_text="The same rows have the same hash on any machine.")
    manifest_sha256 = serializers.CharField(allow_blank=True)
    counts = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()))
    left_out = serializers.DictField(
        source="manifest.left_out",
        child=serializers.IntegerField(),
        default=dict,
        help_text="Excluded rows by reason. `unfit`: the trainer would reject them.",
    )
    unfit = serializers.DictField(
        source="manifest.unfit",
        child=serializers.IntegerField(),
        default=dict,
        help_text=f"Why rows are unfit, with counts. {REASON_LIST}.",
    )
    error = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    frozen_at = serializers.DateTimeField(allow_null=True)


class SnapshotFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=DatasetSnapshot.State.choices)
    purpose = django_filters.ChoiceFilter(choices=DatasetSnapshot.Purpose.choices)
    content_hash = django_filters.CharFilter()

    class Meta:
        model = DatasetSnapshot
        fields = ["state", "purpose", "content_hash"]


class Snapshots(ServiceView):
    scopes = {"GET": "data", "POST": "data"}
    queryset = DatasetSnapshot.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = SnapshotFilter

    @extend_schema(summary="Snapshots", parameters=[IN_PROJECT], responses=SnapshotSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.ADMIN)
        return self.page(DatasetSnapshot.objects.filter(project=project).select_related("project"), SnapshotSerializer)

    @extend_schema(
        summary="Freeze a snapshot",
        description="A worker freezes it; poll until its state is `frozen` or `failed`.",
        request=NewSnapshotSerializer,
        responses={202: SnapshotSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewSnapshotSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)
        if given.get("corpus") is not None:
            given["corpus"] = self.row_named("corpus", access.get_corpus, given["corpus"])
            if given["corpus"].project_id != project.pk:
                raise Invalid("That corpus belongs to another project.", field="corpus")

        def act() -> StatusAndBody:
            snapshot = snapshots.request_snapshot(project=project, by=self.person, **given)
            return 202, SnapshotSerializer(snapshot).data

        return self.once(act)


class OneSnapshot(ServiceView):
    scopes = {"GET": "data"}

    @extend_schema(summary="A snapshot", responses=SnapshotSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(SnapshotSerializer(access.get_snapshot(self.viewer, id)).data)


class SnapshotRows(ServiceView):
    scopes = {"GET": "data"}
    content_negotiation_class = ByAcceptOnly
    renderer_classes = [JSONRenderer, NDJSONRenderer]

    @extend_schema(
        summary="Download a snapshot's rows",
        description="JSON Lines or Parquet, in the order of the snapshot. `trl` gives rows for the trainers of"
        " TRL, one for"
        " each time that a row occurs; `raw` gives the frozen lines themselves, with hash and count. Rows of selection"
        " and test are for evaluation and must not be trained on.",
        parameters=[
            OpenApiParameter("format", str, enum=[TRL, RAW], default=TRL),
            OpenApiParameter("split", str, enum=list(map(str, FROZEN_SPLITS)), default=Split.TRAIN.value),
            OpenApiParameter("kind", str, enum=KINDS, description="Required for `trl`: each kind has its own columns."),
            OpenApiParameter(
                "file_type", str, enum=FILE_TYPES, default=JSONL, description="In Parquet, spans are JSON text."
            ),
        ],
        responses={
            (200, NDJSON): OpenApiResponse(OpenApiTypes.BINARY, "One JSON object per line."),
            (200, PARQUET_TYPE): OpenApiResponse(OpenApiTypes.BINARY, "With file_type=parquet."),
        },
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        snapshot = access.get_snapshot(self.viewer, id)
        shape = self._one_of("format", (TRL, RAW), TRL)
        split = self._one_of("split", tuple(map(str, FROZEN_SPLITS)), Split.TRAIN.value)
        kind = self._one_of("kind", KINDS, None)
        if shape == TRL and kind is None:
            raise Invalid(f"Name the kind, one of {', '.join(KINDS)}.", field="kind")
        path = snapshots.folder_of(snapshot) / f"{split}.jsonl"
        if not path.is_file():
            raise SnapshotRevoked("The snapshot files were deleted. Freeze a new snapshot.")
        file_type = self._one_of("file_type", FILE_TYPES, JSONL)
        columns: tuple[str, ...]
        if shape == RAW:
            rows, columns = raw_rows(path, kind), ("count", "hash", "row")
        else:
            rows, columns = trl_rows(path, str(kind)), trl_row_formats.COLUMNS[str(kind)]
        name = f"{snapshot.project.slug}-snapshot-{snapshot.number}-{split}-{kind or 'all'}.{file_type}"
        if file_type == JSONL:
            return streamed(rows, name)
        return streamed_bytes(parquet.chunks(rows, columns), name, PARQUET_TYPE)

    def _one_of(self, name: str, values: tuple[str, ...], default: str | None) -> str | None:
        value = self.request.query_params.get(name, default)
        if value is not None and value not in values:
            raise Invalid(f"{name} must be one of {', '.join(values)}.", field=name)
        return value


def raw_rows(path: Path, kind: str | None) -> Iterator[JsonObject]:
    """Lines of a frozen file: {"count", "hash", "row"}."""
    with path.open(encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            if kind is None or line["row"]["kind"] == kind:
                yield line


def trl_rows(path: Path, kind: str) -> Iterator[JsonObject]:
    """Rows of one kind as TRL takes them, each as often as it occurs."""
    for line in raw_rows(path, kind):
        converted = trl_row_formats.convert(line["row"])
        for _ in range(line["count"]):
            yield converted
