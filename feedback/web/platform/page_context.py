"""The context of every page: the projects of the person, the project of the page, and the role in it."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from django.http import HttpRequest

from feedback.models import Membership, Person, Project
from feedback.selectors.platform.access import ADMIN, REVIEWER
from feedback.web.pages import Context


@dataclass(frozen=True)
class Seat:
    """A project and the role of the viewer in it."""

    project: Project
    role: str


class Shell:
    """The data of the navigation around a page. It costs one query, if a template uses it."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def seats(self) -> list[Seat]:
        user = getattr(self._request, "user", None)
        if user is None or not user.is_authenticated:
            return []
        person = cast(Person, user)
        if person.is_site_admin:
            return [Seat(project, ADMIN) for project in Project.objects.order_by("name")]
        memberships = Membership.objects.filter(person=person).select_related("project").order_by("project__name")
        return [Seat(membership.project, membership.role) for membership in memberships]

    @cached_property
    def seat(self) -> Seat | None:
        """The seat in the project of the page, which stands in its path or its query; without one, the only seat."""
        slug = None
        if self._request.resolver_match is not None:
            slug = self._request.resolver_match.kwargs.get("slug") or self._request.GET.get("project")
        if slug is None and len(self.seats) == 1:
            return self.seats[0]
        for seat in self.seats:
            if seat.project.slug == slug:
                return seat
        return None

    @property
    def project(self) -> Project | None:
        if self.seat is None:
            return None
        return self.seat.project

    @property
    def is_admin(self) -> bool:
        return self.seat is not None and self.seat.role == ADMIN

    @property
    def is_reviewer(self) -> bool:
        return self.seat is not None and self.seat.role in (REVIEWER, ADMIN)


def page_context(request: HttpRequest) -> Context:
    """The context processor of all templates."""
    return {"shell": Shell(request)}
