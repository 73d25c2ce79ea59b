"""What every page knows: the person's projects, the one this page is about, and the role in it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from django.http import HttpRequest

from feedback.models import Membership, Person, Project
from feedback.selectors.platform.access import ADMIN, REVIEWER


@dataclass(frozen=True)
class Seat:
    """A project and what its visitor is in it."""

    project: Project
    role: str


class Shell:
    """The frame around a page. Costs one query, and only when a template asks."""

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
        """The seat in the project that the address names; of somebody with one project only, that one."""
        match = self._request.resolver_match
        slug = match.kwargs.get("slug") if match else None
        if slug is None:
            return self.seats[0] if len(self.seats) == 1 else None
        return next((seat for seat in self.seats if seat.project.slug == slug), None)

    @property
    def project(self) -> Project | None:
        return self.seat.project if self.seat else None

    @property
    def is_admin(self) -> bool:
        return self.seat is not None and self.seat.role == ADMIN

    @property
    def is_reviewer(self) -> bool:
        return self.seat is not None and self.seat.role in (REVIEWER, ADMIN)


def everywhere(request: HttpRequest) -> dict[str, Any]:
    return {"shell": Shell(request)}
