"""One-time links: invitations to an account without a password, and resets of a password."""

import secrets
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback.errors import Conflict, Forbidden, NotFound
from feedback.models import AccountLink, Membership, Person, Project
from feedback.services.platform import accounts, events, people, projects
from feedback.services.platform.tokens import digest

INVITATION, RESET = AccountLink.Purpose.INVITATION, AccountLink.Purpose.RESET
DEAD = "This link does not work: it was used, replaced or has expired. Ask whoever sent it for a new one."


def invite(
    *,
    by: Person,
    username: str,
    display_name: str = "",
    email: str = "",
    project: Project | None = None,
    role: str = Membership.Role.ANNOTATOR,
) -> tuple[AccountLink, str]:
    """Create an account without a password, and a link by which its owner sets one.

    Returns:
        The link with its secret, which is never stored.

    Raises:
        Forbidden: `by` is no site admin, and no admin of `project`.
        Conflict: the username is taken.
        Invalid: the username holds characters that none may hold.
    """
    if not by.is_site_admin and (project is None or not _administers(by, project)):
        raise Forbidden("Only site admins and admins of the project invite people.")
    people.check_username(username)
    try:
        with transaction.atomic():
            person = Person.objects.create_user(username, None, display_name=display_name, email=email)
            events.record("person.invited", person, actor=by)
            if project is not None:
                projects.set_member(by=by, project=project, person=person, role=role)
            return _new_link(by, person, INVITATION)
    except IntegrityError:
        raise Conflict(f"The username {username!r} is taken.", field="username") from None


def create_link(*, by: Person, person: Person) -> tuple[AccountLink, str]:
    """A new link for somebody who lost theirs or forgot their password. Earlier ones of theirs stop working.

    An admin who is no site admin renews the invitations that they made themselves, until one was used.

    Raises:
        Forbidden: `by` may not do this for this person.
        Conflict: the person is suspended, or has no username.
    """
    new_here = not person.has_usable_password()
    invited_by = AccountLink.objects.filter(person=person, purpose=INVITATION, created_by=by)
    if not by.is_site_admin and not (new_here and invited_by.exists()):
        raise Forbidden("Only site admins create links to reset a password. Ask a site admin.")
    return _new_link(by, person, INVITATION if new_here else RESET)


def create_forgotten(person: Person) -> tuple[AccountLink, str]:
    """A link for somebody who asked for it on the sign-in page. It goes to their e-mail address only.

    Anybody can ask in their name, so links from admins go on working.
    """
    return _new_link(None, person, RESET)


def find(secret: str) -> AccountLink:
    """The link of this secret, if it works.

    Raises:
        NotFound: it does not. The sentence is the same whatever the reason.
    """
    links = AccountLink.objects.select_related("person").filter(digest=digest(secret), used_at=None, revoked_at=None)
    link = links.filter(expires_at__gt=timezone.now(), person__status=Person.Status.ACTIVE).first()
    if link is None:
        raise NotFound(DEAD)
    return link


def use(*, secret: str, password: str) -> Person:
    """Set the password of the link's person. A link works once, also for two clicks at the same moment.

    Raises:
        NotFound: the link does not work.
        Invalid: the password is too weak. The link still works.
    """
    link = find(secret)
    with transaction.atomic():
        now = timezone.now()
        person = Person.objects.select_for_update().get(pk=link.person_id)
        unused = AccountLink.objects.filter(pk=link.pk, used_at=None, revoked_at=None, expires_at__gt=now)
        if person.status != Person.Status.ACTIVE or not unused.update(used_at=now):
            raise NotFound(DEAD)
        accounts.set_password(by=person, person=person, password=password)
        events.record(f"{link.purpose}.used", person, actor=person)
        if link.emailed_to and link.emailed_to == person.email:
            EmailAddress.objects.update_or_create(
                user=person, email=link.emailed_to.lower(), defaults={"verified": True, "primary": True}
            )
    return person


def _new_link(by: Person | None, person: Person, purpose: AccountLink.Purpose) -> tuple[AccountLink, str]:
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        locked = Person.objects.select_for_update().get(pk=person.pk)
        if locked.username is None:
            raise Conflict(f"{locked} is known from an import only and cannot sign in.")
        if locked.status != Person.Status.ACTIVE:
            raise Conflict(f"{locked} is {locked.status}. Reinstate the account first.")
        if by is not None:
            accounts.revoke_links(locked)
        link = AccountLink.objects.create(
            person=locked, purpose=purpose, digest=digest(secret), created_by=by, expires_at=_expiry(purpose)
        )
        events.record(f"{purpose}.created", locked, actor=by)
    return link, secret


def _expiry(purpose: AccountLink.Purpose) -> datetime:
    if purpose == INVITATION:
        return timezone.now() + timedelta(days=settings.INVITATION_DAYS)
    return timezone.now() + timedelta(hours=settings.RESET_HOURS)


def _administers(by: Person, project: Project) -> bool:
    return Membership.objects.filter(person=by, project=project, role=Membership.Role.ADMIN).exists()
