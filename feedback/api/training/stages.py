"""The stages of training, with every setting that each takes."""

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.models import Stage
from feedback.rules.json_types import JsonObject
from feedback.rules.training import stage_settings, stages
from feedback.selectors.training import stages as stage_selectors


class SettingSerializer(Serializer):
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
class StageSerializer(Serializer):
    """A stage: what it makes, what it may start from, and every setting it takes."""

    stage = serializers.ChoiceField(choices=Stage.choices)
    title = serializers.CharField()
    short = serializers.CharField()
    makes = serializers.CharField(allow_blank=True, help_text="The kind of model.")
    takes = serializers.ListField(child=serializers.CharField(), help_text="Kinds that `base_model` may be of.")
    needs_reward_model = serializers.BooleanField()
    settings = SettingSerializer(many=True)


class StagesSerializer(Serializer):
    stages = StageSerializer(many=True)


class Stages(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Every stage of training with its settings",
        description="In pipeline order; the same for all projects.",
        responses=StagesSerializer,
    )
    def get(self, request: Request) -> Response:
        cards = list(map(_described, stage_selectors.STAGES))
        return Response(StagesSerializer({"stages": cards}).data)


def _described(card: stage_selectors.StageCard) -> JsonObject:
    name, rule = card.stage.value, stages.STAGES[card.stage.value]
    presets = stage_settings.presets()
    found: list[JsonObject] = []
    for key, setting in stage_settings.of_stage(name).items():
        own: JsonObject = {}
        for preset, values in presets.items():
            if key in values.get(name, {}):
                own[preset] = values[name][key]
        absent = dict.fromkeys(("default", "low", "above", "high", "choices"))
        found.append({**absent, **setting, "name": key, "presets": own})
    return {
        "stage": name,
        "title": card.title,
        "short": card.short,
        "makes": rule.makes,
        "takes": rule.takes,
        "needs_reward_model": rule.needs_reward_model,
        "settings": found,
    }
