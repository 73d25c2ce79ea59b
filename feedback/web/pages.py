"""What every page of a project checks first: sign-in, membership and role."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeAlias, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse

from feedback.errors import Invalid
from feedback.models import Person, Project
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ANNOTATOR, Viewer

P = ParamSpec("P")
Context: TypeAlias = dict[str, object]  # what a template gets


def viewer(request: HttpRequest) -> Viewer:
    """The viewer of a page, as `selectors.access` expects it. Only for views behind `login_required`."""
    return Viewer(cast(Person, request.user))


def person(request: HttpRequest) -> Person:
    return cast(Person, request.user)


def project_page(
    role: str = ANNOTATOR,
) -> Callable[[Callable[Concatenate[HttpRequest, Project, P], HttpResponse]], Callable[..., HttpResponse]]:
    """A decorator for a view under `/p/<slug>/…`. The view gets the project instead of its slug.

    Signed-out visitors are sent to the sign-in page. A missing project or one of which the viewer is no member gives
    404, and too low a role gives 403.
    """

    def decorate(
        view: Callable[Concatenate[HttpRequest, Project, P], HttpResponse],
    ) -> Callable[..., HttpResponse]:
        @wraps(view)
        def wrapped(request: HttpRequest, slug: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            project = access.get_project(viewer(request), slug, role)
            refuse_nul(request)
            return view(request, project, *args, **kwargs)

        return login_required(wrapped)

    return decorate


def refuse_nul(request: HttpRequest) -> None:
    """Refuse NUL, which PostgreSQL cannot store. Forms of Django refuse it, but not every parameter is in a form.

    Raises:
        Invalid: a parameter holds NUL.
    """
    for name, values in [*request.GET.lists(), *request.POST.lists()]:
        if "\0" in "".join(map(str, values)):
            raise Invalid("It contains a NUL character, which cannot be stored.", field=name)
