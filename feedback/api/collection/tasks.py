"""Tasks for annotators: made, changed, withdrawn, given out, and marked as gold tasks."""

from collections.abc import Collection
from uuid import UUID

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import MessageSerializer, ObjectField, VerbatimField
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody, created_status
from feedback.models import Kind, Project, Task
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import unresolve
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import desk
from feedback.selectors.platform import access
from feedback.selectors.quality import reviews as review_selectors
from feedback.services.collection import assignment_queue, tasks
from feedback.services.quality import gold, reviews


class LetteredSerializer(Serializer):
    letter = serializers.CharField()
    text = serializers.CharField(allow_blank=True)


@extend_schema_serializer(component_name="Assignment")
class AssignmentSerializer(Serializer):
    """A task as its annotator sees it. Responses are named by letters, and their authors stay hidden."""

    id = serializers.UUIDField(help_text="Id of the assignment, to submit, skip or release.")
    kind = serializers.CharField()
    project = serializers.CharField()
    state = serializers.CharField(help_text="held, submitted, skipped, expired or released.")
    ahead = serializers.BooleanField(help_text="Fetched in advance, not shown yet.")
    held_until = serializers.DateTimeField()
    prompt = MessageSerializer(many=True)
    responses = LetteredSerializer(many=True)
    dimensions = serializers.ListField(child=serializers.CharField())
    scheme = ObjectField(
        allow_null=True, help_text="For classification and spans: labels with definition, key and mark."
    )
    on = serializers.CharField(allow_null=True, help_text="Text that labels and spans refer to: prompt, or response a.")
    text = serializers.CharField(allow_null=True, help_text="Its text; offsets of spans count its Unicode characters.")
    asks_reason = serializers.BooleanField()
    number_sends = serializers.BooleanField()
    skip_reasons = serializers.ListField(child=serializers.CharField())
    draft = serializers.DictField(allow_null=True)
    suggestion = serializers.DictField(allow_null=True, help_text="Suggested spans of the pre-annotation tagger.")
    answer = serializers.DictField(allow_null=True, help_text="The current annotation, if any.")
    training_round = serializers.BooleanField(help_text="Whether the correct answer is shown after submission.")
    sent_back = serializers.CharField(allow_blank=True, help_text="Note of the reviewer who returned it.")


class PlacedSerializer(Serializer):
    id = serializers.UUIDField(source="response.public_id")
    text = serializers.CharField(source="response.text", allow_blank=True)


class TaskBriefSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    kind = serializers.ChoiceField(choices=Kind.choices)
    prompt = serializers.UUIDField(source="prompt.public_id")
    ask = ObjectField(help_text='More about the question: {"scheme": "topic"}.')
    state = serializers.ChoiceField(choices=Task.State.choices)
    annotations_wanted = serializers.IntegerField(allow_null=True, help_text="Null: once per annotator.")
    free_slots = serializers.IntegerField(help_text="Slots neither assigned nor annotated.")
    priority = serializers.IntegerField()
    arm = serializers.CharField(help_text="Why it was selected.")
    propensity = serializers.FloatField(help_text="Probability of its selection.")
    is_check = serializers.SerializerMethodField(help_text="Whether it is a gold task.")
    training_round = serializers.BooleanField(help_text="Whether it belongs to the qualification round.")
    external_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()

    def get_is_check(self, task: Task) -> bool:
        return task.gold is not None


@extend_schema_serializer(component_name="Task")
class TaskSerializer(TaskBriefSerializer):
    responses = PlacedSerializer(source="placed", many=True)
    answers = serializers.SerializerMethodField(help_text="Number of counted annotations.")
    gold = ObjectField(allow_null=True, help_text="The gold answer as stored: responses by id.")
    explanation = serializers.CharField(help_text="Explanation of the gold answer.")
    skips = serializers.SerializerMethodField(help_text="Number of skips by reason.")
    decision = serializers.SerializerMethodField(help_text="Decision of a reviewer on disagreeing annotations.")

    def get_answers(self, task: Task) -> int:
        return task.assignments.filter(counted=True).count()

    def get_skips(self, task: Task) -> dict[str, int]:
        return review_selectors.skips(task)

    def get_decision(self, task: Task) -> JsonObject | None:
        verdict = task.verdicts.first()
        if verdict is None:
            return None
        return unresolve(task.kind, task.project.names.read(verdict.payload), verdict.shown)


