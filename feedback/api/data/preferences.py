"""Preference pairs: read, streamed in the format of TRL, or added from elsewhere."""

from collections.abc import Iterator
from typing import NotRequired, TypedDict
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from feedback.api import unknown_fields
from feedback.api.fields import MessageSerializer, MomentFilter, VerbatimField
from feedback.api.serializers import Serializer, ValidatedData
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody, created_status, with_index
from feedback.downloads import NDJSON, NDJSONRenderer, streamed
from feedback.errors import DomainError, Invalid
from feedback.formats.annotations import trl_rows as trl_row_formats
from feedback.models import PreferencePair, Project, Split
from feedback.rules.collection.preferences import STRENGTH_SCALE
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access
from feedback.services.data import preferences

MAX_ITEMS = 200
CHUNK = 500


class Problem(TypedDict):
    """One error of an item."""

    code: str
    detail: str
    attr: str | None


class ItemResult(TypedDict):
    """What ItemResultSerializer shows: the id of the pair, or the errors."""

    index: int
    status: int
    id: NotRequired[UUID]
    errors: NotRequired[list[Problem]]


@extend_schema_serializer(component_name="Preference")
class PreferenceSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    prompt = MessageSerializer(source="prompt.messages", many=True)
    prompt_id = serializers.UUIDField(source="prompt.public_id")
    split = serializers.CharField(source="prompt.split")
    chosen = serializers.CharField(source="chosen.text", allow_blank=True)
    rejected = serializers.CharField(source="rejected.text", allow_blank=True)
    strength = serializers.IntegerField(help_text=f"{STRENGTH_SCALE}.")
    annotation = serializers.UUIDField(source="annotation.public_id")
    source = serializers.CharField(source="prompt.source", allow_blank=True)  # type: ignore[assignment]
    external_id = serializers.CharField(source="annotation.task.external_id", allow_null=True)
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="NewPreference")
class NewPreferenceSerializer(Serializer):
    """A settled comparison from elsewhere. Responses are kept as they are, and may be empty."""

    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    prompt = MessageSerializer(many=True)
    chosen = VerbatimField(allow_blank=True)
    rejected = VerbatimField(allow_blank=True)
    strength = serializers.IntegerField(min_value=0, max_value=3, default=2, help_text=f"{STRENGTH_SCALE}.")
    source = serializers.CharField(max_length=100, help_text="Source.")  # type: ignore[assignment]
    annotator = serializers.CharField(max_length=200, help_text="Annotator name within the source.")
    external_id = serializers.CharField(
        max_length=200, required=False, allow_null=True, help_text="Your own id. The same id again adds nothing."
    )
    group = serializers.CharField(
        max_length=200,
        allow_blank=True,
        default="",
        help_text="Document, conversation or customer of the prompt; prompts of one group share a split.",
    )


@extend_schema_serializer(component_name="Given")
class ItemResultSerializer(Serializer):
    """The result of one item of a list."""

    index = serializers.IntegerField()
    status = serializers.IntegerField(help_text="201 new, 200 already present, 400 or 409 rejected.")
    id = serializers.UUIDField(required=False, help_text="Id of the preference, unless rejected.")
    errors = serializers.ListField(child=serializers.DictField(), required=False)  # type: ignore[assignment]


class PreferenceFilter(django_filters.FilterSet):
    split = django_filters.ChoiceFilter(field_name="prompt__split", choices=Split.choices)
    source = django_filters.CharFilter(field_name="prompt__source")
    since = MomentFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = PreferencePair
        fields = ["split", "source", "since"]


