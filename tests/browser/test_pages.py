"""Home, account, sign-in, glossary and errors: accessible in both themes, usable at 360 pixels, quiet."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Person, Project
from tests.conftest import PASSWORD
from tests.factories import make_annotation, make_model, make_prompt, make_response, make_task

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]


@pytest.fixture
def living(project: Project, ada: Person, ben: Person) -> Project:
    """A project in which things have happened."""
    make_annotation(project, ben)
    make_model(project, ada, serve=True)
    prompt = make_prompt(project)
    code = "```python\ndef f(x: int) -> str:\n    # why\n    return 'a' * x\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    make_task(project, prompt, responses=[make_response(prompt, code), make_response(prompt, "> no\n\n`x`\n\n1. one")])
    make_task(project)
    return project


def test_home_with_several_projects_is_accessible(
    living: Project, other_project: Project, hana: Person, visit: Visit, accessible: Callable[[Page], None]
) -> None:
    accessible(visit(hana, "/"))


def test_signing_in_by_keyboard(
    ben: Person, page: Page, live_server: Any, accessible: Any, complaints: list[str]
) -> None:
    page.goto(live_server.url + "/account/")
    accessible(page)
    page.keyboard.type("ben")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("username or password is wrong")
    complaints.clear()  # the browser notes the 422
    accessible(page)
    page.locator("#id_password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ben")


@pytest.mark.parametrize("path", ["/no/such/page/", "/p/nowhere/"])
def test_errors_are_accessible(
    ben: Person, visit: Visit, accessible: Callable[[Page], None], complaints: list[str], path: str
) -> None:
    page = visit(ben, path)
    complaints.clear()  # the browser notes the 404
    expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")
    accessible(page)


def test_the_empty_desk_and_its_dialogs_are_accessible(
    project: Project, ben: Person, visit: Visit, accessible: Callable[[Page], None]
) -> None:
    page = visit(ben, "/p/desk/desk/")
    accessible(page)
    make_task(project)
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    for key in ("?", "s", "f"):
        page.keyboard.press(key)
        accessible(page)
        page.keyboard.press("Escape")


def test_the_ring_moves_while_one_looks(living: Project, ada: Person, ben: Person, visit: Visit) -> None:
    page = visit(ada, "/p/desk/")
    page.locator("#station-tasks").focus()
    figure = page.locator(".station-tasks .station-figure")
    before = figure.inner_text()
    make_task(living)
    expect(figure).not_to_have_text(before, timeout=8000)
    assert page.evaluate("document.activeElement.id") == "station-tasks", "focus stays where it was"


def test_the_theme_is_chosen_and_kept(living: Project, ada: Person, visit: Visit) -> None:
    page = visit(ada, "/p/desk/")
    page.emulate_media(color_scheme="light")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Follow the system").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_words_are_explained_on_focus_and_put_away_by_escape(living: Project, ben: Person, visit: Visit) -> None:
    page = visit(ben, "/p/desk/")
    word = page.locator(".term-word").first
    word.focus()
    tip = page.locator(".term-tip").first
    expect(tip).to_be_visible()
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_a_token_is_made_and_copied(
    project: Project, ben: Person, visit: Visit, accessible: Callable[[Page], None]
) -> None:
    page = visit(ben, "/account/")
    page.get_by_label("Name").fill("import script")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#secret")).to_contain_text("ts_")
    accessible(page)
