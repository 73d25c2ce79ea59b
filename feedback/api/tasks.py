"""Tasks: what annotators are asked. Making them, taking them out, and getting the next one."""

from typing import Any
from uuid import UUID

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.doors import IN_PROJECT, Door, made
from feedback.api.fields import MessageSerializer, ObjectField
from feedback.models import Kind, Task
from feedback.selectors import access, work
from feedback.services import queue, tasks


class LetteredSerializer(serializers.Serializer[Any]):
    letter = serializers.CharField()
    text = serializers.CharField(allow_blank=True)


@extend_schema_serializer(component_name="Assignment")
class AssignmentSerializer(serializers.Serializer[Any]):
    """A task as its annotator sees it: responses go by letters, and nothing tells who or what wrote them."""

    id = serializers.UUIDField(help_text="Of the assignment: what is submitted, skipped or given back.")
    kind = serializers.CharField()
    project = serializers.CharField()
    state = serializers.CharField(help_text="held, submitted, skipped, expired or released.")
    ahead = serializers.BooleanField(help_text="Fetched for later, not shown yet.")
    held_until = serializers.DateTimeField()
    prompt = MessageSerializer(many=True)
    responses = LetteredSerializer(many=True)
    dimensions = serializers.ListField(child=serializers.CharField())
    scheme = ObjectField(
        allow_null=True, help_text="For classification and spans: labels with definition, key and mark."
    )
    on = serializers.CharField(allow_null=True, help_text="What labels and spans are about: prompt, or response a.")
    text = serializers.CharField(allow_null=True, help_text="Its text; offsets of spans count its Unicode characters.")
    asks_reason = serializers.BooleanField()
    number_sends = serializers.BooleanField()
    skip_reasons = serializers.ListField(child=serializers.CharField())
    draft = serializers.DictField(allow_null=True)
    answer = serializers.DictField(allow_null=True, help_text="The current answer, once there is one.")
    training_round = serializers.BooleanField(help_text="Whether you are told what is right after you have answered.")
    sent_back = serializers.CharField(allow_blank=True, help_text="What a reviewer asks for, having sent it back.")


class PlacedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="response.public_id")
    text = serializers.CharField(source="response.text", allow_blank=True)


class TaskBriefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    kind = serializers.ChoiceField(choices=Kind.choices)
    prompt = serializers.UUIDField(source="prompt.public_id")
    ask = ObjectField(help_text='More about the question: {"scheme": "topic"}.')
    state = serializers.ChoiceField(choices=Task.State.choices)
    annotations_wanted = serializers.IntegerField(allow_null=True, help_text="Null: everybody may answer once.")
    free_slots = serializers.IntegerField(help_text="Slots neither held nor answered.")
    priority = serializers.IntegerField()
    arm = serializers.CharField(help_text="Why it was chosen.")
    propensity = serializers.FloatField(help_text="With which probability that arm chose it.")
    is_check = serializers.SerializerMethodField(help_text="Whether its right answer is known.")
    external_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()

    def get_is_check(self, task: Task) -> bool:
        return task.gold is not None


@extend_schema_serializer(component_name="Task")
class TaskSerializer(TaskBriefSerializer):
    responses = PlacedSerializer(source="placed", many=True)
    answers = serializers.SerializerMethodField(help_text="How many counted answers it has.")

    def get_answers(self, task: Task) -> int:
        return task.assignments.filter(counted=True).count()


@extend_schema_serializer(component_name="NewTask")
class NewTaskSerializer(serializers.Serializer[Any]):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    kind = serializers.ChoiceField(choices=Kind.choices, default=Kind.COMPARISON)
    prompt = serializers.UUIDField()
    responses = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=9,
        default=list,
        help_text="2 for a comparison, 2 to 9 for a ranking, 1 for a rating; at most 1 for the other kinds, which are"
        " about the prompt without one.",
    )
    ask = ObjectField(required=False, help_text='Which labels, for classification and spans: {"scheme": "topic"}.')
    annotations_wanted = serializers.IntegerField(
        min_value=1, max_value=100, required=False, help_text="By default the project's."
    )
    priority = serializers.IntegerField(min_value=0, max_value=9, default=0, help_text="Higher is given out first.")
    gold = ObjectField(
        required=False,
        allow_null=True,
        help_text='The right answer, if it is a check: {"chosen": <response id>} or {"outcome": "tie"}.',
    )
    external_id = serializers.CharField(max_length=200, required=False, allow_null=True)


