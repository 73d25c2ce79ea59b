"""Training runs, one stage each: started, canceled, resumed, and what they report."""

from uuid import UUID

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import ObjectField
from feedback.api.platform.jobs import JobSerializer
from feedback.api.serializers import Serializer
from feedback.api.training.pipelines import ChainSerializer, StartSerializer
from feedback.api.training.plans import pipeline_request
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.errors import Invalid, NotFound
from feedback.models import RunPoint, RunSamples, Stage, TrainingRun
from feedback.selectors.platform import access
from feedback.selectors.training import look_scores as look_score_selectors
from feedback.selectors.training import runs
from feedback.selectors.training.plans import plan_pipeline
from feedback.services.training import look_scores, pipelines

MOST_POINTS = 5000


@extend_schema_serializer(component_name="TrainingRun")
class RunSerializer(Serializer):
    """One stage of a chain, with its job."""

    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    number = serializers.IntegerField()
    stage = serializers.ChoiceField(choices=Stage.choices)
    chain = serializers.UUIDField(source="chain.public_id")
    position = serializers.IntegerField(help_text="Position in the pipeline run, from 0.")
    config = serializers.DictField()
    seed = serializers.IntegerField()
    snapshot = serializers.UUIDField(source="snapshot.public_id", default=None, allow_null=True)
    base_model = serializers.UUIDField(source="base_model.public_id", default=None, allow_null=True)
    reward_model = serializers.UUIDField(source="reward_model.public_id", default=None, allow_null=True)
    guard = serializers.UUIDField(
        source="guard.public_id",
        default=None,
        allow_null=True,
        help_text="The classifier that is a term of its reward.",
    )
    model_version = serializers.UUIDField(
        source="model_version.public_id", default=None, allow_null=True, help_text="The model it produced."
    )
    metrics = serializers.DictField(help_text="Final figures.")
    cpu_seconds = serializers.FloatField(help_text="CPU time of its trainer, over all attempts that have ended.")
    job = JobSerializer()
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="NewTrainingRun")
class NewRunSerializer(StartSerializer):
    stage = serializers.ChoiceField(choices=Stage.choices)
    config = ObjectField(required=False, help_text="Settings of this stage; `preset` chooses the base values.")


class PointSerializer(Serializer):
    step = serializers.IntegerField()
    at = serializers.DateTimeField()
    metrics = serializers.DictField(help_text="Means, where the point stands for several steps.")
    minima = serializers.DictField(help_text="The least of each figure over these steps; empty where it is of one.")
    maxima = serializers.DictField(help_text="The greatest of each figure over these steps; empty where it is of one.")


class AlarmSerializer(Serializer):
    step = serializers.IntegerField()
    name = serializers.CharField()
    text = serializers.CharField()


class MetricsSerializer(Serializer):
    points = PointSerializer(many=True)
    alarms = AlarmSerializer(many=True)
    more = serializers.BooleanField(help_text="Whether there are further points: ask with ?after=<last step>.")


class LogSerializer(Serializer):
    text = serializers.CharField(allow_blank=True, help_text="The end of the trainer's log.")


class SamplesSerializer(Serializer):
    """What the model in training answers to the same prompts."""

    step = serializers.IntegerField()
    samples = serializers.ListField(child=serializers.DictField())


class RunFilter(django_filters.FilterSet):
    stage = django_filters.ChoiceFilter(choices=Stage.choices)
    chain = django_filters.UUIDFilter(field_name="chain__public_id")
    status = django_filters.CharFilter(field_name="job__status")

    class Meta:
        model = TrainingRun
        fields = ["stage", "chain", "status"]


