"""Fields and serializers that several rooms share. A text is kept as written, if it can be stored."""

from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django_filters.fields import IsoDateTimeField
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from feedback.api.serializers import Serializer

MAX_DEPTH = 20
MAX_TEXT = 200_000


class VerbatimField(serializers.CharField):
    """Text as written: white space at its ends belongs to it. It may be empty only with `allow_blank`."""

    def __init__(self, **options: Any) -> None:  # the options of CharField
        super().__init__(**({"trim_whitespace": False, "max_length": MAX_TEXT} | options))


class MomentField(IsoDateTimeField):
    """A time, converted to UTC: PostgreSQL takes no offset beyond 16 hours."""

    def clean(self, value: object) -> datetime | None:
        moment: datetime | None = super().clean(value)
        if moment is None:
            return None
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError("The year is out of range.", code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = MomentField


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectField(serializers.JSONField):
    """A JSON object that both databases can store: no NUL, no infinite number, not nested too deeply."""

    default_error_messages = {
        "not_object": "It must be an object.",
        "unstorable": "It contains a NUL character, which cannot be stored.",
        "too_deep": f"It is nested deeper than {MAX_DEPTH} levels.",
        "too_long": f"A text in it is longer than {MAX_TEXT} characters.",
        "number": "It contains a number that is too large to be stored.",
    }

    def to_internal_value(self, data: object) -> dict[str, object]:
        if not isinstance(data, dict):
            self.fail("not_object")
        self._check(data, 0)
        return data

    def _check(self, value: object, depth: int) -> None:
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


class MessageSerializer(Serializer):
    """One message of a prompt."""

    role = serializers.ChoiceField(choices=["system", "user", "assistant"])
    content = VerbatimField(allow_blank=True)


class PersonBriefSerializer(Serializer):
    """A person, in short."""

    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField(source="display_name")
    username = serializers.CharField(allow_null=True)
