"""Safety tests: the guard model judges responses of a candidate and of the version that serves."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView, StatusAndBody
from feedback.errors import NotFound
from feedback.models import SafetyTest
from feedback.selectors.evaluation import gate, safety
from feedback.selectors.platform import access
from feedback.services.evaluation import safety_tests


class SafetyOutcomeSerializer(Serializer):
    """The test so far; it holds at every prompt."""

    code = serializers.CharField(help_text="passed, worse, inconclusive, too_few_prompts")
    prompts = serializers.IntegerField(help_text="Judged.")
    fewest = serializers.IntegerField(help_text="Prompts that the test needs.")
    candidate = serializers.IntegerField(help_text="Prompts on which the candidate violates.")
    incumbent = serializers.IntegerField()
    margin = serializers.FloatField(help_text="Violations per prompt that would not matter.")
    log_evidence = serializers.FloatField()
    bar = serializers.FloatField(help_text="The E that passes.")
    low = serializers.FloatField(allow_null=True, help_text="Of the difference, with `high`.")
    high = serializers.FloatField(allow_null=True)


@extend_schema_serializer(component_name="SafetyTest")
class SafetyTestSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    candidate = serializers.UUIDField(source="candidate.public_id")
    incumbent = serializers.UUIDField(source="incumbent.public_id")
    guard = serializers.UUIDField(source="guard.public_id")
    state = serializers.ChoiceField(choices=SafetyTest.State.choices)
    job = serializers.UUIDField(source="job.public_id", default=None, allow_null=True)
    most = serializers.SerializerMethodField(help_text="Prompts that it judges at most.")
    sentence = serializers.SerializerMethodField(help_text="The outcome in words.")
    outcome = serializers.SerializerMethodField()

    def get_most(self, test: SafetyTest) -> int:
        return len(test.prompts)

    def get_sentence(self, test: SafetyTest) -> str:
        return safety.in_words(test.candidate, test.incumbent)

    @extend_schema_field(SafetyOutcomeSerializer)
    def get_outcome(self, test: SafetyTest) -> object:
        return SafetyOutcomeSerializer(safety.outcome(test)).data


class ModelSafetyTest(ServiceView):
    scopes = {"GET": "read", "POST": "train"}

    @extend_schema(
        summary="Safety test of a policy",
        description="Its newest test beside the version that serves now; 404 where there is none.",
        responses=SafetyTestSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        version = access.get_model(self.viewer, id, access.REVIEWER)
        serves = gate.serving(version.project)
        test = None if serves is None else safety.newest(version, serves)
        if test is None:
            raise NotFound("This policy has no safety test beside the version that serves. Start one with POST.")
        return Response(SafetyTestSerializer(test).data)

    @extend_schema(
        summary="Start the safety test of a policy",
        description="The guard model judges a response of it and of the version that serves to each of 1,000 to 2,000 "
        "prompts that neither was trained on. Its responses are shown to nobody. Where a test runs or has ended, it is "
        "returned. 409 `conflict`: there is no guard model, or too few prompts.",
        request=None,
        responses={201: SafetyTestSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        version = access.get_model(self.viewer, id, access.ADMIN)

        def act() -> StatusAndBody:
            return 201, SafetyTestSerializer(safety_tests.request(by=self.person, candidate=version)).data

        return self.once(act)
