"""The serializer types of the API. Each generic type of REST framework is closed here, in one place."""

from typing import Any, TypeAlias

from rest_framework import serializers

# A serializer shows model rows, dataclasses and dicts alike, so its instance has no type of its own.
Serializer: TypeAlias = serializers.Serializer[Any]
AnySerializer: TypeAlias = serializers.BaseSerializer[Any]  # also a ListSerializer
AnyField: TypeAlias = serializers.Field[Any, Any, Any, Any]  # a serializer is a field, too
ValidatedData: TypeAlias = dict[str, Any]  # keys and types are those of the serializer's fields
