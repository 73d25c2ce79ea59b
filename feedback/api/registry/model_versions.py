"""The registry: model versions, their deployments and their lineage."""

from uuid import UUID

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import PersonBriefSerializer, VerbatimField
from feedback.api.platform.jobs import JobSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import ModelVersion
from feedback.selectors.platform import access
from feedback.selectors.registry import lineage
from feedback.services.registry import external_models, model_versions

DECISIONS = (ModelVersion.State.APPROVED, ModelVersion.State.REJECTED, ModelVersion.State.REVOKED)
DECISION_CHOICES = [(state.value, state.label) for state in DECISIONS]


@extend_schema_serializer(component_name="ModelVersion")
class ModelSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField(source="__str__", help_text="For people, such as: policy v4.")
    project = serializers.CharField(source="project.slug")
    kind = serializers.ChoiceField(choices=ModelVersion.Kind.choices)
    number = serializers.IntegerField()
    stage = serializers.CharField(allow_blank=True, help_text="The training stage that produced it.")
    state = serializers.ChoiceField(choices=ModelVersion.State.choices)
    serves = serializers.SerializerMethodField(help_text="Whether it serves the project now.")
    manifest_sha256 = serializers.CharField()
    metrics = serializers.DictField()
    parent = serializers.UUIDField(source="parent.public_id", default=None, allow_null=True)  # type: ignore[assignment]
    run = serializers.UUIDField(source="run.public_id", default=None, allow_null=True)
    tainted_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when rows of its training data are erased; then it cannot be promoted."
    )
    faults = serializers.ListField(
        child=serializers.CharField(),
        help_text="Why its files are not those that training wrote; then it cannot be promoted.",
    )
    created_at = serializers.DateTimeField()

    def get_serves(self, version: ModelVersion) -> bool:
        return any(deployment.until is None for deployment in version.deployments.all())


@extend_schema_serializer(component_name="Overridden")
class OverriddenFindingSerializer(Serializer):
    name = serializers.CharField()
    sentence = serializers.CharField()


@extend_schema_serializer(component_name="Deployment")
class DeploymentSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    model_version = serializers.UUIDField(source="model_version.public_id")
    name = serializers.CharField(source="model_version.__str__")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True)
    by = PersonBriefSerializer(source="deployed_by", allow_null=True)
    note = serializers.CharField(allow_blank=True)
    override_reason = serializers.CharField(allow_blank=True, help_text="Reason for overriding the findings.")
    findings = OverriddenFindingSerializer(many=True, help_text="What was overridden, as it stood then.")


class PromotionSerializer(Serializer):
    note = VerbatimField(max_length=500, allow_blank=True, default="")
    override_reason = VerbatimField(
        max_length=model_versions.LONGEST_REASON,
        allow_blank=True,
        default="",
        help_text="Reason for overriding blocking findings; stored and shown while it serves.",
    )


class ModelDecisionSerializer(Serializer):
    state = serializers.ChoiceField(choices=DECISION_CHOICES)


@extend_schema_serializer(component_name="InSnapshot")
class SnapshotAnnotatorSerializer(Serializer):
    person = PersonBriefSerializer()
    annotations = serializers.IntegerField()


class LineageSnapshotSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    number = serializers.IntegerField()
    purpose = serializers.CharField()
    state = serializers.CharField()
    content_hash = serializers.CharField()


class LineageStepSerializer(Serializer):
    """A version of the lineage, with its training run and its snapshot."""

    version = serializers.UUIDField(source="version.public_id")
    name = serializers.CharField(source="version.__str__")
    stage = serializers.CharField(source="version.stage", allow_blank=True)
    run = serializers.UUIDField(source="run.public_id", default=None, allow_null=True)
    snapshot = LineageSnapshotSerializer(allow_null=True)
    annotators = SnapshotAnnotatorSerializer(many=True)


