"""Evaluations of a model version, and the findings of the gate against serving it."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.models import Evaluation
from feedback.rules.evaluation.preconditions import BLOCK, WARN
from feedback.selectors.evaluation import gate as gates
from feedback.selectors.platform import access
from feedback.services.registry import model_versions


@extend_schema_serializer(component_name="GateFinding")
class FindingSerializer(Serializer):
    """One reason against serving a policy."""

    name = serializers.CharField(help_text="Stable name, such as `no_human_judge`, `few_prompts`, `eos_rate`.")
    level = serializers.ChoiceField(choices=[(BLOCK, "needs a reason"), (WARN, "is shown")])
    sentence = serializers.CharField()
    final = serializers.BooleanField(help_text="Whether no reason can override it.")


@extend_schema_serializer(component_name="Gate")
class GateSerializer(Serializer):
    """Whether a policy may serve, and the evaluation that decides it."""

    candidate = serializers.UUIDField(source="candidate.public_id")
    serving = serializers.UUIDField(
        source="serving.public_id", default=None, allow_null=True, help_text="The serving version."
    )
    evaluation = serializers.UUIDField(
        source="evaluation.public_id", default=None, allow_null=True, help_text="The evaluation that the findings use."
    )
    opponent = serializers.UUIDField(
        source="evaluation.incumbent.public_id",
        default=None,
        allow_null=True,
        help_text="The version that the evaluation compares with.",
    )
    findings = FindingSerializer(many=True)


@extend_schema_serializer(component_name="Evaluation")
class EvaluationSerializer(Serializer):
    """The metrics of a version, the version that it was compared with, and the decision."""

    id = serializers.UUIDField(source="public_id")
    candidate = serializers.UUIDField(source="candidate.public_id")
    incumbent = serializers.UUIDField(source="incumbent.public_id", default=None, allow_null=True)
    snapshot = serializers.UUIDField(source="snapshot.public_id", default=None, allow_null=True)
    run = serializers.UUIDField(source="run.public_id", default=None, allow_null=True)
    metrics = serializers.DictField()
    samples = serializers.ListField(child=serializers.DictField(), help_text="Responses side by side.")
    decision = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class ModelGate(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Findings about a policy",
        description="Compared with the serving version. Each problem is a named finding; findings of level "
        "`block` need an `override_reason` for promotion. Model preferences do not count as evidence.",
        responses=GateSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        version = access.get_model(self.viewer, id)
        model_versions.check_policy(version)
        return Response(GateSerializer(gates.of(version)).data)


class Evaluations(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="Evaluations of a version", responses=EvaluationSerializer(many=True))
    def get(self, request: Request, id: UUID) -> Response:
        found = Evaluation.objects.filter(candidate=access.get_model(self.viewer, id))
        return self.page(found.select_related("candidate", "incumbent", "snapshot", "run"), EvaluationSerializer)