RESPONSES_WANTED = ", ".join(f"{kind.responses_wanted} for a {name} task" for name, kind in KINDS.items())


@extend_schema_serializer(component_name="NewTask")
class NewTaskSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    kind = serializers.ChoiceField(choices=Kind.choices, default=Kind.COMPARISON)
    prompt = serializers.UUIDField()
    responses = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=9,
        default=list,
        help_text=f"How many: {RESPONSES_WANTED}. A task with 0 responses is about the prompt.",
    )
    ask = ObjectField(required=False, help_text='Which labels, for classification and spans: {"scheme": "topic"}.')
    annotations_wanted = serializers.IntegerField(
        min_value=1, max_value=100, required=False, help_text="Default: the project's."
    )
    priority = serializers.IntegerField(min_value=0, max_value=9, default=0, help_text="Higher is assigned first.")
    gold = ObjectField(
        required=False,
        allow_null=True,
        help_text="The gold answer: an annotation by letters, a for the first of `responses`. Ratings and spans "
        "can have a `tolerance`: points, or characters at each end.",
    )
    explanation = VerbatimField(
        max_length=5000, required=False, allow_blank=True, help_text="Explanation of the gold answer."
    )
    training_round = serializers.BooleanField(default=False, help_text="Use it in the qualification round.")
    external_id = serializers.CharField(max_length=200, required=False, allow_null=True)


class TaskChangesSerializer(Serializer):
    annotations_wanted = serializers.IntegerField(min_value=1, max_value=100, required=False)
    priority = serializers.IntegerField(min_value=0, max_value=9, required=False)


class GoldSerializer(Serializer):
    answer = ObjectField(
        required=False,
        allow_null=True,
        help_text="By letters of the task's own order, optionally with a tolerance. If omitted: the reviewer "
        "decision, or the majority of its annotations.",
    )
    explanation = VerbatimField(max_length=5000, default="", allow_blank=True)
    training_round = serializers.BooleanField(default=False)


class VerdictSerializer(Serializer):
    answer = ObjectField(help_text="By letters in the order of the task.")
    note = VerbatimField(max_length=5000, default="", allow_blank=True)


@extend_schema_serializer(component_name="AskForTask")
class NextTaskSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    ahead = serializers.BooleanField(default=False, help_text="Prefetch one more task.")
    have = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=100,
        default=list,
        help_text="With `ahead`: your current assignments, so that another one is returned. At most four.",
    )


class TaskFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=Task.State.choices)
    kind = django_filters.ChoiceFilter(choices=Kind.choices)
    prompt = django_filters.UUIDFilter(field_name="prompt__public_id")
    arm = django_filters.CharFilter()
    external_id = django_filters.CharFilter()

    class Meta:
        model = Task
        fields = ["state", "kind", "arm", "external_id"]


