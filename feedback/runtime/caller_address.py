"""The address of a caller, from trusted sources only."""

from django.conf import settings
from django.http import HttpRequest


def caller_address(request: HttpRequest) -> str:
    """The address that the outermost trusted proxy saw, or that of the peer if there is no proxy.

    Each proxy appends one entry to X-Forwarded-For. The entries before the last TRUSTED_PROXIES are written by the
    caller, so they are ignored.
    """
    peer = str(request.META.get("REMOTE_ADDR", ""))
    entries = map(str.strip, request.META.get("HTTP_X_FORWARDED_FOR", "").split(","))
    addresses = list(filter(None, entries))
    trusted: int = settings.TRUSTED_PROXIES
    if not trusted or not addresses:
        return peer
    return addresses[-min(trusted, len(addresses))]
