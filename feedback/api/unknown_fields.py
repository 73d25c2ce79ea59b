"""Only what an operation documents is taken: body fields, nested ones too, and query parameters.

What a client misspells would otherwise be dropped without a word, and the request would do something else than
requested.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from feedback.api.openapi import Schema
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


_known: dict[tuple[type[APIView], str], Operation] = {}


def operation_of(view: APIView, method: str) -> Operation | None:
    """What the schema says about `method` of `view`, read once per process; None where the schema leaves it out."""
    handler = getattr(view, method.lower(), None)
    documented = getattr(handler, "kwargs", {}).get("schema")
    if documented is None:
        return None
    key = (type(view), method)
    if key not in _known:
        _known[key] = _read(view, method, documented)
    return _known[key]


def _read(view: APIView, method: str, documented: type[Any]) -> Operation:
    # As the schema's generator does: what the method documents, on top of what all doors have in common.
    schema = type("OperationSchema", (documented, Schema), {})()
    schema.view, schema.method, schema.path = view, method, ""
    given = schema.get_override_parameters()
    names = {one.name for one in given if one.location == OpenApiParameter.QUERY}
    if method == "GET" and schema._is_list_view():
        filters = getattr(view, "filterset_class", None)
        names |= set(filters.base_filters) if filters is not None else set()
        paginator = getattr(view, "paginator", None)
        if paginator is not None:
            names |= {paginator.cursor_query_param, paginator.page_size_query_param}
    return Operation(frozenset(names), method in WITH_BODY and schema.get_request_serializer() is not None)


def checked(serializer: serializers.BaseSerializer[Any]) -> Any:
    """The validated data of a serializer that was given some.

    Raises:
        ValidationError: a field is unknown, set by the server alone, or wrong; every field is named by its path.
    """
    unknown = unknown_fields(serializer, serializer.initial_data)
    if serializer.is_valid() and not unknown:
        return serializer.validated_data
    found: Any = serializer.errors
    if not unknown:
        raise ValidationError(found)
    raise ValidationError({**(found if isinstance(found, dict) else {}), **unknown})


def unknown_fields(serializer: Any, data: Any, where: str = "") -> dict[str, list[ErrorDetail]]:
    """Path of each field in `data` that `serializer` does not take -> what is wrong with it."""
    if isinstance(serializer, serializers.ListSerializer | serializers.ListField):
        if not isinstance(data, list):
            return {}
        found: dict[str, list[ErrorDetail]] = {}
        for place, item in enumerate(data):
            found |= unknown_fields(serializer.child, item, f"{where}{place}.")
        return found
    if not isinstance(serializer, serializers.Serializer) or not isinstance(data, Mapping):
        return {}
    taken = {name: field for name, field in serializer.fields.items() if not field.read_only}
    found = {}
    for name, value in data.items():
        path = f"{where}{name}"
        if name in taken:
            found |= unknown_fields(taken[name], value, f"{path}.")
        elif name in serializer.fields:
            sentence = f"The field {name!r} is set by the service. Leave it out."
            found[path] = [ErrorDetail(sentence, code="read_only_field")]
        else:
            found[path] = [ErrorDetail(unknown_name(str(name), taken), code=UNKNOWN_FIELD)]
    return found


def refuse_unknown(view: APIView, request: Request) -> None:
    """Refuse query parameters that the operation does not document, and a body where it documents none.

    Raises:
        ValidationError: each unknown name, with the nearest known one.
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
        body = request.data
        for name in body if isinstance(body, Mapping) else ["body"] if body else []:
            unknown[str(name)] = [ErrorDetail(unknown_name(str(name), ()), code=UNKNOWN_FIELD)]
    if unknown:
        raise ValidationError(unknown)
