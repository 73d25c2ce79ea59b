"""How often a token, or an address without one, may call. Counted in each web process."""

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from feedback.address import caller_address
from feedback.models import ApiToken


class ByToken(SimpleRateThrottle):
    scope = "token"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if isinstance(request.auth, ApiToken):
            return f"throttle-token-{request.auth.pk}"
        return None


class ByAddress(SimpleRateThrottle):
    """Callers without a valid token: guessing tokens is slow."""

    scope = "address"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if request.user and request.user.is_authenticated:
            return None
        return f"throttle-address-{caller_address(request._request)}"
