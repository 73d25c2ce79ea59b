"""Prompts and their responses: submitted, requested, read, and written elsewhere."""

import threading
import time
from uuid import UUID

import django_filters
from django.db.models import Prefetch, Q, QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response as Reply

from feedback.api.fields import MessageSerializer, ObjectField, PersonBriefSerializer, VerbatimField
from feedback.api.serializers import Serializer, ValidatedData
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody, created_status
from feedback.errors import Invalid
from feedback.models import Prompt, Response
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access
from feedback.services.collection import prompts

LONGEST_WAIT = 30.0  # seconds
POLL_INTERVAL = 0.25  # seconds
# A waiting request holds one of the server's threads. When all places are taken, the reply comes at once.
waiting_places = threading.BoundedSemaphore(4)


class WrittenBySerializer(Serializer):
    """The model version that wrote a response."""

    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField(source="__str__", help_text="For people, such as: policy v4.")


class ResponseSerializer(Serializer):
    """A response and its author: a model version, a model known by name only, or a person."""

    id = serializers.UUIDField(source="public_id")
    prompt = serializers.UUIDField(source="prompt.public_id")
    state = serializers.ChoiceField(choices=Response.State.choices)
    text = serializers.SerializerMethodField(help_text="Empty until the guard model has passed it.")
    screening = serializers.DictField(help_text="The verdict of the guard model, if one read it.")
    model_version = WrittenBySerializer(allow_null=True)
    model_name = serializers.CharField(allow_blank=True)
    author = PersonBriefSerializer(allow_null=True)
    sampling = serializers.DictField()
    seed = serializers.IntegerField(allow_null=True)
    finish_reason = serializers.CharField(allow_blank=True, help_text="stop, or length when it was cut off.")
    tokens = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    error_code = serializers.CharField(
        allow_blank=True, help_text="Why a retry cannot succeed, such as context_length_exceeded; empty if it can."
    )
    external_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()

    def get_text(self, response: Response) -> str:
        held = (Response.State.SCREENING, Response.State.BLOCKED)
        return "" if response.state in held else response.text


class PromptBriefSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    messages = MessageSerializer(many=True)
    state = serializers.ChoiceField(choices=Prompt.State.choices)
    screening = serializers.DictField(help_text="The verdict of the guard model, or that there is none.")
    split = serializers.CharField(
        help_text=(
            "train, selection (validation) or test; fixed on arrival. none: its family and its group "
            "belong to different splits."
        )
    )
    group = serializers.CharField(allow_blank=True, help_text="Document, conversation or customer of the prompt.")
    source = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    external_id = serializers.CharField(allow_null=True)
    metadata = serializers.DictField()
    responses_wanted = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class PromptSerializer(PromptBriefSerializer):
    """A prompt with its responses, in the order in which they were requested."""

    responses = ResponseSerializer(many=True)


@extend_schema_serializer(component_name="NewPrompt")
class NewPromptSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    messages = MessageSerializer(many=True, required=False, help_text="The last message must have the role user.")
    text = VerbatimField(required=False, help_text="Instead of messages: one user message.")
    responses_wanted = serializers.IntegerField(
        min_value=0,
        max_value=prompts.MAX_RESPONSES,
        default=0,
        help_text=("Number of responses to request from the serving model."),
    )
    source = serializers.CharField(max_length=100, allow_blank=True, default="")  # type: ignore[assignment]
    external_id = serializers.CharField(
        max_length=200,
        required=False,
        allow_null=True,
        help_text=("Your own id. The same id again creates no second prompt."),
    )
    group = serializers.CharField(
        max_length=prompts.MOST_GROUP,
        allow_blank=True,
        default="",
        help_text="Document, conversation or customer of the prompt; prompts of one group share a split.",
    )
    metadata = ObjectField(required=False)

    def validate(self, given: ValidatedData) -> ValidatedData:
        text = given.pop("text", None)
        if (text is None) == (given.get("messages") is None):
            raise serializers.ValidationError({"messages": ["Send either messages or text."]})
        if text is not None:
            given["messages"] = [{"role": "user", "content": text}]
        given["messages"] = list(map(dict, given["messages"]))
        return given


@extend_schema_serializer(component_name="NewResponse")
class NewResponseSerializer(Serializer):
    prompt = serializers.UUIDField()
    text = VerbatimField(allow_blank=True)
    model_version = serializers.UUIDField(required=False, allow_null=True, help_text="A version of the registry.")
    model_name = serializers.CharField(
        max_length=200, allow_blank=True, default="", help_text="A model that is not in the registry."
    )
    external_id = serializers.CharField(max_length=200, required=False, allow_null=True)


class WantedSerializer(Serializer):
    count = serializers.IntegerField(min_value=1, max_value=prompts.MAX_RESPONSES)


class PromptFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=Prompt.State.choices)
    split = django_filters.ChoiceFilter(choices=Prompt._meta.get_field("split").choices)
    source = django_filters.CharFilter()
    group = django_filters.CharFilter()
    external_id = django_filters.CharFilter()

    class Meta:
        model = Prompt
        fields = ["state", "split", "source", "group", "external_id"]