class TrainingRuns(ServiceView):
    scopes = {"GET": "read", "POST": "train"}
    queryset = TrainingRun.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = RunFilter

    @extend_schema(summary="Training runs", parameters=[IN_PROJECT], responses=RunSerializer(many=True))
    def get(self, request: Request) -> Response:
        found = runs.runs_of(self.requested_project(access.ADMIN))
        return self.page(found.select_related("base_model", "reward_model", "guard"), RunSerializer)

    @extend_schema(
        summary="Start one stage",
        description="A pipeline run of this stage only. 409 says what is missing, or that one is already active.",
        request=NewRunSerializer,
        responses={201: RunSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewRunSerializer)
        stage, config = given.pop("stage"), given.pop("config", None) or {}
        preset = {"preset": config.pop("preset")} if "preset" in config else {}
        if config:
            preset[stage] = config
        pipeline = pipeline_request(self, given | {"stages": [stage], "config": preset})

        def act() -> StatusAndBody:
            chain = pipelines.start_chain(plan_pipeline(pipeline), by=self.person)
            return 201, RunSerializer(chain.runs.get(position=0)).data

        return self.once(act)


class OneRun(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="A training run", responses=RunSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(RunSerializer(access.get_run(self.viewer, id)).data)


class CancelRun(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Cancel a run",
        description="The run saves a checkpoint and stops; its pipeline run ends.",
        request=None,
        responses={202: RunSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        run = access.get_run(self.viewer, id)

        def act() -> StatusAndBody:
            pipelines.cancel_run(by=self.person, run=run)
            return 202, RunSerializer(access.get_run(self.viewer, id)).data

        return self.once(act)


class RetryRun(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Resume a run from its last checkpoint",
        description="Resumes a failed or canceled run and the later stages of its pipeline run. 409 if it failed "
        "because of its frozen rows: see `start-again/`.",
        request=None,
        responses={202: RunSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        run = access.get_run(self.viewer, id)

        def act() -> StatusAndBody:
            pipelines.retry_run(by=self.person, run=run)
            return 202, RunSerializer(access.get_run(self.viewer, id)).data

        return self.once(act)


class StartAgain(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Restart on a new snapshot",
        description="Starts a new pipeline run from this failed or canceled stage on, with the same settings, on "
        "a new snapshot. Use it after a failure caused by rows, because a frozen snapshot never "
        "changes.",
        request=None,
        responses={201: ChainSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        run = access.get_run(self.viewer, id)
        return self.once(lambda: (201, ChainSerializer(pipelines.start_again(by=self.person, run=run)).data))


@extend_schema_serializer(component_name="LookScore")
class LookScoreSerializer(Serializer):
    """What one reward model makes of the responses that a run saved; lists are by look, in order."""

    reward_model = serializers.UUIDField(source="reward_version.public_id")
    name = serializers.CharField(source="reward_version")
    steps = serializers.ListField(child=serializers.IntegerField())
    rewards = serializers.ListField(
        child=serializers.FloatField(), help_text="Mean reward, in standard deviations of this reward model."
    )
    kls = serializers.ListField(
        child=serializers.FloatField(), help_text="Mean KL from the reference model, nats per response."
    )
    responses = serializers.IntegerField(help_text="Responses scored, of all looks.")


@extend_schema_serializer(component_name="LookScores")
class LookScoresSerializer(Serializer):
    scores = LookScoreSerializer(source="scored", many=True, help_text="The run's own reward model first.")
    waiting = serializers.BooleanField(source="is_waiting", help_text="Whether a scoring is queued or running.")
    missing = serializers.CharField(help_text="Why nothing can be scored; empty where something can, or all is.")


class RunLooks(ServiceView):
    scopes = {"GET": "read", "POST": "train"}

    @extend_schema(
        summary="Scores of a run's saved responses by several reward models",
        description="For PPO runs. That another reward model agrees proves nothing: one that was never optimized "
        "against can be fooled by the same responses. 404 for other stages.",
        responses=LookScoresSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        found = look_score_selectors.of_run(access.get_run(self.viewer, id))
        if found is None:
            raise NotFound
        return Response(LookScoresSerializer(found).data)

    @extend_schema(
        summary="Score a run's saved responses with the other reward models",
        description="Queues a job for what is not scored yet. 409 says what is missing.",
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        run = access.get_run(self.viewer, id)
        return self.once(lambda: (202, JobSerializer(look_scores.request(by=self.person, run=run)).data))


class RunMetrics(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Curves of a run",
        parameters=[OpenApiParameter("after", int, description="Only steps after this one.")],
        responses=MetricsSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        run = access.get_run(self.viewer, id)
        after = request.query_params.get("after", "-1")
        if not after.removeprefix("-").isdecimal() or len(after) > 9:
            raise Invalid("after is the number of a step.", field="after")
        points = list(RunPoint.objects.filter(run=run, step__gt=int(after)).order_by("step")[: MOST_POINTS + 1])
        shown = {"points": points[:MOST_POINTS], "alarms": run.alarms.all(), "more": len(points) > MOST_POINTS}
        return Response(MetricsSerializer(shown).data)


class RunLog(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="The end of a run's log", responses=LogSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response({"text": access.get_run(self.viewer, id).job.log_tail})


class RunSamplesView(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        operation_id="training_runs_samples_list",
        summary="Samples during training",
        description="Newest step first.",
        responses=SamplesSerializer(many=True),
    )
    def get(self, request: Request, id: UUID) -> Response:
        return self.page(RunSamples.objects.filter(run=access.get_run(self.viewer, id)), SamplesSerializer)
