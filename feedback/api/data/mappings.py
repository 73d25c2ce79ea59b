"""Fields of an import's mapping and repairs: objects, which multipart sends as JSON text."""

import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
TEXTS_BY_NAME = {"type": "object", "additionalProperties": TEXTS}


class _JsonField(serializers.JSONField):
    """An object, or JSON text of one."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError):
                raise serializers.ValidationError("It is not valid JSON.") from None
        if not isinstance(data, dict):
            raise serializers.ValidationError("It must be an object.")
        return data


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "columns": TEXTS | {"description": "The field of each column."},
            "kind": {"type": "string", "description": "What a row becomes; empty: what its fields suggest."},
            "scheme": {"type": "string", "description": "The label scheme of its labels or spans."},
            "values": TEXTS_BY_NAME | {"description": "What words mean, by field: choice, label, thumb."},
            "gold": {"type": "boolean", "description": "The answers are the right ones of gold tasks."},
        },
        "additionalProperties": False,
    }
)
class MappingField(_JsonField):
    """A mapping of columns to fields."""


@extend_schema_field(TEXTS_BY_NAME)
class RepairsField(_JsonField):
    """Cells by line and column."""


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "container": {"type": "string"},
            "encoding": {"type": "string"},
            "delimiter": {"type": "string"},
            "header": {"type": "boolean"},
            "columns": {"type": "array", "items": {"type": "string"}},
        },
    }
)
class LayoutField(serializers.JSONField):
    """How a file is laid out."""