def with_responses(rows: QuerySet[Prompt]) -> QuerySet[Prompt]:
    ordered = Response.objects.select_related("prompt", "model_version", "author").order_by("pk")
    return rows.select_related("project").prefetch_related(Prefetch("responses", queryset=ordered))


def prompt_data(prompt: Prompt) -> JsonObject:
    """The prompt with its responses, read anew from the database."""
    return PromptSerializer(with_responses(Prompt.objects.filter(pk=prompt.pk)).get()).data


class Prompts(ServiceView):
    scopes = {"GET": "read", "POST": "submit"}
    queryset = Prompt.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = PromptFilter

    @extend_schema(
        summary="Prompts",
        description="Reviewers and admins see all prompts of the project, others those that they submitted.",
        parameters=[IN_PROJECT],
        responses=PromptBriefSerializer(many=True),
    )
    def get(self, request: Request) -> Reply:
        project = self.requested_project()
        return self.page(
            access.prompts_with_authors(self.viewer, project).select_related("project"), PromptBriefSerializer
        )

    @extend_schema(
        summary="Submit a prompt",
        description="The serving model generates the wanted responses; get the prompt with ?wait=30 to wait for "
        "them. 200 instead of 201: the same external_id and body were submitted before.",
        request=NewPromptSerializer,
        responses={201: PromptSerializer, 200: PromptSerializer},
    )
    def post(self, request: Request) -> Reply:
        given = self.validated(NewPromptSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"))

        def act() -> StatusAndBody:
            prompt, created = prompts.submit_prompt(project=project, by=self.person, **given)
            return created_status(created), prompt_data(prompt)

        return self.once(act)


class OnePrompt(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Get a prompt with its responses",
        parameters=[
            OpenApiParameter(
                "wait",
                float,
                description="Wait up to this many seconds (at most 30) until no response is pending. "
                "`Retry-After` in the reply means that some still are.",
            )
        ],
        responses=PromptSerializer,
    )
    def get(self, request: Request, id: UUID) -> Reply:
        prompt = access.get_prompt_with_authors(self.viewer, id)
        headers = {}
        if not await_responses(prompt, _seconds(request.query_params.get("wait"))):
            headers["Retry-After"] = "2"
        return Reply(prompt_data(prompt), headers=headers)


class PromptGenerate(ServiceView):
    scopes = {"POST": "submit"}

    @extend_schema(
        summary="Request more responses",
        description="Generated by the serving model. They become tasks once all are generated.",
        request=WantedSerializer,
        responses={202: PromptSerializer},
    )
    def post(self, request: Request, id: UUID) -> Reply:
        prompt = access.get_prompt_with_authors(self.viewer, id)
        count = self.validated(WantedSerializer)["count"]

        def act() -> StatusAndBody:
            prompts.want_more(prompt=prompt, count=count, by=self.person)
            return 202, prompt_data(prompt)

        return self.once(act)


class Responses(ServiceView):
    scopes = {"POST": "submit"}

    @extend_schema(
        summary="Submit an external response",
        description="By a version of the registry, by a model known by name, or (neither named) by yourself.",
        request=NewResponseSerializer,
        responses={201: ResponseSerializer, 200: ResponseSerializer},
    )
    def post(self, request: Request) -> Reply:
        given = self.validated(NewResponseSerializer)
        prompt = self.row_named("prompt", access.get_prompt_with_authors, given.pop("prompt"))
        version = given.pop("model_version", None)
        if version is not None:
            given["model_version"] = self.row_named("model_version", access.get_model, version, access.REVIEWER)

        def act() -> StatusAndBody:
            response, created = prompts.add_response(prompt=prompt, by=self.person, **given)
            return created_status(created), ResponseSerializer(response).data

        return self.once(act)


class OneResponse(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="A response", responses=ResponseSerializer)
    def get(self, request: Request, id: UUID) -> Reply:
        return Reply(ResponseSerializer(access.get_response_with_author(self.viewer, id)).data)


def await_responses(prompt: Prompt, seconds: float) -> bool:
    """Wait until the prompt is screened and none of its responses is being written. Returns whether that is so."""
    in_progress = [Response.State.QUEUED, Response.State.RUNNING, Response.State.SCREENING]
    unfinished = Q(responses__state__in=in_progress) | Q(state=Prompt.State.RECEIVED)
    pending = Prompt.objects.filter(unfinished, pk=prompt.pk)
    if not pending.exists():
        return True
    if seconds <= 0 or not waiting_places.acquire(blocking=False):
        return False
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)
            if not pending.exists():
                return True
    finally:
        waiting_places.release()
    return False


def _seconds(given: str | None) -> float:
    try:
        seconds = float(given or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:
        raise Invalid(f"wait is a number of seconds between 0 and {LONGEST_WAIT:.0f}.", field="wait")
    return seconds
