"""Idempotency keys: a repeated request gets the first reply and changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from feedback.db.compiled_queries import CompiledUpdate, Param, insert
from feedback.db.unit_of_work import WouldWait, unit_of_work
from feedback.errors import Conflict, DomainError, IdempotencyConflict
from feedback.models import IdempotencyRecord, Person
from feedback.rules.data.content_hash import body_hash
from feedback.rules.json_types import JsonObject

Reply = tuple[int, Any]  # HTTP status and JSON body

IN_FLIGHT_SECONDS = 60
mark_answered = CompiledUpdate(
    lambda: IdempotencyRecord.objects.filter(pk=Param("record")), status=Param("status"), reply=Param("reply")
)


class Repeated(Exception):
    """A record of this key exists."""


def once(*, person: Person, route: str, key: str | None, body: object, act: Callable[[], Reply]) -> Reply:
    """Call `act` once for (person, route, key) and return its (status, reply); repeats get the first reply.

    The record is claimed first, in its own statement, so that of two requests at once one acts and the other is
    given a time to come again. If `act` raises, the claim is given up and a retry acts anew; what `act` did is then
    undone by its own transaction.

    Raises:
        IdempotencyConflict: the key was used with another body.
        Conflict: the first request with this key is still at work.
    """
    if not key:
        return act()
    record = IdempotencyRecord(person=person, route=route, key=key[:200], body_hash=body_hash(body))
    if not insert(record, unless_there=True):
        first = _first(record)
        if first is not None and first.status is not None:
            return first.status, first.reply
        # Claimed and not answered: at work now, or its process was killed. After a while the claim is taken over.
        now = timezone.now()
        stale = now - timedelta(seconds=IN_FLIGHT_SECONDS)
        claims = IdempotencyRecord.objects.filter(person=person, route=route, key=record.key, status=None)
        if first is None or not claims.filter(created_at__lt=stale).update(created_at=now):
            raise Conflict("The first request with this Idempotency-Key is still in progress. Try again in a second.")
        record, record.created_at = first, now
    try:
        status, reply = act()
    except BaseException:
        # Only one's own claim: who took so long that another took it over leaves it to them.
        IdempotencyRecord.objects.filter(pk=record.pk, status=None, created_at=record.created_at).delete()
        raise
    mark_answered(record=record.pk, status=status, reply=reply)
    return status, reply


def once_in_unit_of_work(
    *,
    person: Person,
    route: str,
    key: str | None,
    body: object,
    act: Callable[[], Reply],
    extend: Callable[[], JsonObject] = dict,
) -> Reply:
    """As `once`, where all that `act` does is in the database and soon done: it and its record are one unit of work.

    A process that is killed leaves no claim, and whoever repeats a request that is still at work waits for its end.

    Args:
        act: makes the change. Its reply is a JSON object.
        extend: what the reply brings as well, such as the next task. It is part of the unit of work, unless it would
            have to wait for others: then the unit is committed without it, and it is called once more.
    """
    if not key:
        status, reply = act()
        return status, reply | extend()
    record = IdempotencyRecord(person=person, route=route, key=key[:200], body_hash=body_hash(body))
    try:
        (status, reply), extended = _act_and_record(record, act, extend)
    except (Repeated, DomainError) as refusal:  # what a repeat is refused for, its first may have done
        first = _first(record)
        if first is None and isinstance(refusal, DomainError):
            raise
        if first is not None and first.status is not None:
            return first.status, first.reply
        return once(person=person, route=route, key=key, body=body, act=lambda: _extended(act(), extend()))
    if not extended:
        reply |= extend()
        mark_answered(record=record.pk, status=status, reply=reply)
    return status, reply


def _act_and_record(
    record: IdempotencyRecord, act: Callable[[], Reply], extend: Callable[[], JsonObject]
) -> tuple[Reply, bool]:
    """Act and keep the reply, in one unit of work. Returns the reply, and whether it could be extended in it.

    Raises:
        Repeated: another request with this key was first; nothing of this one is kept.
    """
    with unit_of_work():
        status, reply = act()
        extended = True
        try:
            reply |= extend()
        except WouldWait:
            extended = False
        record.status, record.reply = status, reply
        if not insert(record, unless_there=True):
            raise Repeated
    return (status, reply), extended


def _extended(reply: Reply, more: JsonObject) -> Reply:
    status, body = reply
    return status, body | more


def _first(record: IdempotencyRecord) -> IdempotencyRecord | None:
    """The record of this key, if its request was the same."""
    first = IdempotencyRecord.objects.filter(person=record.person, route=record.route, key=record.key).first()
    if first is not None and first.body_hash != record.body_hash:
        raise IdempotencyConflict
    return first


def forget_old() -> int:
    """Drop records older than IDEMPOTENCY_DAYS, a few hundred at a time. Returns how many."""
    limit = timezone.now() - timedelta(days=settings.IDEMPOTENCY_DAYS)
    old = list(IdempotencyRecord.objects.filter(created_at__lt=limit).values_list("pk", flat=True)[:500])
    if old:
        return IdempotencyRecord.objects.filter(pk__in=old).delete()[0]
    return 0
