"""Verbs of an account: set its password, sign out everywhere, suspend and reinstate."""

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from feedback.errors import Conflict, Forbidden, Invalid
from feedback.models import AccountLink, ApiToken, Person, Project
from feedback.services.collection import member_departure
from feedback.services.platform import events

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def must_change_password(person: Person) -> bool:
    """Whether the person may do nothing but change a password that others have seen.

    Passwords of the demo are written to a file on this machine, and may stay while only this machine is served.
    """
    if person.password_origin == Person.PasswordOrigin.OWN:
        return False
    if person.password_origin == Person.PasswordOrigin.DEMO:
        return settings.PRODUCTION or settings.BIND not in LOOPBACK or settings.TRUSTED_PROXIES > 0
    return True


def access_of(person_key: int) -> tuple[str, int] | None:
    """A value that changes when a person is suspended or signed out everywhere."""
    return Person.objects.filter(pk=person_key).values_list("status", "session_generation").first()


def set_password(*, by: Person, person: Person, password: str) -> None:
    """Set the password that `person` has chosen. Every session of theirs ends, and links that were not used.

    Raises:
        Invalid: the password is too weak; the sentence says how.
    """
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="password1") from None
    with transaction.atomic():
        person.set_password(password)
        person.password_origin = Person.PasswordOrigin.OWN
        person.save(update_fields=["password", "password_origin"])
        revoke_links(person)
        events.record("person.password_set", person, actor=by)


def sign_out_everywhere(*, by: Person, person: Person, tokens: bool = False) -> None:
    """End every session of `person`, and with `tokens` revoke all of their API tokens.

    Raises:
        Forbidden: they are somebody else, and `by` is no site admin.
    """
    if by.pk != person.pk:
        require_site_admin(by)
    with transaction.atomic():
        _end_sessions(person)
        if tokens:
            _revoke_tokens(person)
        events.record("person.signed_out", person, actor=by, tokens=tokens)
    person.refresh_from_db(fields=["session_generation"])


def suspend(*, by: Person, person: Person) -> None:
    """Bar a person: sessions, tokens and links end, what they hold goes back. Their annotations stay and count.

    Raises:
        Forbidden: `by` is no site admin.
        Conflict: they suspend themselves, or the person is not active.
    """
    require_site_admin(by)
    if by.pk == person.pk:
        raise Conflict("You cannot suspend yourself. Ask another site admin.")
    with transaction.atomic():
        # In the order of keys, so that two site admins who suspend each other do not deadlock: one of them is first.
        rows = {
            row.pk: row for row in Person.objects.select_for_update().filter(pk__in=(by.pk, person.pk)).order_by("pk")
        }
        if rows[by.pk].status != Person.Status.ACTIVE:
            raise Forbidden("Your account is suspended.")
        _change_status(person, Person.Status.ACTIVE, Person.Status.SUSPENDED)
        _end_sessions(person)
        _revoke_tokens(person)
        revoke_links(person)
        for project in Project.objects.filter(memberships__person=person):
            member_departure.give_back(project, person)
        events.record("person.suspended", person, actor=by)
    person.refresh_from_db()


def reinstate(*, by: Person, person: Person) -> None:
    """Let a suspended person sign in again. Their tokens stay revoked, and they have no session.

    Raises:
        Forbidden: `by` is no site admin.
        Conflict: the person is not suspended.
    """
    require_site_admin(by)
    with transaction.atomic():
        _change_status(person, Person.Status.SUSPENDED, Person.Status.ACTIVE)
        events.record("person.reinstated", person, actor=by)
    person.refresh_from_db()


def change_contact(*, by: Person, person: Person, display_name: str, email: str) -> None:
    """Set how a person is called, and where links are e-mailed to."""
    if by.pk != person.pk:
        require_site_admin(by)
    with transaction.atomic():
        if email != person.email:
            revoke_links(person)  # those sent to the earlier address
        person.display_name, person.email = display_name or str(person.username), email
        person.save(update_fields=["display_name", "email"])
        events.record("person.changed", person, actor=by)


def revoke_links(person: Person) -> None:
    """Links that were not used work no more. Call inside a transaction."""
    AccountLink.objects.filter(person=person, used_at=None, revoked_at=None).update(revoked_at=timezone.now())


def require_site_admin(by: Person) -> None:
    if not by.is_site_admin:
        raise Forbidden("Only site admins do this. Ask a site admin.")


def _end_sessions(person: Person) -> None:
    Person.objects.filter(pk=person.pk).update(session_generation=F("session_generation") + 1)


def _revoke_tokens(person: Person) -> None:
    ApiToken.objects.filter(person=person, revoked_at=None).update(revoked_at=timezone.now())


def _change_status(person: Person, old: str, new: str) -> None:
    """Raises Conflict if the status is not `old`, such as after somebody else's click."""
    if not Person.objects.filter(pk=person.pk, status=old).update(status=new):
        person.refresh_from_db(fields=["status"])
        raise Conflict(f"{person} is {person.status}, not {old}.")
