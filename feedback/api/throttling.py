"""How much a person, or an address without one, may ask for. `feedback.services.platform.limits` counts, shared between
processes."""

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from feedback.models import Person
from feedback.services.platform import limits


class ByPerson(BaseThrottle):
    """Whoever is known, by token or session: all of a person's tokens and sessions share one allowance."""

    wanted = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.user, Person):
            self.wanted = limits.of_person(request._request, request.user.pk)
        return not self.wanted

    def wait(self) -> float:
        return self.wanted


class ByAddress(BaseThrottle):
    """Callers without a valid token: guessing tokens is slow."""

    wanted = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        if not (request.user and request.user.is_authenticated):
            self.wanted = limits.of_address(request._request, page=False)
        return not self.wanted

    def wait(self) -> float:
        return self.wanted
