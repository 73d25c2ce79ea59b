"""Scopes: what a token may be used for. What its person may do in a project is decided by `selectors.access`."""

from typing import TYPE_CHECKING, cast

from rest_framework import permissions
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from feedback.models import ApiToken, Person
from feedback.rules.platform.scopes import SCOPES
from feedback.selectors.platform.access import Viewer

if TYPE_CHECKING:  # the module reads the settings, which name this one
    from rest_framework.views import APIView


class HasScope(permissions.BasePermission):
    """A view names `scope` (or `scopes = {"GET": …, "POST": …}`); a session has all of its person's rights."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        if not isinstance(request.auth, ApiToken):
            return True
        scopes = getattr(view, "scopes", None) or {}
        method = str(request.method).replace("HEAD", "GET")
        scope = scopes.get(method) or getattr(view, "scope", "admin")
        if scope not in SCOPES:
            raise AssertionError(f"{view} names the unknown scope {scope!r}")
        if scope not in request.auth.scopes:
            raise PermissionDenied(
                f"This token lacks the scope {scope!r}; it has {sorted(request.auth.scopes)}.",
                code="insufficient_scope",
            )
        return True


def viewer(request: Request) -> Viewer:
    """The person and the token behind a request. HasScope refuses everybody else."""
    assert isinstance(request.user, Person)
    token = request.auth if isinstance(request.auth, ApiToken) else None
    return Viewer(cast(Person, request.user), token)
