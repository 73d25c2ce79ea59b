"""What stands before every page: signed in, and a member of the project with the role that the page needs."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse

from feedback.errors import Invalid
from feedback.models import Person, Project
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ANNOTATOR, Viewer

P = ParamSpec("P")


def viewer(request: HttpRequest) -> Viewer:
    """Who asks, in `selectors.access` terms. Behind `login_required` only."""
    return Viewer(cast(Person, request.user))


def person(request: HttpRequest) -> Person:
    return cast(Person, request.user)


def project_page(
    role: str = ANNOTATOR,
) -> Callable[[Callable[Concatenate[HttpRequest, Project, P], HttpResponse]], Callable[..., HttpResponse]]:
    """A view under `/p/<slug>/…` that gets the project instead of its slug.

    Strangers and wrong names get 404, members whose role is too low 403, everybody else signs in first.
    """

    def decorate(
        view: Callable[Concatenate[HttpRequest, Project, P], HttpResponse],
    ) -> Callable[..., HttpResponse]:
        @wraps(view)
        def wrapped(request: HttpRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponse:
            project = access.get_project(viewer(request), slug, role)
            refuse_nul(request)
            return view(request, project, *args, **kwargs)

        return login_required(wrapped)

    return decorate


def refuse_nul(request: HttpRequest) -> None:
    """Django's forms refuse the one character that PostgreSQL cannot store; not everything comes through a form."""
    for name, values in [*request.GET.lists(), *request.POST.lists()]:
        if any("\0" in value for value in values if isinstance(value, str)):
            raise Invalid("It contains a NUL character, which cannot be stored.", field=name)
