"""The evidence on a model version: what was measured, and every finding that speaks against serving it."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.views import ServiceView
from feedback.models import Evaluation
from feedback.rules.evaluation import gate
from feedback.selectors.evaluation import gate as gates
from feedback.selectors.platform import access
from feedback.services.registry import model_versions


@extend_schema_serializer(component_name="GateFinding")
class FindingSerializer(serializers.Serializer[Any]):
    """One thing that speaks against serving a policy."""

    name = serializers.CharField(help_text="Stable name, such as `no_human_judge`, `few_prompts`, `eos_rate`.")
    level = serializers.ChoiceField(choices=[(gate.BLOCK, "needs a reason"), (gate.WARN, "is shown")])
    sentence = serializers.CharField()
    final = serializers.BooleanField(help_text="No reason overrides it.")


@extend_schema_serializer(component_name="Gate")
class GateSerializer(serializers.Serializer[Any]):
    """Whether a policy may serve, and beside what that was judged."""

    candidate = serializers.UUIDField(source="candidate.public_id")
    serving = serializers.UUIDField(
        source="serving.public_id", default=None, allow_null=True, help_text="The serving version."
    )
    evaluation = serializers.UUIDField(
        source="evaluation.public_id", default=None, allow_null=True, help_text="What the findings go by."
    )
    opponent = serializers.UUIDField(
        source="evaluation.incumbent.public_id",
        default=None,
        allow_null=True,
        help_text="What that evaluation compared with.",
    )
    findings = FindingSerializer(many=True)


@extend_schema_serializer(component_name="Evaluation")
class EvaluationSerializer(serializers.Serializer[Any]):
    """What was measured of a version, against which, and what was decided."""

    id = serializers.UUIDField(source="public_id")
    candidate = serializers.UUIDField(source="candidate.public_id")
    incumbent = serializers.UUIDField(source="incumbent.public_id", default=None, allow_null=True)
    snapshot = serializers.UUIDField(source="snapshot.public_id", default=None, allow_null=True)
    run = serializers.UUIDField(source="run.public_id", default=None, allow_null=True)
    metrics = serializers.DictField()
    samples = serializers.ListField(child=serializers.DictField(), help_text="Responses side by side.")
    decision = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class GateOfModel(ServiceView):
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
