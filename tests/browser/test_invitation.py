"""An invitation from the admin's page to the new annotator's desk, and a suspension that ends an open page."""

from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from feedback.models import Assignment, Person, Project
from tests.factories import make_task

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "quiet lantern 81 rows"


def test_invited_by_link_at_the_desk_and_suspended_there(
    project: Project, hana: Person, page: Page, live_server: Any, complaints: list[str]
) -> None:
    make_task(project)
    client = Client()
    client.force_login(hana)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page.goto(f"{live_server.url}/p/desk/project/members/")
    form = page.get_by_role("form", name="Invite a new user")
    form.get_by_label("Username").fill("finn")
    form.get_by_role("button", name="Invite and add").click()
    address = page.locator("#account-link").inner_text()

    page.context.clear_cookies()
    page.goto(address)
    expect(page.get_by_role("heading", name="Set your password")).to_be_visible()
    page.get_by_label("New password", exact=True).fill(NEW)
    page.get_by_label("New password again").fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your password is set. You are signed in as finn.")).to_be_visible()
    page.goto(f"{live_server.url}/p/desk/desk/")
    page.wait_for_selector("#desk [data-card]")
    finn = Person.objects.get(username="finn")
    assert Assignment.objects.filter(annotator=finn, state="held").count() == 1

    client.post(f"/people/{finn.public_id}/suspend/")
    assert not Assignment.objects.filter(annotator=finn, state="held").exists()
    page.goto(f"{live_server.url}/p/desk/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(address)
    expect(page.get_by_role("heading", name="This link does not work")).to_be_visible()
    complaints[:] = [one for one in complaints if "status of 404" not in one]  # the dead link
