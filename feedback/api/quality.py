"""How good the judgements of a project are."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.doors import IN_PROJECT, Door
from feedback.api.fields import PersonBriefSerializer
from feedback.selectors import access, quality


class AgreementSerializer(serializers.Serializer[Any]):
    units = serializers.IntegerField(help_text="Tasks with at least two answers.")
    raw = serializers.FloatField(allow_null=True, help_text="Share of pairs of answers to one task that are the same.")
    alpha = serializers.FloatField(allow_null=True, help_text="Krippendorff's alpha: 1 perfect, 0 as by chance.")
    low = serializers.FloatField(allow_null=True, help_text="Lower end of alpha's 95 % interval.")
    high = serializers.FloatField(allow_null=True)


class HabitsSerializer(serializers.Serializer[Any]):
    """One annotator. Shares are null where nothing was observed; intervals are of 95 %."""

    person = PersonBriefSerializer()
    answers = serializers.IntegerField()
    median_seconds = serializers.FloatField()
    first_share = serializers.FloatField(
        allow_null=True, help_text="How often the response shown first was preferred; 0.5 without a bias."
    )
    first_interval = serializers.ListField(child=serializers.FloatField())
    agreement = serializers.FloatField(allow_null=True, help_text="With others on the same tasks.")
    agreement_interval = serializers.ListField(child=serializers.FloatField())
    ties = serializers.IntegerField()
    both_bad = serializers.IntegerField()
    gold_right = serializers.IntegerField()
    gold_asked = serializers.IntegerField()


@extend_schema_serializer(component_name="Quality")
class QualitySerializer(serializers.Serializer[Any]):
    agreement = AgreementSerializer()
    annotators = HabitsSerializer(many=True)
    looked_at = serializers.IntegerField(help_text="Answers these figures are from, the newest.")
    truncated = serializers.BooleanField(help_text="Whether there are older answers that were not looked at.")


class Quality(Door):
    scopes = {"GET": "read"}

    @extend_schema(
        operation_id="quality_retrieve",
        summary="Agreement, and each annotator's habits",
        description="For reviewers and admins.",
        parameters=[IN_PROJECT],
        responses=QualitySerializer,
    )
    def get(self, request: Request) -> Response:
        return Response(QualitySerializer(quality.quality(self.asked_project(access.REVIEWER))).data)
