"""Every page of home, desk and account: who sees it, who does not, and that nothing in it breaks the content policy."""

import re
from typing import Any

import pytest
from django.test import Client

from feedback.models import Person, Project, TrainingRun
from feedback.web.platform.pipeline_stages import STATIONS
from tests.factories import make_annotation, make_model, make_snapshot, make_task

IN_PROJECT = ["/p/desk/", "/p/desk/desk/"]


@pytest.mark.parametrize("path", ["/", "/account/", *IN_PROJECT])
def test_who_is_not_signed_in_is_asked_to_sign_in(project: Project, client: Client, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 302
    assert reply["Location"] == f"/sign-in/?next={path}"


@pytest.mark.parametrize("path", [*IN_PROJECT, "/p/nowhere/", "/p/nowhere/desk/"])
def test_strangers_cannot_tell_a_project_from_nothing(project: Project, dan: Person, signed_in: Any, path: str) -> None:
    reply = signed_in(dan).get(path)
    assert reply.status_code == 404
    assert "Support desk" not in reply.content.decode()
    assert "Not found, or you have no access." in reply.content.decode()


@pytest.mark.parametrize("who", ["hana", "ada", "rosa", "ben"])
@pytest.mark.parametrize("path", ["/account/", "/glossary/", *IN_PROJECT])
def test_members_see_their_pages(project: Project, request: Any, signed_in: Any, who: str, path: str) -> None:
    make_task(project)
    reply = signed_in(request.getfixturevalue(who)).get(path)
    assert reply.status_code == 200
    _no_inline(reply.content.decode())


def test_home_of_somebody_with_one_project_is_that_project(project: Project, ben: Person, signed_in: Any) -> None:
    reply = signed_in(ben).get("/")
    assert (reply.status_code, reply["Location"]) == (302, "/p/desk/")


def test_home_lists_several_projects(project: Project, other_project: Project, hana: Person, signed_in: Any) -> None:
    page = signed_in(hana).get("/").content.decode()
    assert "Support desk" in page and "Elsewhere" in page


def test_somebody_without_a_project_is_told_what_happens_next(dan: Person, signed_in: Any) -> None:
    assert "Once an admin adds you to a project" in signed_in(dan).get("/").content.decode()


def test_admins_see_every_station(project: Project, ada: Person, signed_in: Any) -> None:
    page = signed_in(ada).get("/p/desk/").content.decode()
    for station in STATIONS:
        assert f"station-{station.key}" in page


def test_annotators_see_their_work_and_no_ring(project: Project, ben: Person, signed_in: Any) -> None:
    make_annotation(project, ben)
    page = signed_in(ben).get("/p/desk/").content.decode()
    assert ">Annotate<" in page and "station-" not in page
    assert 'href="/p/desk/train/"' not in page and 'href="/p/desk/models/"' not in page


def test_the_ring_refreshes_itself_as_a_fragment(project: Project, ada: Person, signed_in: Any) -> None:
    client = signed_in(ada)
    fragment = client.get("/p/desk/", headers={"HX-Request": "true"}).content.decode()
    assert fragment.lstrip().startswith('<div id="live-ring"') and "<html" not in fragment
    assert 'hx-trigger="every 5s"' in fragment


def test_the_ring_costs_a_fixed_number_of_queries(
    project: Project, ada: Person, ben: Person, signed_in: Any, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        make_annotation(project, ben)
    make_model(project, ada, serve=True)
    make_snapshot(project, ada)
    client = signed_in(ada)
    with django_assert_max_num_queries(75):
        client.get("/p/desk/")


def test_what_happened_is_told_in_sentences(project: Project, ada: Person, signed_in: Any) -> None:
    make_model(project, ada, serve=True)
    page = signed_in(ada).get("/p/desk/").content.decode()
    assert "Ada promoted policy v1." in page
    assert "Ada published new guidelines." in page


def test_own_annotations_are_followed_into_models(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    make_annotation(project, ben)
    snapshot = make_snapshot(project, ada)
    version = make_model(project, ada)
    TrainingRun.objects.filter(model_version=version).update(snapshot=snapshot)
    page = signed_in(ben).get("/account/").content.decode()
    assert re.search(r"<span[^>]*>1</span> of my annotations trained policy v1", page)


def test_pages_carry_the_strict_policy(project: Project, ben: Person, signed_in: Any) -> None:
    policy = signed_in(ben).get("/p/desk/desk/")["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and "default-src 'none'" in policy


def test_errors_of_the_service_have_a_page(project: Project, ben: Person, signed_in: Any) -> None:
    reply = signed_in(ben).get("/no/such/page/")
    assert reply.status_code == 404
    assert "Page not found" in reply.content.decode()


def test_a_form_that_is_not_ours_is_refused_with_a_way_out(project: Project, ben: Person) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ben)
    reply = client.post("/sign-out/")
    assert reply.status_code == 403
    assert "Form expired" in reply.content.decode()


def _no_inline(page: str) -> None:
    """No inline script, style or handler: the policy would refuse it in every browser."""
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)
