"""Rate limits of a caller in a minute: requests, and CPU time.

A caller is a person, whatever tokens and sessions they use, or an address for whoever is not known. What a request
cost is measured, not guessed, and charged when it is answered: the next one waits.
"""

from django.conf import settings
from django.http import HttpRequest

from feedback.runtime.caller_address import caller_address
from feedback.services.platform.allowance import ledger

UNITS = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}
ANONYMOUS_SHARE = 1 / 4  # of a person's share of a processor, for all unknown callers at one address
PAGES_FOR_ONE = 10  # an office behind one address opens the sign-in page more often than a program may call


def per_minute(rate: str) -> float:
    """A rate such as `6000/min`, as calls a minute."""
    number, _, unit = rate.partition("/")
    return int(number) / UNITS[unit.strip()[:1]]


def of_person(request: HttpRequest, person_key: int) -> float:
    """Count a request of a person. Returns 0, or the seconds until the next request is accepted."""
    return _count(request, f"person:{person_key}", per_minute(settings.THROTTLE_TOKEN), settings.THROTTLE_CPU_SECONDS)


def of_address(request: HttpRequest, *, page: bool) -> float:
    """As `of_person`, for callers without an account, by address."""
    rate = per_minute(settings.THROTTLE_ADDRESS)
    kind = "page" if page else "api"
    key = f"{kind}:{caller_address(request)}"
    return _count(request, key, rate * (PAGES_FOR_ONE if page else 1), settings.THROTTLE_CPU_SECONDS * ANONYMOUS_SHARE)


def charge(request: HttpRequest, seconds: float) -> None:
    """Charge the CPU time of a request to its caller."""
    counted = getattr(request, "counted_for", None)
    if counted is not None:
        key, limit = counted
        ledger.spend(f"cpu:{key}", seconds, limit)


def _count(request: HttpRequest, key: str, requests: float, cpu_seconds: float) -> float:
    request.counted_for = (key, cpu_seconds)  # type: ignore[attr-defined]
    return max(ledger.spend(f"requests:{key}", 1, requests), ledger.left_for(f"cpu:{key}", cpu_seconds))
