"""A forgotten password: a link by e-mail, through a real SMTP server."""

import re
import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.test import Client

from feedback.models import AccountLink, Person
from feedback.services.platform import account_links, account_mail
from tests.conftest import PASSWORD

NEW = "quiet lantern 81 rows"


class Inbox:
    """What the mail server has taken."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(message_from_bytes(envelope.content))
        return "250 OK"

    def link(self) -> str:
        text = str(self.messages[-1].get_payload(decode=True), "utf-8")  # type: ignore[arg-type]
        found = re.search(r"https://desk\.example\.org(/link/\S+)", text)
        assert found is not None, text
        return found[1]


@pytest.fixture
def inbox(settings: Any) -> Iterator[Inbox]:
    inbox = Inbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(inbox, hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    settings.PUBLIC_URL = "https://desk.example.org"
    yield inbox
    server.stop()


def _with_address(person: Person, email: str) -> Person:
    person.email = email
    person.save(update_fields=["email"])
    return person


def test_the_link_arrives_and_sets_the_password(ben: Person, client: Client, inbox: Inbox, knocks: list[Any]) -> None:
    _with_address(ben, "ben@example.org")
    for name in ("ben", "BEN@example.org"):
        reply = client.post("/forgotten/", {"name": name}, headers={"X-Forwarded-Host": "evil.example"})
        assert reply.status_code == 200
    assert [(name, args) for name, args, _ in knocks] == [("workers.password_forgotten", (ben.pk,))] * 2
    for _, (key,), _ in knocks:
        account_mail.send_reset(key)
    (mail,) = inbox.messages  # the second request came too soon after the first
    assert (mail["To"], mail["Subject"]) == ("ben@example.org", "Reset your Touchstone password")
    assert client.post(inbox.link(), {"password1": NEW, "password2": NEW}).status_code == 302
    ben.refresh_from_db()
    assert ben.check_password(NEW)
    assert ben.emailaddress_set.get().verified  # type: ignore[attr-defined]


def test_nobody_learns_who_has_an_account(ben: Person, chloe: Person, hana: Person, inbox: Inbox, knocks: Any) -> None:
    _with_address(ben, "ben@example.org")
    Person.objects.filter(pk=hana.pk).update(status="suspended", email="hana@example.org")
    pages = [Client().post("/forgotten/", {"name": name}) for name in ("ben", "chloe", "hana", "nobody", "x@y.org")]
    assert {page.status_code for page in pages} == {200}
    assert len({page.content for page in pages}) == 1
    assert [args for _, args, _ in knocks] == [(ben.pk,), (chloe.pk,), (0,), (0,), (0,)]  # each sends one message
    for _, (key,), _ in knocks:
        account_mail.send_reset(key)
    assert [mail["To"] for mail in inbox.messages] == ["ben@example.org"]


def test_asking_is_limited_by_address(ben: Person, client: Client, inbox: Inbox, settings: Any, knocks: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 3
    codes = [client.post("/forgotten/", {"name": f"name-{n}"}).status_code for n in range(5)]
    assert codes == [200, 200, 200, 429, 429] and len(knocks) == 3


def test_who_asks_in_the_name_of_another_takes_no_link_of_an_admin_away(
    hana: Person, ben: Person, inbox: Inbox
) -> None:
    _with_address(ben, "ben@example.org")
    _, secret = account_links.create_link(by=hana, person=ben)
    account_mail.send_reset(ben.pk)
    assert account_links.find(secret).person == ben


def test_an_invitation_is_e_mailed_and_shown(hana: Person, signed_in: Any, inbox: Inbox) -> None:
    form = {"username": "finn", "display_name": "Finn & Co", "email": "finn@example.org", "role": "annotator"}
    page = signed_in(hana).post("/people/invite/", form)
    assert page.status_code == 201 and page.context["emailed"]
    assert page.context["address"].endswith(inbox.link())
    text = inbox.messages[0].get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "Hello Finn & Co," in text and "Your username is finn." in text


def test_a_silent_mail_server_leaves_the_link_to_be_copied(
    hana: Person, ben: Person, signed_in: Any, inbox: Inbox, settings: Any
) -> None:
    _with_address(ben, "ben@example.org")
    settings.EMAIL_PORT = 9  # nobody listens there
    page = signed_in(hana).post(f"/people/{ben.public_id}/link/")
    assert page.status_code == 201 and not page.context["emailed"]
    assert "The mail server did not take the e-mail to ben@example.org." in page.content.decode()
    assert AccountLink.objects.get().emailed_to == ""


def test_without_a_mail_server_the_page_says_whom_to_ask(ben: Person, client: Client, knocks: list[Any]) -> None:
    assert "Ask an admin for a link" in client.get("/forgotten/").content.decode()
    client.post("/forgotten/", {"name": "ben"})
    assert knocks == []
    ben.refresh_from_db()
    assert ben.check_password(PASSWORD)