class AskForTaskSerializer(serializers.Serializer[Any]):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    ahead = serializers.BooleanField(default=False, help_text="One more, to be ready when the present one is sent.")


class TaskFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=Task.State.choices)
    kind = django_filters.ChoiceFilter(choices=Kind.choices)
    prompt = django_filters.UUIDFilter(field_name="prompt__public_id")
    arm = django_filters.CharFilter()
    external_id = django_filters.CharFilter()

    class Meta:
        model = Task
        fields = ["state", "kind", "arm", "external_id"]


class Tasks(Door):
    scopes = {"GET": "read", "POST": "submit"}
    queryset = Task.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = TaskFilter

    @extend_schema(summary="Tasks of a project", parameters=[IN_PROJECT], responses=TaskBriefSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.asked_project(access.REVIEWER)
        return self.page(project.tasks.select_related("project", "prompt"), TaskBriefSerializer)

    @extend_schema(
        summary="Make a task",
        description="From a prompt and responses to it that are there already. For reviewers and admins.",
        request=NewTaskSerializer,
        responses={201: TaskSerializer, 200: TaskSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.read(NewTaskSerializer)
        project = access.get_project(self.viewer, given.pop("project"), access.REVIEWER)
        given["prompt"] = access.get_prompt(self.viewer, given["prompt"], access.REVIEWER)
        given["responses"] = [access.get_response(self.viewer, key, access.REVIEWER) for key in given["responses"]]

        def act() -> tuple[int, Any]:
            task, created = tasks.create_task(project=project, by=self.person, **given)
            return made(created), TaskSerializer(task).data

        return self.once(act)


class OneTask(Door):
    scopes = {"GET": "read"}

    @extend_schema(summary="A task with its responses", responses=TaskSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(TaskSerializer(access.get_task(self.viewer, id)).data)


class WithdrawTask(Door):
    scopes = {"POST": "submit"}

    @extend_schema(
        summary="Take a task out of the queue",
        description="Its answers stay; whoever holds it may still send.",
        request=None,
        responses=TaskSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        return self.once(lambda: (200, TaskSerializer(tasks.withdraw_task(by=self.person, task=task)).data))


class ReopenTask(Door):
    scopes = {"POST": "submit"}

    @extend_schema(summary="Put a withdrawn task back into the queue", request=None, responses=TaskSerializer)
    def post(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        return self.once(lambda: (200, TaskSerializer(tasks.reopen_task(by=self.person, task=task)).data))


class NextTask(Door):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Get something to judge",
        description="What you hold already comes again, unless `ahead` is asked for. 204: nothing to do now;"
        " `X-Reason` says why (no_tasks, all_seen, all_held, project_paused, project_closed) and `Retry-After` when to"
        " ask again.",
        request=AskForTaskSerializer,
        responses={200: AssignmentSerializer, 204: OpenApiResponse(description="Nothing to do now.")},
    )
    def post(self, request: Request) -> Response:
        given = self.read(AskForTaskSerializer)
        project = access.get_project(self.viewer, given.pop("project"))
        return self.once(lambda: next_for(self.viewer, project, **given))


def next_for(viewer: access.Viewer, project: Any, kind: str | None = None, ahead: bool = False) -> tuple[int, Any]:
    """(200, what the annotator may see) or (204, headers that say why)."""
    found = queue.next_assignment(project=project, annotator=viewer.person, kind=kind, ahead=ahead)
    if isinstance(found, queue.NoTask):
        return 204, {"X-Reason": found.reason, "X-Reason-Text": found.sentence, "Retry-After": str(found.retry_after)}
    return 200, work.payload(found)
