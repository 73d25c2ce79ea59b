"""Fields that several rooms share, and the one way a text is taken in: as it was written, if it can be stored."""

from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django_filters.fields import IsoDateTimeField
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

MAX_DEPTH = 20
MAX_TEXT = 200_000


class VerbatimField(serializers.CharField):
    """Text as it was written: white space at its ends belongs to it. Empty is allowed where the field says so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"trim_whitespace": False, "max_length": MAX_TEXT} | options))


class MomentField(IsoDateTimeField):
    """A time in UTC, since PostgreSQL takes no offsets beyond 16 hours."""

    def clean(self, value: Any) -> datetime | None:
        moment: datetime | None = super().clean(value)
        try:
            return moment.astimezone(UTC) if moment else None
        except OverflowError:
            raise forms.ValidationError("The year is out of range.", code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = MomentField


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectField(serializers.JSONField):
    """A JSON object that both databases can store: no NUL, no endless number, not too deep."""

    default_error_messages = {
        "not_object": "It must be an object.",
        "unstorable": "It contains a NUL character, which cannot be stored.",
        "too_deep": f"It is nested deeper than {MAX_DEPTH} levels.",
        "too_long": f"A text in it is longer than {MAX_TEXT} characters.",
        "number": "It contains a number that is too large to be stored.",
    }

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            self.fail("not_object")
        self._check(data, 0)
        return data

    def _check(self, value: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.fail("too_deep")
        if isinstance(value, str):
            if len(value) > MAX_TEXT:
                self.fail("too_long")
            if "\x00" in value:
                self.fail("unstorable")
        elif isinstance(value, dict):
            for key, item in value.items():
                self._check(key, depth + 1)
                self._check(item, depth + 1)
        elif isinstance(value, list):
            for item in value:
                self._check(item, depth + 1)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > 1e300:
            self.fail("number")


class MessageSerializer(serializers.Serializer[Any]):
    """One turn of a prompt."""

    role = serializers.ChoiceField(choices=["system", "user", "assistant"])
    content = VerbatimField(allow_blank=True)


class PersonBriefSerializer(serializers.Serializer[Any]):
    """Who, in a list."""

    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField(source="display_name")
    username = serializers.CharField(allow_null=True)
