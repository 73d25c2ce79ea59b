"""From where somebody calls, as far as it can be believed."""

from django.conf import settings
from django.http import HttpRequest


def caller_address(request: HttpRequest) -> str:
    """The address that the outermost of our proxies saw, or the peer's when there is none.

    Of X-Forwarded-For each proxy appends one entry; what stands before the last TRUSTED_PROXIES of them is whatever the
    caller wrote.
    """
    peer = str(request.META.get("REMOTE_ADDR", ""))
    addresses = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    trusted: int = settings.TRUSTED_PROXIES
    return addresses[-min(trusted, len(addresses))] if trusted and addresses else peer