class Tasks(ServiceView):
    scopes = {"GET": "read", "POST": "submit"}
    queryset = Task.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = TaskFilter

    @extend_schema(summary="Tasks of a project", parameters=[IN_PROJECT], responses=TaskBriefSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.REVIEWER)
        return self.page(project.tasks.select_related("project", "prompt"), TaskBriefSerializer)

    @extend_schema(
        summary="Create a task",
        description="From an existing prompt and responses. For reviewers and admins.",
        request=NewTaskSerializer,
        responses={201: TaskSerializer, 200: TaskSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewTaskSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.REVIEWER)
        given["prompt"] = self.row_named("prompt", access.get_prompt, given["prompt"], access.REVIEWER)
        responses = []
        for key in given["responses"]:
            responses.append(self.row_named("responses", access.get_response, key, access.REVIEWER))
        given["responses"] = responses

        def act() -> StatusAndBody:
            task, created = tasks.create_task(project=project, by=self.person, **given)
            return created_status(created), TaskSerializer(task).data

        return self.once(act)


class OneTask(ServiceView):
    scopes = {"GET": "read", "PATCH": "submit"}

    @extend_schema(
        summary="Change the annotations wanted or the priority",
        description="The question cannot change. For reviewers and admins.",
        request=TaskChangesSerializer,
        responses=TaskSerializer,
    )
    def patch(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        given = self.validated(TaskChangesSerializer)
        return Response(TaskSerializer(tasks.change_task(by=self.person, task=task, **given)).data)

    @extend_schema(summary="Get a task with its responses", responses=TaskSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(TaskSerializer(access.get_task(self.viewer, id)).data)


class WithdrawTask(ServiceView):
    scopes = {"POST": "submit"}

    @extend_schema(
        summary="Withdraw a task",
        description="Its annotations stay; current assignments can still be submitted.",
        request=None,
        responses=TaskSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        return self.once(lambda: (200, TaskSerializer(tasks.withdraw_task(by=self.person, task=task)).data))


class ReopenTask(ServiceView):
    scopes = {"POST": "submit"}

    @extend_schema(summary="Reopen a withdrawn task", request=None, responses=TaskSerializer)
    def post(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        return self.once(lambda: (200, TaskSerializer(tasks.reopen_task(by=self.person, task=task)).data))


class GoldTask(ServiceView):
    scopes = {"POST": "submit", "DELETE": "submit"}

    @extend_schema(
        summary="Create a task a check",
        description="The task becomes a gold task: assigned once per annotator, and not used for training.",
        request=GoldSerializer,
        responses=TaskSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        given = self.validated(GoldSerializer)
        return self.once(lambda: (200, TaskSerializer(gold.mark(by=self.person, task=task, **given)).data))

    @extend_schema(summary="Remove the gold answer", responses={200: TaskSerializer})
    def delete(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        return Response(TaskSerializer(gold.unmark(by=self.person, task=task)).data)


class DecideTask(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Decide a task",
        description="For reviewers who have not annotated it. The annotations stay unchanged; snapshots with the "
        "policy `consensus` use the decision. If two reviewers decide at the same time, the second "
        "gets 409.",
        request=VerdictSerializer,
        responses={201: TaskSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        task = access.get_task(self.viewer, id)
        given = self.validated(VerdictSerializer)

        def act() -> StatusAndBody:
            reviews.decide(task=task, by=self.person, **given)
            return 201, TaskSerializer(task).data

        return self.once(act)


class NextTask(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Get the next task",
        description="Returns your current assignment, unless `ahead` is requested. 204: no task available; "
        "`X-Reason` says why (no_tasks, all_seen, all_held, not_qualified, daily_limit, "
        "training_failed, training_empty, project_paused, project_closed) and `Retry-After` when to "
        "retry.",
        request=NextTaskSerializer,
        responses={200: AssignmentSerializer, 204: OpenApiResponse(description="No task available.")},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NextTaskSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"))
        return self.once(lambda: next_for(self.viewer, project, **given))


def next_for(
    viewer: access.Viewer,
    project: Project,
    kind: str | None = None,
    ahead: bool = False,
    have: Collection[UUID] = (),
) -> StatusAndBody:
    """(200, the assignment as its annotator sees it), or (204, headers with the reason why there is none)."""
    found = assignment_queue.next_assignment(
        project=project,
        annotator=viewer.person,
        kind=kind,
        ahead=ahead,
        have=set(map(str, have)),
    )
    if isinstance(found, assignment_queue.NoTask):
        return 204, {"X-Reason": found.reason, "X-Reason-Text": found.sentence, "Retry-After": str(found.retry_after)}
    return 200, desk.payload(found)
