"""Signing in and out, and one's own tokens."""

from typing import Any

import pytest
from django.test import Client

from feedback.models import ApiToken, Event, Person
from feedback.services.platform import tokens
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


def test_guessing_is_slowed_down_where_it_comes_from(ben: Person, client: Client, settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 3
    for _ in range(3):
        assert _try(client, "ben", "wrong").status_code == 422
    refused = _try(client, "ben", PASSWORD)
    assert (refused.status_code, 0 < int(refused["Retry-After"]) <= 3600) == (429, True)
    assert "Too many attempts. Try again in" in refused.content.decode()
    assert client.get("/account/").status_code == 302


def test_wrong_passwords_of_others_never_keep_the_owner_out(ben: Person, client: Client, settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 3
    for _ in range(30):
        _try(client, "ben", "wrong")
    assert _try(Client(REMOTE_ADDR="10.0.0.7"), "ben", PASSWORD).status_code == 302


def test_a_known_browser_signs_in_whatever_its_neighbors_at_the_same_address_do(
    ben: Person, chloe: Person, client: Client, settings: Any
) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 3
    known = Client()
    assert _try(known, "ben", PASSWORD).status_code == 302
    known.post("/sign-out/")
    for number in range(30):
        _try(client, "ben", "wrong")
        _try(client, f"name-{number}", "wrong")
    assert _try(Client(), "chloe", PASSWORD).status_code == 429  # nobody knows this browser
    assert _try(known, "chloe", PASSWORD).status_code == 429  # nor chloe in that one
    assert _try(known, "ben", PASSWORD).status_code == 302
    known.post("/sign-out/")
    for _ in range(4):
        _try(known, "ben", "wrong")
    assert _try(known, "ben", PASSWORD).status_code == 429  # but guessing is slow there too
    forged = Client()
    forged.cookies["device"] = "WyJiZW4iLCJtYXJrIl0:1abcde:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    assert _try(forged, "ben", PASSWORD).status_code == 429


def test_right_passwords_are_not_counted(ben: Person, settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 2
    for _ in range(12):
        assert _try(Client(), "ben", PASSWORD).status_code == 302


def test_sign_ins_are_kept_with_their_address_and_unknown_names_are_not(ben: Person, client: Client) -> None:
    _try(client, "ben", "wrong")
    _try(client, "my-password-typed-in-the-wrong-field", "x")
    _try(client, "ben", PASSWORD)
    told = Event.objects.filter(verb__startswith="sign_in.").order_by("pk")
    assert [(one.verb, one.actor, one.object_id, one.data) for one in told] == [
        ("sign_in.failed", None, str(ben.public_id), {"address": "127.0.0.1"}),
        ("sign_in.succeeded", ben, str(ben.public_id), {"address": "127.0.0.1"}),
    ]


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
    token = tokens.authenticate_token(secret)
    assert token is not None and token.person == ben and token.scopes == ["read"] and token.expires_at is not None


def test_a_token_without_scopes_is_not_made(ben: Person, signed_in: Any) -> None:
    assert signed_in(ben).post("/account/tokens/", {"name": "script", "days": "90"}).status_code == 422
    assert ApiToken.objects.count() == 0


def test_a_token_for_somebody_elses_project_is_not_made(ben: Person, other_project: Any, signed_in: Any) -> None:
    form = {"name": "script", "scopes": ["read"], "days": "90", "project": "elsewhere"}
    assert signed_in(ben).post("/account/tokens/", form).status_code == 422
    assert ApiToken.objects.count() == 0


def test_only_its_owner_revokes_a_token(ben: Person, dan: Person, signed_in: Any) -> None:
    token, secret = tokens.create_token(person=ben, name="script", scopes=["read"])
    path = f"/account/tokens/{token.public_id}/revoke/"
    assert signed_in(dan).post(path).status_code == 404
    assert tokens.authenticate_token(secret) is not None
    assert signed_in(ben).post(path).status_code == 302
    assert tokens.authenticate_token(secret) is None
