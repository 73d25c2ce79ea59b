"""The stages of training, with every setting that each takes."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.views import ServiceView
from feedback.models import Stage
from feedback.rules.training import stage_settings, stages
from feedback.selectors.training import stages as stage_selectors


class SettingSerializer(serializers.Serializer[Any]):
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
class StageSerializer(serializers.Serializer[Any]):
    """A stage: what it makes, what it may start from, and every setting it takes."""

    stage = serializers.ChoiceField(choices=Stage.choices)
    title = serializers.CharField()
    short = serializers.CharField()
    makes = serializers.CharField(allow_blank=True, help_text="The kind of model.")
    takes = serializers.ListField(child=serializers.CharField(), help_text="Kinds that `base_model` may be of.")
    needs_reward_model = serializers.BooleanField()
    settings = SettingSerializer(many=True)


class StagesSerializer(serializers.Serializer[Any]):
    stages = StageSerializer(many=True)


class Stages(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Every stage of training with its settings",
        description="In pipeline order; the same for all projects.",
        responses=StagesSerializer,
    )
    def get(self, request: Request) -> Response:
        return Response(StagesSerializer({"stages": [_described(card) for card in stage_selectors.STAGES]}).data)


def _described(card: stage_selectors.StageCard) -> dict[str, Any]:
    name, rule = card.stage.value, stages.STAGES[card.stage.value]
    presets = stage_settings.presets()
    found = [
        {
            **dict.fromkeys(("default", "low", "above", "high", "choices")),
            **setting,
            "name": key,
            "presets": {one: values[name][key] for one, values in presets.items() if key in values.get(name, {})},
        }
        for key, setting in stage_settings.of_stage(name).items()
    ]
    return {
        "stage": name,
        "title": card.title,
        "short": card.short,
        "makes": rule.makes,
        "takes": rule.takes,
        "needs_reward_model": rule.needs_reward_model,
        "settings": found,
    }
