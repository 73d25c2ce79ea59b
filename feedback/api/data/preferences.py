"""Preference pairs: read, streamed in TRL's format, or given from elsewhere."""

from collections.abc import Iterator
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from feedback.api import unknown_fields
from feedback.api.fields import MessageSerializer, MomentFilter, VerbatimField
from feedback.api.views import IN_PROJECT, ServiceView, by_index, made
from feedback.downloads import NDJSON, NDJSONRenderer, streamed
from feedback.errors import DomainError, Invalid
from feedback.formats.annotations import trl_rows as trl_row_formats
from feedback.models import PreferencePair, Project, Split
from feedback.rules.collection.preference import STRENGTH_SCALE
from feedback.selectors.platform import access
from feedback.services.data import preferences

MOST_AT_ONCE = 200
CHUNK = 500


@extend_schema_serializer(component_name="Preference")
class PreferenceSerializer(serializers.Serializer[Any]):
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
class NewPreferenceSerializer(serializers.Serializer[Any]):
    """A settled comparison from elsewhere. Responses are kept as they are; an empty one is a response."""

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


class GivenSerializer(serializers.Serializer[Any]):
    """What became of one item of a list."""

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

    def get_renderers(self) -> Any:
        return [JSONRenderer(), NDJSONRenderer()] if self.request.method == "GET" else [JSONRenderer()]

    @extend_schema(
        summary="List current preference pairs",
        description="For admins. With `Accept: application/x-ndjson` all of them are streamed, oldest first, in TRL's"
        " preference format: {prompt, chosen, rejected}, each a list of messages. All splits, unless one is asked for:"
        " rows of selection and test must not be trained on.",
        parameters=[IN_PROJECT],
        responses={
            (200, "application/json"): PreferenceSerializer(many=True),
            (200, NDJSON): OpenApiResponse(OpenApiTypes.BINARY, "One JSON object per line."),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        project = self.asked_project(access.ADMIN)
        pairs = PreferencePair.objects.standing().filter(project=project)
        pairs = pairs.select_related("prompt", "chosen", "rejected", "annotation__task")
        accepted = getattr(request, "accepted_renderer", None)
        if isinstance(accepted, NDJSONRenderer):
            return streamed(trl_rows(self.filter_queryset(pairs)), f"{project.slug}-preferences.jsonl")
        return self.page(pairs, PreferenceSerializer)

    @extend_schema(
        summary="Import preferences",
        description=f"For admins. One, or a list of at most {MOST_AT_ONCE}. A list is processed item by item and "
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
            207: OpenApiResponse(GivenSerializer(many=True), "Result for each item of the list."),
        },
    )
    def post(self, request: Request) -> HttpResponseBase:
        items: Any = request.data
        if not isinstance(items, list):
            given = self.read(NewPreferenceSerializer)
            project = self.named("project", access.get_project, given.pop("project"), access.ADMIN)

            def act() -> tuple[int, Any]:
                pair, created = self._give(project, given)
                return made(created), PreferenceSerializer(pair).data

            return self.once(act)
        if not 1 <= len(items) <= MOST_AT_ONCE:
            raise Invalid(f"A list holds between 1 and {MOST_AT_ONCE} preferences; this one has {len(items)}.")
        return self.once(lambda: (207, self._give_all(items)))

    def _give_all(self, items: list[Any]) -> list[dict[str, Any]]:
        """Each item in its own short transaction, so that on SQLite other writers get in between."""
        replies: list[dict[str, Any]] = []
        projects: dict[str, Project] = {}
        for index, item in enumerate(items):
            try:
                given = dict(unknown_fields.checked(NewPreferenceSerializer(data=item)))
            except ValidationError as wrong:
                replies.append({"index": index, "status": 400, "errors": flat(wrong.detail)})
                continue
            key = given.pop("project")
            try:
                if key not in projects:
                    projects[key] = self.named("project", access.get_project, key, access.ADMIN)
                pair, created = self._give(projects[key], given)
            except DomainError as error:
                by_index(index, error)
                problem = {"code": error.code, "detail": error.sentence, "attr": error.field}
                replies.append({"index": index, "status": error.status, "errors": [problem]})
            else:
                replies.append({"index": index, "status": made(created), "id": pair.public_id})
        return replies

    def _give(self, project: Project, given: dict[str, Any]) -> tuple[PreferencePair, bool]:
        return preferences.give_preference(
            project=project,
            by=self.person,
            prompt_messages=[dict(message) for message in given["prompt"]],
            chosen=given["chosen"],
            rejected=given["rejected"],
            strength=given["strength"],
            source=given["source"],
            annotator_name=given["annotator"],
            external_id=given.get("external_id"),
            group=given["group"],
        )


def trl_rows(pairs: QuerySet[PreferencePair]) -> Iterator[dict[str, Any]]:
    """In TRL's format, a few hundred at a time by key: no cursor and no transaction is held while a client reads."""
    last = 0
    while True:
        chunk = list(pairs.filter(pk__gt=last).order_by("pk")[:CHUNK])
        for pair in chunk:
            row = {"prompt": pair.prompt.messages, "chosen": pair.chosen.text, "rejected": pair.rejected.text}
            yield trl_row_formats.preference(row)
        if len(chunk) < CHUNK:
            return
        last = chunk[-1].pk


def flat(errors: Any, where: str = "") -> list[dict[str, Any]]:
    """A serializer's errors in the one shape: code, detail and the path of the field."""
    if isinstance(errors, dict):
        return [one for name, inner in errors.items() for one in flat(inner, f"{where}.{name}" if where else str(name))]
    if errors and isinstance(errors[0], dict | list):
        return [one for place, inner in enumerate(errors) if inner for one in flat(inner, f"{where}.{place}")]
    return [{"code": error.code, "detail": str(error), "attr": where or None} for error in errors]
