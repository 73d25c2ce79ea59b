"""Changing one's own password, signing out everywhere, and passwords that others have seen."""

from typing import Any

import pytest
from django.test import Client

from feedback.models import Event, Person, Project
from feedback.services.platform import people, tokens
from feedback.services.platform.accounts import must_change_password
from tests.conftest import PASSWORD

NEW = "quiet lantern 81 rows"


def _change(client: Any, old: str = PASSWORD, new: str = NEW, again: str = NEW) -> Any:
    return client.post("/account/password/", {"oldpassword": old, "password1": new, "password2": again})


def _is_signed_in(client: Any) -> bool:
    return bool(client.get("/account/").status_code == 200)


def test_the_new_password_works_and_other_sessions_end(ben: Person, signed_in: Any) -> None:
    here, elsewhere = signed_in(ben), signed_in(ben)
    reply = _change(here)
    assert (reply.status_code, reply["Location"]) == (302, "/account/")
    assert (_is_signed_in(here), _is_signed_in(elsewhere)) == (True, False)
    assert Client().post("/sign-in/", {"username": "ben", "password": PASSWORD}).status_code == 422
    assert Client().post("/sign-in/", {"username": "ben", "password": NEW}).status_code == 302
    assert Event.objects.filter(verb="person.password_set", actor=ben).count() == 1


@pytest.mark.parametrize(
    "old, new, again, field, words",
    [
        ("not-my-password", NEW, NEW, "oldpassword", "This is not your current password."),
        (PASSWORD, NEW, NEW + "x", "password2", "You must type the same password each time."),
        (
            PASSWORD,
            "short",
            "short",
            "password1",
            "This password is too short. It must contain at least 10 characters.",
        ),
        (PASSWORD, PASSWORD, PASSWORD, "password1", "Choose a password that differs from the current one."),
    ],
)
def test_a_wrong_form_changes_nothing(
    ben: Person, signed_in: Any, old: str, new: str, again: str, field: str, words: str
) -> None:
    elsewhere = signed_in(ben)
    reply = _change(signed_in(ben), old, new, again)
    assert reply.status_code == 422
    assert words in reply.context["form"].errors[field]
    ben.refresh_from_db()
    assert ben.check_password(PASSWORD) and _is_signed_in(elsewhere)


def test_a_stolen_session_cannot_guess_the_password(ben: Person, signed_in: Any, settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE = 3
    client = signed_in(ben)
    for _ in range(3):
        assert _change(client, "guess").context["form"].errors["oldpassword"] == ["This is not your current password."]
    refused = _change(client)  # the right one
    assert "Too many attempts. Try again in" in refused.context["form"].errors["oldpassword"][0]
    ben.refresh_from_db()
    assert ben.check_password(PASSWORD)


def test_sign_out_everywhere_ends_every_session_and_keeps_tokens_unless_asked(ben: Person, signed_in: Any) -> None:
    _, secret = tokens.create_token(person=ben, name="script", scopes=["read"])
    here, elsewhere = signed_in(ben), signed_in(ben)
    assert here.get("/account/sign-out-everywhere/").status_code == 405
    assert here.post("/account/sign-out-everywhere/").status_code == 302
    assert (_is_signed_in(here), _is_signed_in(elsewhere)) == (False, False)
    assert tokens.authenticate_token(secret) is not None
    again = signed_in(Person.objects.get(pk=ben.pk))
    assert _is_signed_in(again)
    again.post("/account/sign-out-everywhere/", {"tokens": "on"})
    assert tokens.authenticate_token(secret) is None
    assert not _is_signed_in(again)


def test_a_generated_password_must_be_changed_before_anything_else(
    project: Project, ada: Person, signed_in: Any, client: Client
) -> None:
    admin = signed_in(ada)
    form = {"username": "finn", "display_name": "Finn", "role": "annotator"}
    shown = admin.post("/p/desk/project/members/new/", form).context["password"]
    assert client.post("/sign-in/", {"username": "finn", "password": shown}).status_code == 302
    for path in ("/", "/p/desk/", "/p/desk/desk/", "/account/", "/glossary/"):
        reply = client.get(path)
        assert (reply.status_code, reply["Location"]) == (302, "/account/password/"), path
    assert client.post("/account/tokens/", {"name": "x", "scopes": ["read"], "days": "0"}).status_code == 403
    refused = client.get("/api/v1/people/me/")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "password_change_needed")
    assert "others have seen it" in client.get("/account/password/").content.decode()
    assert _change(client, shown).status_code == 302
    assert client.get("/p/desk/").status_code == 200
    assert client.get("/api/v1/people/me/").status_code == 200


def test_one_may_leave_instead_of_changing_a_generated_password(client: Client, db: None) -> None:
    people.create_person(by=None, username="finn", password=PASSWORD, generated=True)
    client.post("/sign-in/", {"username": "finn", "password": PASSWORD})
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert not _is_signed_in(client)


def test_passwords_of_the_demo_stay_on_this_machine_only(ben: Person, settings: Any) -> None:
    ben.password_origin = Person.PasswordOrigin.DEMO
    assert not must_change_password(ben)
    for name, value in (("BIND", "0.0.0.0"), ("TRUSTED_PROXIES", 1), ("PRODUCTION", True)):
        before = getattr(settings, name)
        setattr(settings, name, value)
        assert must_change_password(ben), name
        setattr(settings, name, before)
