"""The base view of the REST API: the caller, the validated body, one page of a list, one reply per Idempotency-Key."""

import io
import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import IO, Any, TypeAlias, TypedDict, TypeVar, cast

from django.conf import settings
from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions, status
from rest_framework.generics import GenericAPIView
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api import unknown_fields
from feedback.api.errors import TooLarge
from feedback.api.openapi import Schema
from feedback.api.permissions import viewer
from feedback.api.serializers import AnySerializer, Serializer, ValidatedData
from feedback.errors import DomainError, IdempotencyKeyMissing, Invalid, NotFound
from feedback.models import Person, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access
from feedback.services.platform import idempotency

M = TypeVar("M", bound=Model)
StatusAndBody: TypeAlias = tuple[int, object]  # the status of a reply, and its body as JSON data
MAX_KEY = 200
PROJECT_KEY = re.compile(r"[-\w]{1,60}", re.ASCII)

IN_PROJECT = OpenApiParameter("project", str, required=True, description="Public id or short name of the project.")


class BoundedJSONParser(JSONParser):
    """JSON within bounds.

    REST framework ignores Django's limit of the body size, and a body that is nested too deeply would raise
    RecursionError, which ends in a bare 500.
    """

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:  # a JSON body may be a list, too
        length = "0"
        if parser_context:
            length = str(parser_context["request"].META.get("CONTENT_LENGTH") or 0)
        if length.isdigit() and int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLarge
        raw = stream.read()
        try:
            data = super().parse(io.BytesIO(raw), media_type, parser_context)
            if b"\\ud" in raw.lower():  # half of a surrogate pair cannot be stored or sent
                json.dumps(data, ensure_ascii=False).encode()
        except RecursionError:
            raise exceptions.ParseError("The JSON is nested too deep.") from None
        except UnicodeEncodeError:
            raise exceptions.ParseError("The JSON holds half of a surrogate pair (\\ud800 to \\udfff).") from None
        return data


class RepeatKey(TypedDict):
    """What identifies a request when it is repeated. `key` is None where the client sent no Idempotency-Key."""

    person: Person
    route: str
    key: str | None


class ServiceView(GenericAPIView[Any]):
    """A view that parses the request, calls one service and shows the result.

    Attributes:
        scopes: the scope that a token needs, by HTTP method.
        needs_key: whether a POST without an Idempotency-Key is refused.
    """

    schema = Schema()
    parser_classes = [BoundedJSONParser]
    scopes: Mapping[str, str] = {}
    lookup_field = "public_id"
    needs_key = False
    filter_backends = []  # rows come from selectors.access; only views that filter a list name a backend

    def perform_authentication(self, request: Request) -> None:
        """Identify the caller.

        REST framework counts calls only after the caller is known. Unknown callers are counted here, by address, so
        that guessing tokens is slow.
        """
        try:
            super().perform_authentication(request)
        except exceptions.AuthenticationFailed:
            self.check_throttles(request)
            raise
        if not request.user.is_authenticated:
            self.check_throttles(request)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Check the caller's rights, then refuse parameters and fields that the operation does not document."""
        super().initial(request, *args, **kwargs)
        unknown_fields.refuse_unknown(self, request)

    @cached_property
    def viewer(self) -> access.Viewer:
        return viewer(self.request)

    @property
    def person(self) -> Person:
        return self.viewer.person

    def requested_project(self, role: str = access.ANNOTATOR) -> Project:
        """The project named by the query parameter `project`. The caller needs `role` in it."""
        key = self.request.query_params.get("project")
        if not key or not PROJECT_KEY.fullmatch(key):
            raise Invalid("Name the project: ?project=<public id or short name>.", field="project")
        return self.row_named("project", access.get_project, key, role)

    def row_named(self, field: str, get: Callable[..., M], key: object, *more: object) -> M:
        """The row that a field or query parameter names.

        Args:
            get: a function of `selectors.access`, called with the viewer, the key and `more`.

        Raises:
            NotFound: there is no such row, or the caller may not see it. The error names the field.
        """
        try:
            return get(self.viewer, key, *more)
        except NotFound:
            kind = field.split(".")[0].replace("_", " ")
            sentence = f"The {kind} {str(key)[:80]!r} does not exist, or you have no access to it."
            raise NotFound(sentence, field=field) from None

    def validated(self, serializer: type[Serializer], *, partial: bool = False) -> ValidatedData:
        """The validated body. Fields that the serializer does not know are refused by name."""
        return unknown_fields.validated_data(serializer(data=self.request.data, partial=partial))

    def page(self, rows: QuerySet[M], serializer: type[AnySerializer], **context: object) -> Response:
        """One page of `rows`, newest first."""
        found = self.paginate_queryset(self.filter_queryset(rows))
        shown = serializer(found, many=True, context={**self.get_serializer_context(), **context})
        return self.get_paginated_response(shown.data)

    def once_in_unit_of_work(self, act: Callable[[], StatusAndBody], extend: Callable[[], JsonObject]) -> Response:
        """As `once`, in one transaction with the record of the reply.

        Args:
            act: does the work. Its reply must be plain JSON data.
            extend: what is added to the reply, such as the next task.
        """
        code, reply = idempotency.once_in_unit_of_work(
            **self._repeat_key(), body=self.request.data, act=act, extend=extend
        )
        return Response(reply, status=code)

    def once(self, act: Callable[[], StatusAndBody], body: object = None) -> Response:
        """Do `act` once per person, path and Idempotency-Key; repeats get the first status and body again.

        Args:
            body: what must be equal in a repeat; None is the body of the request. An upload gives its digest.
        """
        repeat = self._repeat_key()
        if repeat["key"] is None:
            code, reply = act()
        else:
            if body is None:
                body = self.request.data
            code, reply = idempotency.once(**repeat, body=body, act=lambda: _storable(*act()))
        if code == status.HTTP_204_NO_CONTENT:  # a reply without a body: `reply` holds its headers
            return Response(status=code, headers=cast(dict[str, str], reply))
        return Response(reply, status=code)

    def _repeat_key(self) -> RepeatKey:
        key = self.request.headers.get("Idempotency-Key", "")
        if self.needs_key and not key:
            raise IdempotencyKeyMissing
        if len(key) > MAX_KEY or not key.isprintable():
            raise Invalid(f"An Idempotency-Key has at most {MAX_KEY} printable characters.", field="Idempotency-Key")
        return {"person": self.person, "route": f"{self.request.method} {self.request.path}", "key": key or None}


def created_status(created: bool) -> int:
    """201 for a new row, 200 for a row that was sent before with the same external_id and body."""
    return status.HTTP_201_CREATED if created else status.HTTP_200_OK


def with_index(index: int, error: DomainError) -> DomainError:
    """The same error, with the index of the list item that it is about."""
    error.field = f"{index}.{error.field}" if error.field else str(index)
    return error


def _storable(code: int, reply: object) -> StatusAndBody:
    """The reply as plain JSON data, so that repeats get exactly what the first request got."""
    if reply is None:
        return code, None
    return code, json.loads(JSONRenderer().render(reply))
