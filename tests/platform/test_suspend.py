"""Suspending a person and reinstating them, and the directory of people."""

import json
from typing import Any

import pytest
from django.test import Client

from feedback.api.collection import response_streams
from feedback.errors import Conflict, Forbidden
from feedback.models import Annotation, Assignment, Event, Person, Project
from feedback.services.platform import account_links, accounts, tokens
from tests.conftest import PASSWORD
from tests.factories import make_annotation, make_task


def test_everything_of_a_suspended_person_ends_at_once(
    project: Project, hana: Person, ben: Person, chloe: Person, signed_in: Any, client_for: Any, next_task: Any
) -> None:
    make_annotation(project, ben)
    make_task(project)
    program = client_for(ben)
    held = next_task(program)["id"]
    others = next_task(client_for(chloe))["id"]
    browser = signed_in(ben)
    _, link = account_links.create_link(by=hana, person=ben)
    reply = signed_in(hana).post(f"/people/{ben.public_id}/suspend/")
    assert (reply.status_code, reply["Location"]) == (302, f"/people/{ben.public_id}/")
    assert Assignment.objects.get(public_id=held).state == "released"
    assert Assignment.objects.get(public_id=others).state == "held"
    assert browser.get("/p/desk/desk/")["Location"].startswith("/sign-in/")
    sent = browser.post(f"/desk/{held}/submit/", json.dumps({}), content_type="application/json")
    assert sent.status_code in (302, 401)
    assert program.get("/api/v1/people/me/").status_code == 401
    assert Client().post("/sign-in/", {"username": "ben", "password": PASSWORD}).status_code == 422
    assert Client().get(f"/link/{link}/").status_code == 404
    assert Annotation.objects.filter(annotator=ben).count() == 1  # what they did stays


def test_a_reinstated_person_signs_in_anew_and_nothing_old_comes_back(
    project: Project, hana: Person, ben: Person, signed_in: Any, client_for: Any
) -> None:
    browser, program = signed_in(ben), client_for(ben)
    accounts.suspend(by=hana, person=ben)
    signed_in(hana).post(f"/people/{ben.public_id}/reinstate/")
    assert browser.get("/account/").status_code == 302
    assert program.get("/api/v1/people/me/").status_code == 401
    assert Client().post("/sign-in/", {"username": "ben", "password": PASSWORD}).status_code == 302
    verbs = Event.objects.filter(object_id=str(ben.public_id), actor=hana, verb__startswith="person.")
    assert list(verbs.order_by("pk").values_list("verb", flat=True)) == ["person.suspended", "person.reinstated"]


def test_an_open_stream_ends_when_its_reader_is_suspended(
    hana: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_streams, "CHECK_SECONDS", 0)
    stream = response_streams.HeldStream((f"piece {n}" for n in range(9)), ben.pk)
    assert next(stream) == b"piece 0"
    accounts.suspend(by=hana, person=ben)
    assert list(stream) == [] and stream.barred and not stream.open


def test_nobody_suspends_themselves_or_anybody_without_being_a_site_admin(
    project: Project, hana: Person, ada: Person, ben: Person, signed_in: Any, client_for: Any
) -> None:
    with pytest.raises(Conflict):
        accounts.suspend(by=hana, person=hana)
    for verb in ("suspend", "reinstate", "sign-out", "link"):
        assert signed_in(ada).post(f"/people/{ben.public_id}/{verb}/").status_code == 403
    for verb in ("suspend", "reinstate", "sign-out", "password-link"):
        assert client_for(ada).post(f"/api/v1/people/{ben.public_id}/{verb}/").status_code == 403
    narrowed = client_for(hana, project=project)  # a token for one project does not act for the site
    assert narrowed.post(f"/api/v1/people/{ben.public_id}/suspend/").status_code == 403
    ben.refresh_from_db()
    assert ben.status == "active"


def test_of_two_site_admins_who_suspend_each_other_one_remains(hana: Person, dan: Person) -> None:
    Person.objects.filter(pk=dan.pk).update(is_site_admin=True)
    dan.refresh_from_db()
    accounts.suspend(by=hana, person=dan)
    with pytest.raises(Forbidden):
        accounts.suspend(by=dan, person=hana)  # his request was on its way
    assert Person.objects.get(pk=hana.pk).status == "active"


def test_rest_suspends_once_and_says_so_the_second_time(hana: Person, ben: Person, client_for: Any) -> None:
    client = client_for(hana)
    assert client.post(f"/api/v1/people/{ben.public_id}/suspend/").json()["status"] == "suspended"
    again = client.post(f"/api/v1/people/{ben.public_id}/suspend/")
    assert (again.status_code, again.json()["errors"][0]["detail"]) == (409, "Ben is suspended, not active.")
    assert client.get(f"/api/v1/people/{ben.public_id}/").json()["status"] == "suspended"
    assert client.post(f"/api/v1/people/{ben.public_id}/reinstate/").json()["status"] == "active"


def test_the_directory_is_for_site_admins(project: Project, hana: Person, ada: Person, signed_in: Any) -> None:
    assert signed_in(ada).get("/people/").status_code == 403
    assert Client().get("/people/")["Location"] == "/sign-in/?next=/people/"
    page = signed_in(hana).get("/people/?search=BE").content.decode()
    assert "Support desk (annotator)" in page and ">Ben<" in page and ">Chloe<" not in page
    Person.objects.filter(username="ben").update(status="suspended")
    assert ">Ben<" not in signed_in(hana).get("/people/?status=active").content.decode()


def test_an_imported_person_has_no_account_to_work_on(hana: Person, signed_in: Any) -> None:
    imported = Person.objects.create(username=None, source="file", external_name="a7", display_name="a7")
    assert signed_in(hana).get(f"/people/{imported.public_id}/").status_code == 404
    with pytest.raises(Conflict):
        account_links.create_link(by=hana, person=imported)


def test_a_new_address_takes_links_to_the_old_one_away(hana: Person, ben: Person, signed_in: Any) -> None:
    _, secret = account_links.create_link(by=hana, person=ben)
    form = {"display_name": "Benjamin", "email": "ben@example.org"}
    assert signed_in(hana).post(f"/people/{ben.public_id}/", form).status_code == 302
    ben.refresh_from_db()
    assert (ben.display_name, ben.email) == ("Benjamin", "ben@example.org")
    assert Client().get(f"/link/{secret}/").status_code == 404


def test_a_site_admin_signs_somebody_out(hana: Person, ben: Person, signed_in: Any) -> None:
    _, secret = tokens.create_token(person=ben, name="script", scopes=["read"])
    browser = signed_in(ben)
    signed_in(hana).post(f"/people/{ben.public_id}/sign-out/", {"tokens": "on"})
    assert browser.get("/account/").status_code == 302
    assert tokens.authenticate_token(secret) is None


def test_a_link_to_a_page_is_for_members_only(project: Project, dan: Person, ben: Person, signed_in: Any) -> None:
    """Whoever shares the address of a page gives no access with it."""
    shared = "/p/desk/quality/annotations/?order=newest"
    assert Client().get(shared)["Location"] == "/sign-in/?next=/p/desk/quality/annotations/%3Forder%3Dnewest"
    assert signed_in(dan).get(shared).status_code == 404
    assert signed_in(ben).get(shared).status_code == 403
