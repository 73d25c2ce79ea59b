"""E-mails with one-time links. Their addresses begin with PUBLIC_URL, never with the Host of a request."""

import logging
import smtplib
from datetime import timedelta

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from feedback.models import AccountLink, Person
from feedback.services.platform import account_links

log = logging.getLogger(__name__)

FORGOTTEN_EVERY = timedelta(minutes=5)  # how often a stranger can have a mail sent to somebody


def can_send() -> bool:
    return bool(settings.EMAIL_HOST)


def public_address(secret: str) -> str:
    return settings.PUBLIC_URL + reverse("account_link", args=[secret])


def send(link: AccountLink, secret: str) -> bool:
    """E-mail a link to its person. Returns whether it was handed to the mail server.

    The link works either way, so an admin can copy it if there is no server, or if it does not answer.
    """
    person = link.person
    if not can_send() or not person.email:
        return False
    AccountLink.objects.filter(pk=link.pk).update(emailed_to=person.email)  # first: it may be opened at once
    context = {"person": person, "link": link, "address": public_address(secret), "by": link.created_by}
    try:
        get_adapter().send_mail(f"feedback/email/{link.purpose}", person.email, context)
    except (smtplib.SMTPException, OSError) as error:
        log.error("an e-mail could not be sent through %s: %s", settings.EMAIL_HOST, error)
        AccountLink.objects.filter(pk=link.pk).update(emailed_to="")
        return False
    return True


def send_reset(person_key: int) -> None:
    """Somebody asked on the sign-in page for a link to reset a password. Nobody learns whether one was sent."""
    person = Person.objects.filter(pk=person_key, status=Person.Status.ACTIVE).exclude(email="").first()
    if person is None or not can_send():
        return
    lately = timezone.now() - FORGOTTEN_EVERY
    if AccountLink.objects.filter(person=person, created_by=None, created_at__gt=lately).exists():
        return
    send(*account_links.create_forgotten(person))


def forgetful(name: str) -> int:
    """Primary key of the only active person with this username or e-mail address; 0 if there is none."""
    people = Person.objects.filter(status=Person.Status.ACTIVE, username__isnull=False)
    found = list(people.filter(username=name).values_list("pk", flat=True))
    by_email = list(people.filter(email__iexact=name).values_list("pk", flat=True)[:2])
    if not found and len(by_email) == 1:
        found = by_email
    return int(found[0]) if found else 0