class LineageSerializer(Serializer):
    steps = LineageStepSerializer(many=True, help_text="From this version back to the corpus.")
    children = ModelSerializer(many=True, help_text="Versions that were trained from this one.")


class ModelFilter(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=ModelVersion.Kind.choices)
    state = django_filters.ChoiceFilter(choices=ModelVersion.State.choices)
    stage = django_filters.CharFilter()

    class Meta:
        model = ModelVersion
        fields = ["kind", "state", "stage"]


class Models(ServiceView):
    scopes = {"GET": "read"}
    queryset = ModelVersion.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = ModelFilter

    @extend_schema(summary="Model versions", parameters=[IN_PROJECT], responses=ModelSerializer(many=True))
    def get(self, request: Request) -> Response:
        found = ModelVersion.objects.filter(project=self.requested_project(access.ADMIN))
        return self.page(
            found.select_related("project", "parent", "run").prefetch_related("deployments"), ModelSerializer
        )


@extend_schema_serializer(component_name="GivenModel")
class ExternalModelSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    kind = serializers.ChoiceField(choices=ModelVersion.Kind.choices)
    folder = serializers.CharField(
        max_length=500,
        required=False,
        default="",
        help_text="On the server: relative to models/ in the data folder, or inside one of MODEL_FOLDERS.",
    )
    hub = serializers.CharField(max_length=200, required=False, default="", help_text="Instead: a Hub id, owner/name.")
    revision = serializers.CharField(
        max_length=100, required=False, default="", help_text="The revision of the model on the Hub."
    )


class ExternalModels(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Import an external model",
        description="A worker copies it, takes safetensors and text only, verifies it and registers it as a candidate,"
        " to be named as `base_model`. Follow the job; its failure says what is wrong with the folder.",
        request=ExternalModelSerializer,
        responses={202: JobSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(ExternalModelSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)

        def act() -> StatusAndBody:
            job = external_models.request_model(by=self.person, project=project, **given)
            return 202, JobSerializer(job).data

        return self.once(act)


class OneModel(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="A model version", responses=ModelSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(ModelSerializer(access.get_model(self.viewer, id)).data)


class PromoteModel(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Promote a version",
        description="Only policies serve. 409 `gate_blocks`: findings speak against it, and no `override_reason` is"
        " given; `extra.findings` names them. The first policy of a project needs none. 409 `model_not_promotable`: it"
        " was rejected or revoked, trained on rows that were erased since, or spoilt in training; no reason overrides"
        " that.",
        request=PromotionSerializer,
        responses={201: DeploymentSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        version = access.get_model(self.viewer, id)
        given = self.validated(PromotionSerializer)

        def act() -> StatusAndBody:
            deployment = model_versions.promote(by=self.person, model_version=version, **given)
            return 201, DeploymentSerializer(deployment).data

        return self.once(act)


class RollBackModel(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Roll back a promotion",
        description="The version named must be the one that serves; the one that served before it serves again.",
        request=None,
        responses={201: DeploymentSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        version = access.get_model(self.viewer, id)

        def act() -> StatusAndBody:
            deployment = model_versions.roll_back(by=self.person, project=version.project, expected=version)
            return 201, DeploymentSerializer(deployment).data

        return self.once(act)


class DecideModel(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Approve, reject or revoke a version",
        description="A version that serves cannot be rejected or revoked: roll back first.",
        request=ModelDecisionSerializer,
        responses=ModelSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        version = access.get_model(self.viewer, id)
        state = self.validated(ModelDecisionSerializer)["state"]

        def act() -> StatusAndBody:
            decided = model_versions.decide(by=self.person, model_version=version, state=state)
            return 200, ModelSerializer(decided).data

        return self.once(act)


class ModelLineage(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Get the model lineage",
        description="Every step back with its run, its snapshot and whose annotations were in it.",
        responses=LineageSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        return Response(LineageSerializer(lineage.of_model(access.get_model(self.viewer, id))).data)
