"""Inviting a person, and setting a password by a one-time link."""

import hashlib
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from feedback.errors import DomainError, NotFound
from feedback.models import AccountLink, Event, Membership, Person, Project
from feedback.services.platform import account_links, accounts
from tests.conftest import PASSWORD

NEW = "quiet lantern 81 rows"
FORM = {"username": "finn", "display_name": "Finn", "email": "", "role": "annotator"}


def _invite(admin: Any) -> str:
    """The path of a new invitation to the project."""
    reply = admin.post("/p/desk/project/members/invite/", FORM)
    assert reply.status_code == 201
    address: str = reply.context["address"]
    assert address.startswith("http://testserver/link/") and address in reply.content.decode()
    return address.removeprefix("http://testserver")


def _use(client: Any, path: str, password: str = NEW) -> Any:
    return client.post(path, {"password1": password, "password2": password})


def test_who_is_invited_sets_a_password_and_is_in_the_project(
    project: Project, ada: Person, signed_in: Any, client: Client
) -> None:
    path = _invite(signed_in(ada))
    finn = Person.objects.get(username="finn")
    assert not finn.has_usable_password()
    assert client.post("/sign-in/", {"username": "finn", "password": ""}).status_code == 422
    assert client.get(path).status_code == client.get(path).status_code == 200  # a scanner of mails opens it first
    reply = _use(client, path)
    assert (reply.status_code, reply["Location"]) == (302, "/")
    assert client.get("/p/desk/").status_code == 200
    assert Membership.objects.get(person=finn).role == "annotator"
    assert list(Event.objects.filter(object_id=str(finn.public_id)).order_by("pk").values_list("verb", flat=True)) == [
        "person.invited",
        "member.set",
        "invitation.created",
        "person.password_set",
        "invitation.used",
    ]
    assert Client().post("/sign-in/", {"username": "finn", "password": NEW}).status_code == 302


def test_a_link_works_once_and_only_its_hash_is_stored(project: Project, ada: Person, signed_in: Any) -> None:
    path = _invite(signed_in(ada))
    secret = path.removeprefix("/link/").rstrip("/")
    link = AccountLink.objects.get()
    assert link.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(vars(link))
    assert _use(Client(), path).status_code == 302
    again = _use(Client(), path, "another lantern 82")
    assert again.status_code == 404 and "was used, replaced or has expired" in again.content.decode()
    assert Person.objects.get(username="finn").check_password(NEW)


def test_a_weak_password_does_not_use_the_link_up(project: Project, ada: Person, signed_in: Any) -> None:
    path = _invite(signed_in(ada))
    for weak in ("short", "password123"):
        assert _use(Client(), path, weak).status_code == 422
    assert _use(Client(), path).status_code == 302


@pytest.mark.parametrize("how", ["expired", "replaced", "suspended", "unknown"])
def test_dead_links_read_the_same_whatever_killed_them(
    project: Project, hana: Person, ada: Person, signed_in: Any, how: str
) -> None:
    path = _invite(signed_in(ada))
    finn = Person.objects.get(username="finn")
    if how == "expired":
        AccountLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if how == "replaced":
        account_links.create_link(by=ada, person=finn)
    if how == "suspended":
        accounts.suspend(by=hana, person=finn)
    if how == "unknown":
        path = "/link/no-such-secret/"
    seen = Client().get(path)
    done = _use(Client(), path)
    assert (seen.status_code, done.status_code) == (404, 404)
    assert "It was used, replaced or has expired." in seen.content.decode()
    assert "finn" not in seen.content.decode().lower()
    finn.refresh_from_db()
    assert not finn.has_usable_password()


