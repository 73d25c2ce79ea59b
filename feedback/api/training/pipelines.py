"""Training: chains of stages and their runs, with what each run reports."""

from typing import Any
from uuid import UUID

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import ObjectField
from feedback.api.platform.jobs import JobSerializer
from feedback.api.training.requests import pipeline_request
from feedback.api.views import IN_PROJECT, ServiceView
from feedback.errors import Invalid
from feedback.models import Chain, RunPoint, RunSamples, Stage, TrainingRun
from feedback.rules.training import stage_settings, stages
from feedback.selectors.platform import access
from feedback.selectors.training import runs
from feedback.selectors.training import stages as stage_selectors
from feedback.selectors.training.plans import plan_pipeline
from feedback.services.training import pipelines

MOST_POINTS = 5000


@extend_schema_serializer(component_name="TrainingRun")
class RunSerializer(serializers.Serializer[Any]):
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
    job = JobSerializer()
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="Chain")
class ChainSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    stages = serializers.ListField(child=serializers.CharField())
    state = serializers.ChoiceField(choices=Chain.State.choices)
    config = serializers.DictField()
    seed = serializers.IntegerField()
    promote = serializers.BooleanField(help_text="Request an admin's decision on the new policy at the end.")
    ignore_findings = serializers.ListField(
        child=serializers.CharField(), help_text="Names of preflight findings that do not block it."
    )
    snapshot = serializers.UUIDField(source="snapshot.public_id", default=None, allow_null=True)
    corpus = serializers.UUIDField(
        source="corpus_snapshot.corpus.public_id",
        default=None,
        allow_null=True,
        help_text="What tokenizer and pretraining read; null where they use labeled texts, or no stage needs texts.",
    )
    schedule = serializers.UUIDField(source="schedule.public_id", default=None, allow_null=True)
    runs = serializers.SerializerMethodField(help_text="Those begun so far, in order.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_runs(self, chain: Chain) -> list[str]:
        return [str(run.public_id) for run in sorted(chain.runs.all(), key=lambda run: run.position)]


class StartSerializer(serializers.Serializer[Any]):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    base_model = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="Base model of compatible stages; default: the newest compatible one.",
    )
    snapshot = serializers.UUIDField(
        required=False, allow_null=True, help_text="A frozen one; else a new one is frozen when the first run starts."
    )
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    texts = serializers.ChoiceField(
        choices=[(stages.CORPUS, "a corpus"), (stages.LABELLED, "the texts under labels and spans")],
        required=False,
        help_text="What tokenizer and pretraining read; else a corpus if there is one.",
    )
    corpus = serializers.UUIDField(
        required=False, allow_null=True, help_text="Which corpus they read; else the newest that holds documents."
    )
    ignore_findings = serializers.ListField(
        child=serializers.CharField(max_length=40),
        required=False,
        max_length=20,
        help_text="Names of preflight findings to override, such as contamination. Every pipeline run has a "
        "preflight check.",
    )


@extend_schema_serializer(component_name="NewTrainingRun")
class NewRunSerializer(StartSerializer):
    stage = serializers.ChoiceField(choices=Stage.choices)
    config = ObjectField(required=False, help_text="Settings of this stage; `preset` chooses the base values.")


@extend_schema_serializer(component_name="NewChain")
class NewChainSerializer(StartSerializer):
    stages = serializers.ListField(
        child=serializers.ChoiceField(choices=Stage.choices), min_length=1, max_length=len(Stage)
    )
    config = ObjectField(required=False, help_text='Settings by stage, such as {"ppo": {"kl_coef": 0.05}}.')
    promote = serializers.BooleanField(
        default=False,
        help_text="Request an admin's decision on the new policy at the end. Models are never promoted automatically.",
    )


