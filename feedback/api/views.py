"""What every door for programs does the same way: who asks, one page of a list, one answer per Idempotency-Key."""

import io
import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions, serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api import unknown_fields
from feedback.api.errors import TooLarge
from feedback.api.openapi import Schema
from feedback.api.permissions import viewer
from feedback.errors import DomainError, IdempotencyKeyMissing, Invalid, NotFound
from feedback.models import Person, Project
from feedback.selectors.platform import access
from feedback.services.platform import idempotency

M = TypeVar("M", bound=Model)
MAX_KEY = 200
PROJECT_KEY = re.compile(r"[-\w]{1,60}", re.ASCII)

IN_PROJECT = OpenApiParameter("project", str, required=True, description="Public id or short name of the project.")


class BoundedJSONParser(JSONParser):
    """JSON within bounds. DRF reads past Django's own limit, and a body nested too deep would end in a bare 500."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        length = parser_context["request"].META.get("CONTENT_LENGTH") if parser_context else None
        if str(length or 0).isdigit() and int(length or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLarge
        raw = stream.read()
        try:
            data = super().parse(io.BytesIO(raw), media_type, parser_context)
            if b"\\ud" in raw.lower():  # perhaps half of a surrogate pair, which no reply and no table can hold
                json.dumps(data, ensure_ascii=False).encode()
        except RecursionError:
            raise exceptions.ParseError("The JSON is nested too deep.") from None
        except UnicodeEncodeError:
            raise exceptions.ParseError("The JSON holds half of a surrogate pair (\\ud800 to \\udfff).") from None
        return data


class ServiceView(GenericAPIView[Any]):
    """A view that parses, calls one service and shows. `scopes` says what a token needs for each method."""

    schema = Schema()
    parser_classes = [BoundedJSONParser]
    scopes: Mapping[str, str] = {}
    lookup_field = "public_id"
    needs_key = False  # whether a POST without Idempotency-Key is refused
    # Rows come from selectors.access; only the rooms that filter a list name a backend.
    filter_backends: Any = []

    def perform_authentication(self, request: Request) -> None:
        """Who calls. DRF counts calls only after a caller is known; whoever is not known is counted here, by address,
        so that guessing tokens is slow."""
        try:
            super().perform_authentication(request)
        except exceptions.AuthenticationFailed:
            self.check_throttles(request)
            raise
        if not request.user.is_authenticated:
            self.check_throttles(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who calls and whether they may; then, whether all that was sent is known here."""
        super().initial(request, *args, **kwargs)
        unknown_fields.refuse_unknown(self, request)

    @cached_property
    def viewer(self) -> access.Viewer:
        return viewer(self.request)

    @property
    def person(self) -> Person:
        return self.viewer.person

    def asked_project(self, role: str = access.ANNOTATOR) -> Project:
        """The project that a list is requested (`?project=`)."""
        key = self.request.query_params.get("project")
        if not key or not PROJECT_KEY.fullmatch(key):
            raise Invalid("Name the project: ?project=<public id or short name>.", field="project")
        return self.named("project", access.get_project, key, role)

    def named(self, field: str, get: Callable[..., M], key: Any, *more: Any) -> M:
        """The row that a field or query parameter names. What is not there is reported with that name.

        Args:
            get: a function of `selectors.access`, called with the viewer, the key and what else it takes.
        """
        try:
            return get(self.viewer, key, *more)
        except NotFound:
            kind = field.split(".")[0].replace("_", " ")
            sentence = f"The {kind} {str(key)[:80]!r} does not exist, or you have no access to it."
            raise NotFound(sentence, field=field) from None

    def read(self, serializer: type[serializers.Serializer[Any]], **options: Any) -> dict[str, Any]:
        """The validated body. A field that the serializer does not know is refused by name."""
        given: dict[str, Any] = unknown_fields.checked(serializer(data=self.request.data, **options))
        return given

    def page(self, rows: QuerySet[M], serializer: type[serializers.BaseSerializer[Any]], **context: Any) -> Response:
        """One page of `rows`, newest first."""
        found = self.paginate_queryset(self.filter_queryset(rows))
        shown = serializer(found, many=True, context={**self.get_serializer_context(), **context})
        return self.get_paginated_response(shown.data)

    def once_in_unit_of_work(
        self, act: Callable[[], idempotency.Reply], extend: Callable[[], dict[str, Any]]
    ) -> Response:
        """As `once`, in one transaction with its record. The reply is plain JSON already; `extend` adds to it."""
        code, reply = idempotency.once_in_unit_of_work(
            **self._first_of(), body=self.request.data, act=act, extend=extend
        )
        return Response(reply, status=code)

    def once(self, act: Callable[[], tuple[int, Any]], body: Any = None) -> Response:
        """Do `act` once per person, path and Idempotency-Key; repeats get the first (status, reply) again.

        `body` is what must be the same in a repeat, where the request's own data does not tell (an upload).
        """
        first = self._first_of()
        if first["key"] is None:
            code, reply = act()
        else:
            same = self.request.data if body is None else body
            code, reply = idempotency.once(**first, body=same, act=lambda: _storable(*act()))
        if code == status.HTTP_204_NO_CONTENT:  # no body; what was kept are its headers
            return Response(status=code, headers=reply)
        return Response(reply, status=code)

    def _first_of(self) -> dict[str, Any]:
        """What a request is known by when it is repeated."""
        key = self.request.headers.get("Idempotency-Key", "")
        if self.needs_key and not key:
            raise IdempotencyKeyMissing
        if len(key) > MAX_KEY or not key.isprintable():
            raise Invalid(f"An Idempotency-Key has at most {MAX_KEY} printable characters.", field="Idempotency-Key")
        return {"person": self.person, "route": f"{self.request.method} {self.request.path}", "key": key or None}


def made(created: bool) -> int:
    """201 for what is new, 200 for what came before with the same external_id and body."""
    return status.HTTP_201_CREATED if created else status.HTTP_200_OK


def by_index(index: int, error: DomainError) -> DomainError:
    """The same error, saying which item of a list it is about."""
    error.field = f"{index}.{error.field}" if error.field else str(index)
    return error


def _storable(code: int, reply: Any) -> tuple[int, Any]:
    """The reply as plain JSON: what is kept for repeats is what is sent the first time."""
    return code, json.loads(JSONRenderer().render(reply)) if reply is not None else None