def test_the_link_of_another_person_signs_the_reader_out_first(
    project: Project, ada: Person, ben: Person, signed_in: Any
) -> None:
    path = _invite(signed_in(ada))
    client = signed_in(ben)
    assert "You are signed in as Ben." in client.get(path).content.decode()
    _use(client, path)
    assert client.get("/account/").context["user"].username == "finn"
    ben.refresh_from_db()
    assert ben.check_password(PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_of_two_clicks_at_once_one_sets_the_password(hana: Person) -> None:
    _, secret = account_links.invite(by=hana, username="finn")
    together, ends = Barrier(2), []

    def click(password: str) -> None:
        try:
            together.wait()
            account_links.use(secret=secret, password=password)
            ends.append(password)
        except DomainError as error:
            ends.append(error.code)
        finally:
            connection.close()

    clicks = [Thread(target=click, args=(password,)) for password in ("first lantern 1", "second lantern 2")]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert ends.count("not_found") == 1 and len(ends) == 2
    (winner,) = set(ends) - {"not_found"}
    assert Person.objects.get(username="finn").check_password(winner)
    assert Event.objects.filter(verb="invitation.used").count() == 1


def test_an_unknown_host_makes_no_link(project: Project, hana: Person, ada: Person, signed_in: Any) -> None:
    reply = signed_in(ada).post("/p/desk/project/members/invite/", FORM, headers={"Host": "evil.example"})
    assert reply.status_code == 400
    assert not Person.objects.filter(username="finn").exists()


def test_links_begin_with_the_public_address_where_there_is_one(
    project: Project, ada: Person, signed_in: Any, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://desk.example.org"
    reply = signed_in(ada).post("/p/desk/project/members/invite/", FORM, headers={"X-Forwarded-Host": "evil.example"})
    assert reply.context["address"].startswith("https://desk.example.org/link/")


@pytest.mark.parametrize("who", ["rosa", "ben", "dan"])
def test_only_admins_of_the_project_invite(
    project: Project, request: Any, signed_in: Any, client_for: Any, who: str
) -> None:
    person = request.getfixturevalue(who)
    assert signed_in(person).post("/p/desk/project/members/invite/", FORM).status_code in (403, 404)
    assert signed_in(person).post("/people/invite/", FORM).status_code == 403
    body = {"username": "finn", "project": "desk"}
    assert client_for(person).post("/api/v1/people/invitations/", body).status_code in (403, 404)
    assert not Person.objects.filter(username="finn").exists() and AccountLink.objects.count() == 0


def test_an_admin_of_a_project_renews_own_invitations_and_resets_nobody(
    project: Project, ada: Person, ben: Person, signed_in: Any, client_for: Any
) -> None:
    admin = signed_in(ada)
    old = _invite(admin)
    finn = Person.objects.get(username="finn")
    renewed = admin.post(f"/p/desk/project/members/{finn.public_id}/link/")
    assert renewed.status_code == 201
    assert Client().get(old).status_code == 404
    assert Client().get(renewed.context["address"].removeprefix("http://testserver")).status_code == 200
    refused = admin.post(f"/p/desk/project/members/{ben.public_id}/link/")
    assert refused.status_code == 403
    assert client_for(ada).post(f"/api/v1/people/{ben.public_id}/password-link/").status_code == 403
    assert not AccountLink.objects.filter(person=ben).exists()


def test_rest_shows_the_address_once(hana: Person, client_for: Any) -> None:
    client = client_for(hana)
    body = {"username": "finn"}
    first = client.post("/api/v1/people/invitations/", body, headers={"Idempotency-Key": "1"})
    again = client.post("/api/v1/people/invitations/", body, headers={"Idempotency-Key": "1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["address"].startswith("http://testserver/link/")
    assert (again.json()["address"], again.json()["expires_at"]) == (None, first.json()["expires_at"])
    assert first.json()["emailed"] is False and AccountLink.objects.count() == 1


def test_taken_and_impossible_usernames_are_refused_in_words(hana: Person, ben: Person, signed_in: Any) -> None:
    for name, words in (
        ("ben", "is taken"),
        ("two words", "A username has letters"),
        ("a/b", "A username has letters"),
    ):
        reply = signed_in(hana).post("/people/invite/", FORM | {"username": name})
        assert reply.status_code == 422
        assert words in reply.context["form"].errors["username"][0]


def test_a_reset_by_a_site_admin_ends_sessions_when_it_is_used(hana: Person, ben: Person, signed_in: Any) -> None:
    session = signed_in(ben)
    reply = signed_in(hana).post(f"/people/{ben.public_id}/link/")
    path = reply.context["address"].removeprefix("http://testserver")
    assert session.get("/account/").status_code == 200  # the password works until the link is used
    assert _use(Client(), path).status_code == 302
    assert session.get("/account/").status_code == 302
    with pytest.raises(NotFound):
        account_links.find(path.removeprefix("/link/").rstrip("/"))
