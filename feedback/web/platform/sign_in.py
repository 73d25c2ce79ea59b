"""Limits of sign-in attempts: guessing passwords is slow, and nobody can lock out the owner of an account.

Wrong passwords are counted by name and address together, so that guesses from one address never delay the owner at
another. A browser that has signed in before has its own count, whatever others behind the same address do. The counts
are shared between processes (`feedback.services.platform.allowance`).
"""

import logging
import secrets
import threading
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.contrib.auth import authenticate
from django.core import signing
from django.http import HttpRequest, HttpResponse

from feedback.errors import Busy, TooManyRequests
from feedback.models import Person
from feedback.runtime.caller_address import caller_address
from feedback.services.platform import events
from feedback.services.platform.allowance import ledger

log = logging.getLogger(__name__)

HOUR = 3600
IN_AN_HOUR = 4  # times the limit of a minute
ALL_NAMES = 3  # times the limit of one name, for all names from one address
TOO_MANY = "Too many attempts."
DEVICE = "device"  # the cookie of a browser that has signed in before
DEVICE_SECONDS = 365 * 86400
SALT = "feedback.device"

# Checking a password takes a third of a second of CPU, so few are checked at once and few requests wait.
checking = threading.Semaphore(1)
places = threading.BoundedSemaphore(4)


@dataclass(frozen=True)
class Count:
    key: str
    limit: float
    seconds: int


def try_password(request: HttpRequest, username: str, password: str) -> Person | None:
    """The person, or None where name and password do not match. The attempt is recorded.

    Raises:
        TooManyRequests: too many passwords were wrong; this one was not checked.
        Busy: many people are signing in at this moment.
    """
    who = _checked(request, username, password)
    _record(request, who, username)
    return who


def confirm_password(request: HttpRequest, who: Person, password: str) -> bool:
    """Whether this is the password of the person, who has signed in. Guesses count as those of the sign-in page do.

    Raises:
        TooManyRequests, Busy: as `try_password`.
    """
    return _checked(request, who.get_username(), password) is not None


def _checked(request: HttpRequest, username: str, password: str) -> Person | None:
    """The person, or None where name and password do not match. Wrong passwords are counted.

    Raises:
        TooManyRequests: too many passwords were wrong; this one was not checked.
        Busy: many people are signing in at this moment.
    """
    counts = _counts(request, username)
    wait = max(ledger.spend(count.key, 1, count.limit, count.seconds) for count in counts)
    if wait:
        log.warning("sign-in refused without a check: too many wrong passwords from %s", caller_address(request))
        raise TooManyRequests(wait, TOO_MANY)
    if not places.acquire(blocking=False):
        raise Busy("Too many people are signing in right now.")
    try:
        with checking:
            who = cast(Person | None, authenticate(request, username=username, password=password))
    finally:
        places.release()
    if who is not None:
        for count in counts:  # only wrong ones count
            ledger.spend(count.key, -1, count.limit, count.seconds)
    return who


def know_device(request: HttpRequest, reply: HttpResponse, who: Person) -> None:
    """Remember in the browser that this person has signed in there."""
    name = who.get_username().lower()
    if _device(request, name):
        return
    value = signing.dumps([name, secrets.token_urlsafe(12)], salt=SALT)
    reply.set_cookie(
        DEVICE,
        value,
        max_age=DEVICE_SECONDS,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def limit_forgotten(request: HttpRequest) -> None:
    """Limit how often an address asks for links to reset a password, whatever the names.

    Raises:
        TooManyRequests: it asked too often.
    """
    key = f"forgotten:{caller_address(request)}"
    counts = _both(key, settings.SIGN_IN_ATTEMPTS_PER_MINUTE)
    if wait := max(ledger.spend(count.key, 1, count.limit, count.seconds) for count in counts):
        raise TooManyRequests(wait, TOO_MANY)


def _counts(request: HttpRequest, username: str) -> list[Count]:
    limit = settings.SIGN_IN_ATTEMPTS_PER_MINUTE
    name, address = username.lower(), caller_address(request)
    device = _device(request, username)
    if device:
        return _both(f"sign-in:device:{device}", limit)
    return [
        *_both(f"sign-in:{address}:{name}", limit),
        *_both(f"sign-in:{address}", limit * ALL_NAMES),
    ]


def _both(key: str, limit: int) -> list[Count]:
    return [Count(key, limit, 60), Count(f"{key}:hour", limit * IN_AN_HOUR, HOUR)]


def _device(request: HttpRequest, username: str) -> str:
    """The id of the browser, if this person has signed in with it before; else empty."""
    try:
        name, mark = signing.loads(request.COOKIES.get(DEVICE, ""), salt=SALT, max_age=DEVICE_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(mark) if name == username.lower() else ""


def _record(request: HttpRequest, who: Person | None, username: str) -> None:
    """Record the attempt for people that exist. An unknown name is not recorded: it may be a password."""
    address = caller_address(request)
    if who is not None:
        events.record("sign_in.succeeded", who, actor=who, address=address)
        log.info("person %s signed in from %s", who.public_id, address)
        return
    log.warning("a sign-in failed from %s", address)
    person = Person.objects.filter(username=username).first()
    if person is not None:
        events.record("sign_in.failed", person, actor=None, address=address)
