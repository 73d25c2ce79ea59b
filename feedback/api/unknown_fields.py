"""An operation takes only what it documents: query parameters and body fields, nested ones included.

A misspelled name is refused. If it were dropped silently, the operation would not do what the client meant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from feedback.api.openapi import Schema
from feedback.api.serializers import AnyField, Serializer, ValidatedData
from feedback.rules.platform.known_names import unknown_name

UNKNOWN_FIELD, UNKNOWN_PARAMETER = "unknown_field", "unknown_parameter"
WITH_BODY = ("POST", "PUT", "PATCH")


@dataclass(frozen=True)
class Operation:
    """What one method of a view takes.

    Attributes:
        query: the names of its query parameters.
        takes_body: whether it documents a request body.
    """

    query: frozenset[str]
    takes_body: bool


_operations: dict[tuple[type[APIView], str], Operation] = {}


def operation_of(view: APIView, method: str) -> Operation | None:
    """The documented operation of `view` for `method`, read once per process. None if the schema leaves it out."""
    handler = getattr(view, method.lower(), None)
    documented = getattr(handler, "kwargs", {}).get("schema")
    if documented is None:
        return None
    key = (type(view), method)
    if key not in _operations:
        _operations[key] = _documented_operation(view, method, documented)
    return _operations[key]


def _documented_operation(view: APIView, method: str, documented: type) -> Operation:
    # As the generator of the schema does: the documentation of the method, on top of what all views have in common.
    schema = type("OperationSchema", (documented, Schema), {})()
    schema.view, schema.method, schema.path = view, method, ""
    parameters = schema.get_override_parameters()
    names = {parameter.name for parameter in parameters if parameter.location == OpenApiParameter.QUERY}
    if method == "GET" and schema._is_list_view():
        filters = getattr(view, "filterset_class", None)
        if filters is not None:
            names |= set(filters.base_filters)
        paginator = getattr(view, "paginator", None)
        if paginator is not None:
            names |= {paginator.cursor_query_param, paginator.page_size_query_param}
    return Operation(frozenset(names), method in WITH_BODY and schema.get_request_serializer() is not None)


def validated_data(serializer: Serializer) -> ValidatedData:
    """The validated data of a serializer that was created with `data`.

    Raises:
        ValidationError: a field is unknown, read-only or wrong. Every field is named by its path.
    """
    unknown = unknown_fields(serializer, serializer.initial_data)
    if serializer.is_valid() and not unknown:
        validated: ValidatedData = serializer.validated_data
        return validated
    if not unknown:
        raise ValidationError(serializer.errors)
    raise ValidationError({**serializer.errors, **unknown})


def unknown_fields(field: AnyField, data: object, where: str = "") -> dict[str, list[ErrorDetail]]:
    """The path of each field in `data` that `field` does not take -> what is wrong with it."""
    found: dict[str, list[ErrorDetail]] = {}
    if isinstance(field, serializers.ListSerializer | serializers.ListField):
        for index, item in enumerate(data if isinstance(data, list) else []):
            found |= unknown_fields(cast(AnyField, field.child), item, f"{where}{index}.")
        return found
    if not isinstance(field, serializers.Serializer) or not isinstance(data, Mapping):
        return {}
    writable = {name: child for name, child in field.fields.items() if not child.read_only}
    for name, value in data.items():
        path = f"{where}{name}"
        if name in writable:
            found |= unknown_fields(writable[name], value, f"{path}.")
        elif name in field.fields:
            sentence = f"The field {name!r} is set by the service. Leave it out."
            found[path] = [ErrorDetail(sentence, code="read_only_field")]
        else:
            found[path] = [ErrorDetail(unknown_name(str(name), writable), code=UNKNOWN_FIELD)]
    return found


def refuse_unknown(view: APIView, request: Request) -> None:
    """Refuse query parameters that the operation does not document, and a body if it documents none.

    Raises:
        ValidationError: a name is unknown. Each is listed with the nearest known one.
    """
    method = "GET" if request.method == "HEAD" else str(request.method)
    operation = operation_of(view, method)
    if operation is None:
        return
    unknown: dict[str, list[ErrorDetail]] = {}
    for name in request.query_params:
        if name not in operation.query:
            sentence = unknown_name(name, operation.query, "query parameter")
            unknown[name] = [ErrorDetail(sentence, code=UNKNOWN_PARAMETER)]
    if method != "GET" and not operation.takes_body:
        for name in map(str, _names_in(request.data)):
            unknown[name] = [ErrorDetail(unknown_name(name, ()), code=UNKNOWN_FIELD)]
    if unknown:
        raise ValidationError(unknown)


def _names_in(body: object) -> Iterable[object]:
    """The names of the fields of a body, or "body" for one that is not an object."""
    if isinstance(body, Mapping):
        return body
    return ["body"] if body else []
