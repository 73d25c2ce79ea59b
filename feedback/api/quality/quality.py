"""The quality of the annotations of a project: agreement, reliability and bias."""

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import PersonBriefSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView
from feedback.selectors.platform import access
from feedback.selectors.quality import quality


class AgreementSerializer(Serializer):
    units = serializers.IntegerField(help_text="Tasks with at least two annotations.")
    raw = serializers.FloatField(allow_null=True, help_text="Share of equal pairs of annotations of one task.")
    alpha = serializers.FloatField(allow_null=True, help_text="Krippendorff's alpha: 1 perfect, 0 as by chance.")
    low = serializers.FloatField(allow_null=True, help_text="Lower end of alpha's 95 % interval.")
    high = serializers.FloatField(allow_null=True)


class ShareSerializer(Serializer):
    hits = serializers.IntegerField()
    n = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)


class KindAgreementSerializer(Serializer):
    kind = serializers.CharField()
    answers = serializers.IntegerField()
    agreement = AgreementSerializer(help_text="Ordinal alpha for ratings; pairs of responses for rankings.")
    tau = serializers.FloatField(allow_null=True, help_text="Mean of Kendall's tau-b, for rankings.")
    f1 = serializers.FloatField(allow_null=True, help_text="Mean F1 of two annotators' spans, for spans.")


class WeekSerializer(Serializer):
    start = serializers.DateField(help_text="A Monday; a task belongs to the week of its last annotation.")
    answers = serializers.IntegerField()
    agreement = AgreementSerializer()


class PairSerializer(Serializer):
    one = PersonBriefSerializer()
    other = PersonBriefSerializer()
    tasks = serializers.IntegerField()
    raw = serializers.FloatField()
    interval = serializers.ListField(child=serializers.FloatField())
    kappa = serializers.FloatField(allow_null=True, help_text="Cohen's.")


class EffectSerializer(Serializer):
    """A bias, adjusted for the quality of the responses, as a share and on the log-odds scale."""

    share = serializers.FloatField()
    value = serializers.FloatField()
    error = serializers.FloatField(help_text="Standard error of `value`.")
    usual = serializers.FloatField(help_text="The reference for `value`: 0, or the median of the other annotators.")


@extend_schema_serializer(component_name="Leanings")
class BiasesSerializer(Serializer):
    n = serializers.IntegerField()
    side = EffectSerializer(help_text="The first shown of two equally good responses is preferred.")
    length = EffectSerializer(help_text="The response longer by one standard deviation is, of two equally good ones.")
    speed = EffectSerializer(allow_null=True, help_text="Agreement with others by time taken.")


class ReliabilitySerializer(Serializer):
    share = serializers.FloatField(help_text="Estimated share of correct preferences (Dawid and Skene).")
    met = serializers.IntegerField(help_text="Votes on tasks with other annotations.")
    with_others = serializers.FloatField(allow_null=True, help_text="On the side of the others' weighted consensus.")
    with_others_of = serializers.IntegerField()


class FindingSerializer(Serializer):
    """A significant finding about an annotator, corrected for the number of annotators."""

    person = PersonBriefSerializer()
    check = serializers.CharField(help_text="agreement, inverted, side, length, speed, too_fast or gold.")
    sentence = serializers.CharField()
    share = serializers.FloatField()
    interval = serializers.ListField(child=serializers.FloatField())
    n = serializers.IntegerField()
    usual = serializers.FloatField()


class TooFewSerializer(Serializer):
    person = PersonBriefSerializer()
    n = serializers.IntegerField(help_text="Annotations available to the check.")
    needed = serializers.IntegerField(help_text="Annotations needed to conclude that there is no finding.")


@extend_schema_serializer(component_name="Look")
class CheckCoverageSerializer(Serializer):
    """The data of one check. Annotators not listed have enough; pace and gold can be flagged earlier."""

    check = serializers.CharField(help_text="agreement, side, length, speed, too_fast or gold.")
    name = serializers.CharField()
    enough = serializers.IntegerField(help_text="Annotators with enough annotations.")
    too_few = TooFewSerializer(many=True)


@extend_schema_serializer(component_name="Habits")
class AnnotatorQualitySerializer(Serializer):
    """One annotator. Shares are null without observations; intervals are 95 % intervals."""

    person = PersonBriefSerializer()
    answers = serializers.IntegerField()
    median_seconds = serializers.FloatField()
    first_share = serializers.FloatField(
        allow_null=True, help_text="How often the response shown first was preferred; 0.5 without a bias."
    )
    first_interval = serializers.ListField(child=serializers.FloatField())
    agreement = serializers.FloatField(allow_null=True, help_text="Agreement with others on the same tasks.")
    agreement_interval = serializers.ListField(child=serializers.FloatField())
    ties = serializers.IntegerField()
    both_bad = serializers.IntegerField()
    gold_right = serializers.IntegerField()
    gold_asked = serializers.IntegerField()
    too_fast = ShareSerializer(help_text="Timed annotations faster than reading speed.")
    reliability = ReliabilitySerializer(allow_null=True)
    leanings = BiasesSerializer(allow_null=True, help_text="Null below 20 decided annotations.")


@extend_schema_serializer(component_name="Quality")
class QualitySerializer(Serializer):
    agreement = AgreementSerializer()
    kinds = KindAgreementSerializer(many=True)
    weeks = WeekSerializer(many=True)
    pairs = PairSerializer(many=True)
    annotators = AnnotatorQualitySerializer(many=True)
    findings = FindingSerializer(many=True)
    looks = CheckCoverageSerializer(many=True)
    looked_at = serializers.IntegerField(help_text="Number of newest annotations used.")
    truncated = serializers.BooleanField(help_text="Whether older annotations were left out.")
    at = serializers.DateTimeField(help_text="When it was computed: up to a minute ago in a large project.")


class Quality(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        operation_id="quality_retrieve",
        summary="Agreement and annotator statistics",
        description="For reviewers and admins.",
        parameters=[IN_PROJECT],
        responses=QualitySerializer,
    )
    def get(self, request: Request) -> Response:
        return Response(QualitySerializer(quality.quality(self.requested_project(access.REVIEWER))).data)
