"""Pipeline runs: stages that run one after another."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import ObjectField
from feedback.api.serializers import Serializer
from feedback.api.training.plans import pipeline_request
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import Chain, Stage
from feedback.rules.training import stages
from feedback.selectors.platform import access
from feedback.selectors.training.plans import plan_pipeline
from feedback.services.training import pipelines


@extend_schema_serializer(component_name="Chain")
class ChainSerializer(Serializer):
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


class StartSerializer(Serializer):
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
        choices=[(stages.CORPUS, "a corpus"), (stages.LABELED, "the texts under labels and spans")],
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

        def act() -> StatusAndBody:
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

        def act() -> StatusAndBody:
            pipelines.cancel_chain(by=self.person, chain=chain)
            return 202, ChainSerializer(access.get_chain(self.viewer, id)).data

        return self.once(act)