class Preferences(ServiceView):
    scopes = {"GET": "data", "POST": "data"}
    queryset = PreferencePair.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = PreferenceFilter

    def get_renderers(self) -> list[BaseRenderer]:
        if self.request.method == "GET":
            return [JSONRenderer(), NDJSONRenderer()]
        return [JSONRenderer()]

    @extend_schema(
        summary="List current preference pairs",
        description="For admins. With `Accept: application/x-ndjson` all of them are streamed, oldest first, in TRL's"
        " preference format: {prompt, chosen, rejected}, each a list of messages. All splits, unless one is named:"
        " rows of selection and test must not be trained on.",
        parameters=[IN_PROJECT],
        responses={
            (200, "application/json"): PreferenceSerializer(many=True),
            (200, NDJSON): OpenApiResponse(OpenApiTypes.BINARY, "One JSON object per line."),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        project = self.requested_project(access.ADMIN)
        pairs = PreferencePair.objects.standing().filter(project=project)
        pairs = pairs.select_related("prompt", "chosen", "rejected", "annotation__task")
        accepted = getattr(request, "accepted_renderer", None)
        if isinstance(accepted, NDJSONRenderer):
            return streamed(trl_rows(self.filter_queryset(pairs)), f"{project.slug}-preferences.jsonl")
        return self.page(pairs, PreferenceSerializer)

    @extend_schema(
        summary="Import preferences",
        description=f"For admins. One, or a list of at most {MAX_ITEMS}. A list is processed item by item and "
        "returns 207: each item reports by its index whether it is new, already present, or rejected "
        "and why. With an external_id on each, sending a list again adds nothing twice.",
        request=PolymorphicProxySerializer(
            "NewPreferenceOrList",
            [NewPreferenceSerializer, NewPreferenceSerializer(many=True)],
            resource_type_field_name=None,
            many=False,
        ),
        responses={
            201: PreferenceSerializer,
            200: PreferenceSerializer,
            207: OpenApiResponse(ItemResultSerializer(many=True), "Result for each item of the list."),
        },
    )
    def post(self, request: Request) -> HttpResponseBase:
        items: object = request.data
        if not isinstance(items, list):
            given = self.validated(NewPreferenceSerializer)
            project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)

            def act() -> StatusAndBody:
                pair, created = self._add(project, given)
                return created_status(created), PreferenceSerializer(pair).data

            return self.once(act)
        if not 1 <= len(items) <= MAX_ITEMS:
            raise Invalid(f"A list holds between 1 and {MAX_ITEMS} preferences; this one has {len(items)}.")
        return self.once(lambda: (207, self._add_all(items)))

    def _add_all(self, items: list[object]) -> list[ItemResult]:
        """Add each item in its own short transaction, so that other writers of SQLite need not wait for the list."""
        replies: list[ItemResult] = []
        projects: dict[str, Project] = {}
        for index, item in enumerate(items):
            try:
                given = dict(unknown_fields.validated_data(NewPreferenceSerializer(data=item)))
            except ValidationError as wrong:
                replies.append({"index": index, "status": 400, "errors": flatten_errors(wrong.detail)})
                continue
            key = given.pop("project")
            try:
                if key not in projects:
                    projects[key] = self.row_named("project", access.get_project, key, access.ADMIN)
                pair, created = self._add(projects[key], given)
            except DomainError as error:
                with_index(index, error)
                problem = Problem(code=error.code, detail=error.sentence, attr=error.field)
                replies.append({"index": index, "status": error.status, "errors": [problem]})
            else:
                replies.append({"index": index, "status": created_status(created), "id": pair.public_id})
        return replies

    def _add(self, project: Project, given: ValidatedData) -> tuple[PreferencePair, bool]:
        return preferences.give_preference(
            project=project,
            by=self.person,
            prompt_messages=list(map(dict, given["prompt"])),
            chosen=given["chosen"],
            rejected=given["rejected"],
            strength=given["strength"],
            source=given["source"],
            annotator_name=given["annotator"],
            external_id=given.get("external_id"),
            group=given["group"],
        )


def trl_rows(pairs: QuerySet[PreferencePair]) -> Iterator[JsonObject]:
    """Rows in the format of TRL, read in chunks by key, so that a slow client holds no cursor and no transaction."""
    last = 0
    while True:
        chunk = list(pairs.filter(pk__gt=last).order_by("pk")[:CHUNK])
        for pair in chunk:
            row = {"prompt": pair.prompt.messages, "chosen": pair.chosen.text, "rejected": pair.rejected.text}
            yield trl_row_formats.preference(row)
        if len(chunk) < CHUNK:
            return
        last = chunk[-1].pk


def flatten_errors(errors: object, path: str = "") -> list[Problem]:
    """The errors of a serializer in the shape of this API: code, detail and the path of the field.

    Args:
        errors: as in `ValidationError.detail`: one error, or more of them by field or by item of a list.
    """
    if isinstance(errors, ErrorDetail):
        return [Problem(code=str(errors.code), detail=str(errors), attr=path or None)]
    problems: list[Problem] = []
    if isinstance(errors, dict):
        for name, inner in errors.items():
            problems += flatten_errors(inner, f"{path}.{name}".removeprefix("."))
    elif isinstance(errors, list):
        for index, inner in enumerate(errors):
            inner_path = path
            if not isinstance(inner, ErrorDetail):  # the errors of one item
                inner_path = f"{path}.{index}".removeprefix(".")
            problems += flatten_errors(inner, inner_path)
    return problems
