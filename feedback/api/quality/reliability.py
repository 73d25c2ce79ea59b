"""How a snapshot weighs its annotators: a histogram for members, names for admins."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import PersonBriefSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.errors import NotFound
from feedback.rules.quality.reliability_weights import Applied, Weighing, Why
from feedback.selectors.platform import access
from feedback.selectors.quality import reliability

CODES = ", ".join(Why)


class ErrorBarSerializer(Serializer):
    low = serializers.IntegerField(help_text="Percent.")
    high = serializers.IntegerField(help_text="Percent.")
    annotators = serializers.IntegerField()
    rows = serializers.IntegerField(help_text="Preference rows, as often as they occur.")


class WeighedAnnotatorSerializer(Serializer):
    person = PersonBriefSerializer()
    votes = serializers.IntegerField(help_text="Comparisons that prefer a response.")
    shared_votes = serializers.IntegerField(help_text="Those on tasks that somebody else judged too.")
    share = serializers.FloatField(help_text="Estimated share of votes for the better response, 0 to 1.")
    error = serializers.IntegerField(allow_null=True, help_text="Hundredths, 0 to 98; null: no error was applied.")
    left_out = serializers.BooleanField(help_text="The annotations were left out.")


@extend_schema_serializer(component_name="SnapshotWeights")
class SnapshotWeightsSerializer(Serializer):
    policy = serializers.ChoiceField(source="account.policy", choices=list(Weighing))
    applied = serializers.ChoiceField(source="account.applied", choices=list(Applied))
    why = serializers.CharField(source="account.why", allow_blank=True, help_text=f"Why no errors apply: {CODES}.")
    sentence = serializers.CharField(help_text="What was done and why, for people.")
    annotators = serializers.IntegerField(source="account.annotators")
    shared_votes = serializers.IntegerField(source="account.shared_votes")
    able = serializers.IntegerField(
        source="account.able", help_text="Annotators with enough shared votes to set the best."
    )
    best = serializers.IntegerField(
        source="account.best",
        allow_null=True,
        help_text="Percent of votes for the better response, mean of the best three.",
    )
    histogram = ErrorBarSerializer(source="bars", many=True)
    by_annotator = WeighedAnnotatorSerializer(
        many=True, allow_null=True, help_text="Null for all but admins of the project."
    )


class SnapshotReliability(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Annotator weights of a snapshot",
        description="How much the annotations of different annotators count in training. Members see a histogram, "
        "admins also see names.",
        responses=SnapshotWeightsSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        snapshot = access.get_snapshot(self.viewer, id, access.ANNOTATOR)
        with_names = access.may(self.viewer, snapshot.project, access.ADMIN)
        found = reliability.of_snapshot(snapshot, with_names=with_names)
        if found is None:
            raise NotFound("This snapshot does not weigh annotators: it is not frozen, older, or of a corpus.")
        return Response(SnapshotWeightsSerializer(found).data)
