"""Signing in and out, and one's own tokens."""

from typing import Any

import pytest
from django.test import Client

from feedback.models import ApiToken, Person
from feedback.services import people
from tests.conftest import PASSWORD


def _try(client: Client, username: str, password: str, **more: str) -> Any:
    return client.post("/sign-in/", {"username": username, "password": password, **more})


def test_the_right_password_opens_the_door(ben: Person, client: Client) -> None:
    reply = _try(client, "ben", PASSWORD, next="/account/")
    assert (reply.status_code, reply["Location"]) == (302, "/account/")
    assert client.get("/account/").status_code == 200


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(ben: Person, client: Client, target: str) -> None:
    assert _try(client, "ben", PASSWORD, next=target)["Location"] == "/"


def test_unknown_name_and_wrong_password_read_the_same(ben: Person, client: Client) -> None:
    wrong = _try(client, "ben", "not-the-password")
    unknown = _try(client, "nobody", "not-the-password")
    assert wrong.status_code == unknown.status_code == 422
    assert wrong.context["error"] == unknown.context["error"] != ""


def test_guessing_is_slowed_down_even_with_the_right_password(ben: Person, client: Client, settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 3
    for _ in range(3):
        assert _try(client, "ben", "wrong").status_code == 422
    assert _try(client, "ben", PASSWORD).status_code == 429
    elsewhere = Client(REMOTE_ADDR="10.0.0.7")
    assert _try(elsewhere, "ben", PASSWORD).status_code == 429
    assert client.get("/account/").status_code == 302


def test_who_is_suspended_stays_outside(ben: Person, client: Client) -> None:
    Person.objects.filter(pk=ben.pk).update(status="suspended")
    assert _try(client, "ben", PASSWORD).status_code == 422


def test_signing_out_takes_a_post(ben: Person, signed_in: Any) -> None:
    client = signed_in(ben)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").status_code == 302
    assert client.get("/account/").status_code == 302


def test_a_token_is_shown_once_and_works(ben: Person, signed_in: Any) -> None:
    client = signed_in(ben)
    reply = client.post("/account/tokens/", {"name": "script", "scopes": ["read"], "days": "90", "project": ""})
    assert reply.status_code == 201
    secret = reply.context["secret"]
    assert secret in reply.content.decode()
    assert secret not in client.get("/account/").content.decode()
    token = people.authenticate_token(secret)
    assert token is not None and token.person == ben and token.scopes == ["read"] and token.expires_at is not None


def test_a_token_without_scopes_is_not_made(ben: Person, signed_in: Any) -> None:
    assert signed_in(ben).post("/account/tokens/", {"name": "script", "days": "90"}).status_code == 422
    assert ApiToken.objects.count() == 0


def test_a_token_for_somebody_elses_project_is_not_made(ben: Person, other_project: Any, signed_in: Any) -> None:
    form = {"name": "script", "scopes": ["read"], "days": "90", "project": "elsewhere"}
    assert signed_in(ben).post("/account/tokens/", form).status_code == 422
    assert ApiToken.objects.count() == 0


def test_only_its_owner_revokes_a_token(ben: Person, dan: Person, signed_in: Any) -> None:
    token, secret = people.create_token(person=ben, name="script", scopes=["read"])
    path = f"/account/tokens/{token.public_id}/revoke/"
    assert signed_in(dan).post(path).status_code == 404
    assert people.authenticate_token(secret) is not None
    assert signed_in(ben).post(path).status_code == 302
    assert people.authenticate_token(secret) is None
