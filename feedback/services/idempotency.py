"""A retry must not count twice: the first reply to a key is given again to its repeats."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback.errors import Conflict, IdempotencyConflict
from feedback.models import IdempotencyRecord, Person
from feedback.rules.canonical import body_hash

IN_FLIGHT_SECONDS = 60


def once(
    *, person: Person, route: str, key: str | None, body: Any, act: Callable[[], tuple[int, Any]]
) -> tuple[int, Any]:
    """Do `act` once for (person, route, key) and return its (status, reply); repeats get the first reply.

    The record is claimed first, in its own short transaction, so that of two requests at once one acts and the other is
    told to come again. If `act` raises, the claim is given up and a retry acts anew; what `act` did is then undone by
    its own transaction.

    Raises:
        IdempotencyConflict: the key was used with another body.
        Conflict: the first request with this key is still at work.
    """
    if not key:
        return act()
    digest = body_hash(body)
    try:
        with transaction.atomic():
            record = IdempotencyRecord.objects.create(person=person, route=route, key=key[:200], body_hash=digest)
    except IntegrityError:
        record = IdempotencyRecord.objects.get(person=person, route=route, key=key[:200])
        if record.body_hash != digest:
            raise IdempotencyConflict from None
        if record.status is not None:
            return record.status, record.reply
        # Claimed and not answered: at work now, or its process was killed. After a while the claim is taken over.
        stale = timezone.now() - timedelta(seconds=IN_FLIGHT_SECONDS)
        taken = IdempotencyRecord.objects.filter(pk=record.pk, status=None, created_at__lt=stale).update(
            created_at=timezone.now()
        )
        if not taken:
            raise Conflict(
                "The first request with this Idempotency-Key is still at work. Try again in a second."
            ) from None
    try:
        status, reply = act()
    except BaseException:
        IdempotencyRecord.objects.filter(pk=record.pk, status=None).delete()
        raise
    IdempotencyRecord.objects.filter(pk=record.pk).update(status=status, reply=reply)
    return status, reply


def forget_old() -> int:
    """Drop records older than IDEMPOTENCY_DAYS, a few hundred at a time. Returns how many."""
    limit = timezone.now() - timedelta(days=settings.IDEMPOTENCY_DAYS)
    old = list(IdempotencyRecord.objects.filter(created_at__lt=limit).values_list("pk", flat=True)[:500])
    return IdempotencyRecord.objects.filter(pk__in=old).delete()[0] if old else 0
