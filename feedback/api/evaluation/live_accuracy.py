"""Live accuracy of a reward model."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import PersonBriefSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.selectors.evaluation import live_accuracy
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ANNOTATOR, REVIEWER


@extend_schema_serializer(component_name="LiveRate")
class RateSerializer(Serializer):
    """A share with its 95 % interval, clustered by prompt."""

    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    value = serializers.FloatField(help_text="0 to 1.")
    low = serializers.FloatField(allow_null=True, help_text="Empty with too few prompts.")
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField(help_text="Labels; of an agreement, tasks.")


@extend_schema_serializer(component_name="LiveSplit")
class SplitSerializer(Serializer):
    key = serializers.ChoiceField(choices=["strength", "annotator", "source", "week", "arm"])
    title = serializers.CharField()
    rows = RateSerializer(many=True)


@extend_schema_serializer(component_name="LiveBin")
class BinSerializer(Serializer):
    predicted = serializers.FloatField(help_text="Mean stated probability of the favored response, 0.5 to 1.")
    observed = serializers.FloatField(help_text="Share of labels that chose it.")
    labels = serializers.IntegerField()
    low = serializers.FloatField(allow_null=True, help_text="95 % interval of the share observed.")
    high = serializers.FloatField(allow_null=True)


@extend_schema_serializer(component_name="DriftAlarm")
class AlarmSerializer(Serializer):
    sentence = serializers.CharField()
    moved = serializers.CharField(allow_blank=True, help_text="Where accuracy fell most.")
    at = serializers.DateTimeField()
    of_annotator = serializers.BooleanField()
    annotator = PersonBriefSerializer(allow_null=True, help_text="For reviewers and admins.")


@extend_schema_serializer(component_name="LiveAccuracy")
class LiveAccuracySerializer(Serializer):
    """How often a reward model favors what people chose, on labels that it was not trained on."""

    model_version = serializers.UUIDField(source="version.public_id")
    name = serializers.CharField(source="version.__str__")
    labels = serializers.IntegerField(help_text="Scored labels of tasks that no model chose.")
    wanted = serializers.IntegerField(help_text="Below so many labels no figure is stated.")
    headline = RateSerializer(allow_null=True)
    held_out = serializers.FloatField(allow_null=True, help_text="Accuracy on the pairs that selected its weights.")
    agreement = RateSerializer(allow_null=True, help_text="How often two people choose the same response.")
    ceiling = serializers.ListField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="Least and most that the best accuracy can be, given this agreement.",
    )
    splits = SplitSerializer(many=True, help_text="By annotator only for reviewers and admins.")
    reliability = BinSerializer(many=True)
    error = serializers.FloatField(allow_null=True, help_text="Expected calibration error.")
    alarms = AlarmSerializer(many=True)
    waiting = serializers.IntegerField(help_text="Labels that wait to be scored, at most 1000.")
    unreadable = serializers.IntegerField(help_text="Labels that the model cannot read.")
    baseline = serializers.IntegerField(help_text="Labels of the drift alarm's baseline.")
    baseline_wanted = serializers.IntegerField(help_text="From so many labels on drift can be told.")


class ModelLiveAccuracy(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Live accuracy of a reward model",
        description="Labels are scored before any training on them. 400 `invalid`: it is no reward model. Annotators "
        "are named to reviewers and admins.",
        responses=LiveAccuracySerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        version = access.get_model(self.viewer, id, ANNOTATOR)
        live_accuracy.check_reward_model(version)
        names = access.may(self.viewer, version.project, REVIEWER)
        return Response(LiveAccuracySerializer(live_accuracy.of_version(version, names=names)).data)
