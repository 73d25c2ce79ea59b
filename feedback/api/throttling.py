"""How many requests a person or an address may send. `services.platform.limits` counts for all processes together."""

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from feedback.models import Person
from feedback.services.platform import limits

if TYPE_CHECKING:  # the module reads the settings, which name this one
    from rest_framework.views import APIView


class ByPerson(BaseThrottle):
    """Known callers. All tokens and sessions of a person share one allowance."""

    wait_seconds = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if isinstance(request.user, Person):
            self.wait_seconds = limits.of_person(request._request, request.user.pk)
        return not self.wait_seconds

    def wait(self) -> float:
        return self.wait_seconds


class ByAddress(BaseThrottle):
    """Callers without a valid token, so that guessing tokens is slow."""

    wait_seconds = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if not (request.user and request.user.is_authenticated):
            self.wait_seconds = limits.of_address(request._request, page=False)
        return not self.wait_seconds

    def wait(self) -> float:
        return self.wait_seconds