class PointSerializer(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    at = serializers.DateTimeField()
    metrics = serializers.DictField(help_text="Means, where the point stands for several steps.")
    minima = serializers.DictField(help_text="The least of each figure over these steps; empty where it is of one.")
    maxima = serializers.DictField(help_text="The greatest of each figure over these steps; empty where it is of one.")


class AlarmSerializer(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    name = serializers.CharField()
    text = serializers.CharField()


class MetricsSerializer(serializers.Serializer[Any]):
    points = PointSerializer(many=True)
    alarms = AlarmSerializer(many=True)
    more = serializers.BooleanField(help_text="Whether there are further points: ask with ?after=<last step>.")


class LogSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(allow_blank=True, help_text="The end of the trainer's log.")


class SamplesSerializer(serializers.Serializer[Any]):
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


class SettingSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.ChoiceField(
        choices=[(kind, kind) for kind in ("integer", "number", "boolean", "text", "object")]
    )
    default = serializers.JSONField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    above = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    choices = serializers.ListField(child=serializers.CharField(), allow_null=True)
    presets = serializers.DictField(help_text="Its value in each preset that changes it.")


@extend_schema_serializer(component_name="StageTold")
class StageSerializer(serializers.Serializer[Any]):
    """A stage: what it makes, what it may start from, and every setting it takes."""

    stage = serializers.ChoiceField(choices=Stage.choices)
    title = serializers.CharField()
    short = serializers.CharField()
    makes = serializers.CharField(allow_blank=True, help_text="The kind of model.")
    takes = serializers.ListField(child=serializers.CharField(), help_text="Kinds that `base_model` may be of.")
    needs_reward_model = serializers.BooleanField()
    settings = SettingSerializer(many=True)


class StagesSerializer(serializers.Serializer[Any]):
    stages = StageSerializer(many=True)


class Stages(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Every stage of training with its settings",
        description="In pipeline order; the same for all projects.",
        responses=StagesSerializer,
    )
    def get(self, request: Request) -> Response:
        return Response(StagesSerializer({"stages": [_told(card) for card in stage_selectors.STAGES]}).data)


def _told(card: stage_selectors.StageCard) -> dict[str, Any]:
    name, rule = card.stage.value, stages.STAGES[card.stage.value]
    presets = stage_settings.presets()
    found = [
        {
            **dict.fromkeys(("default", "low", "above", "high", "choices")),
            **setting,
            "name": key,
            "presets": {one: values[name][key] for one, values in presets.items() if key in values.get(name, {})},
        }
        for key, setting in stage_settings.of_stage(name).items()
    ]
    return {
        "stage": name,
        "title": card.title,
        "short": card.short,
        "makes": rule.makes,
        "takes": rule.takes,
        "needs_reward_model": rule.needs_reward_model,
        "settings": found,
    }


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

        def act() -> tuple[int, Any]:
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

        def act() -> tuple[int, Any]:
            pipelines.cancel_run(by=self.person, run=run)
            return 202, RunSerializer(access.get_run(self.viewer, id)).data

        return self.once(act)


class RetryRun(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Resume a run from its last checkpoint",
        description="Resumes a failed or cancelled run and the later stages of its pipeline run. 409 if it failed "
        "because of its frozen rows: see `start-again/`.",
        request=None,
        responses={202: RunSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        run = access.get_run(self.viewer, id)

        def act() -> tuple[int, Any]:
            pipelines.retry_run(by=self.person, run=run)
            return 202, RunSerializer(access.get_run(self.viewer, id)).data

        return self.once(act)


class StartAgain(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Restart on a new snapshot",
        description="Starts a new pipeline run from this failed or cancelled stage on, with the same settings, on "
        "a new snapshot. Use it after a failure caused by rows, because a frozen snapshot never "
        "changes.",
        request=None,
        responses={201: ChainSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        run = access.get_run(self.viewer, id)
        return self.once(lambda: (201, ChainSerializer(pipelines.start_again(by=self.person, run=run)).data))


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


class Chains(ServiceView):
    scopes = {"GET": "read", "POST": "train"}

    @extend_schema(summary="List pipeline runs", parameters=[IN_PROJECT], responses=ChainSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.ADMIN)
        found = Chain.objects.filter(project=project).select_related(
            "project", "snapshot", "schedule", "corpus_snapshot__corpus"
        )
        return self.page(found.prefetch_related("runs"), ChainSerializer)

    @extend_schema(
        summary="Start a pipeline run",
        description=f"Stages run in this order, each from the models of earlier stages: {', '.join(stages.ORDER)}. "
        f"A pipeline run has at most one of {', '.join(stages.ALIGNMENT)}. `stages/` describes them. "
        "With `promote` an admin's decision on the new policy is requested at the end.",
        request=NewChainSerializer,
        responses={201: ChainSerializer},
    )
    def post(self, request: Request) -> Response:
        pipeline = pipeline_request(self, self.validated(NewChainSerializer))

        def act() -> tuple[int, Any]:
            chain = pipelines.start_chain(plan_pipeline(pipeline), by=self.person)
            return 201, ChainSerializer(chain).data

        return self.once(act)


class OneChain(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="Get a pipeline run", responses=ChainSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(ChainSerializer(access.get_chain(self.viewer, id)).data)


class CancelChain(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(summary="Cancel a pipeline run", request=None, responses={202: ChainSerializer})
    def post(self, request: Request, id: UUID) -> Response:
        chain = access.get_chain(self.viewer, id)

        def act() -> tuple[int, Any]:
            pipelines.cancel_chain(by=self.person, chain=chain)
            return 202, ChainSerializer(access.get_chain(self.viewer, id)).data

        return self.once(act)
