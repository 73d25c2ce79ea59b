"""With a finger on a phone: placing responses, tapping words, drawing nothing that a finger cannot."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from feedback.models import Annotation, Person, Project
from tests.browser.test_desk import DESK, settle
from tests.browser.test_kinds import letters
from tests.kinds import make_kind

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def phone(browser: Any, live_server: Any, project: Project, ben: Person) -> Iterator[Callable[..., Page]]:
    """`phone("spans")`: Ben's phone with a task of that kind."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2, locale="en-US"
    )
    client = Client()
    client.force_login(ben)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    page = context.new_page()

    def open_desk(kind: str, **options: Any) -> Page:
        make_kind(project, kind, **options)
        page.goto(live_server.url + DESK)
        page.wait_for_selector("html[data-desk-ready]")
        return page

    yield open_desk
    context.close()


def tap(page: Page, text: str) -> None:
    """On a word of the text to mark."""
    place = page.evaluate(
        """text => {
        const walker = document.createTreeWalker(document.querySelector('[data-marking]'), NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const at = node.data.indexOf(text);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(node, at); range.setEnd(node, at + text.length);
            const box = range.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        } }""",
        text,
    )
    page.touchscreen.tap(*place)


def test_words_are_marked_by_tapping(phone: Any) -> None:
    page = phone("spans", scheme="names")
    for seen in (page.get_by_role("button", name="Send"), *page.locator("[data-label]").all()):
        expect(seen).to_be_in_viewport(ratio=1)
    tap(page, "Mara")
    expect(page.locator("[data-selected]")).to_have_text("Selected: “Mara”")
    tap(page, "Vell")
    expect(page.locator("[data-selected]")).to_contain_text("Vell”")
    page.locator("[data-label=name]").tap()
    tap(page, "moved")
    tap(page, "moved")
    expect(page.locator("[data-selected]")).to_have_text("Nothing is selected.")
    tap(page, "Saltby")
    page.locator("[data-label=place]").tap()
    page.get_by_role("button", name="Send").tap()
    settle(page)
    spans = [(one["label"], one["text"]) for one in Annotation.objects.get().payload["spans"]]
    assert spans == [("name", "Mara 🌿 Vell"), ("place", "Saltby")]


def test_responses_are_ranked_by_the_letters_above_them(phone: Any) -> None:
    page = phone("ranking")
    for letter in "cba":
        page.locator(f"[data-side={letter}] .side-letter").tap()
    expect(page.locator("[data-side=c] [data-verdict]")).to_have_text("1st")
    page.locator("[data-unplaced] [data-letter=d]").tap()
    page.get_by_role("button", name="Better").tap()
    page.get_by_role("button", name="Send").tap()
    settle(page)
    assert letters(Annotation.objects.get()) == [["c"], ["b"], ["d"], ["a"]]


def test_what_a_choice_means_is_told_where_it_is_made(phone: Any, project: Project) -> None:
    project.dimensions = ["helpful", "our_own"]
    project.save()
    page = phone("comparison")
    page.get_by_role("slider", name="Which response is better?").fill("3")
    expect(page.locator("[data-means-shown]")).to_have_text("A is slightly better: some people would choose B.")
    expect(page.get_by_role("group", name="more helpful?")).to_have_accessible_description(
        "does what was asked, completely and concisely"
    )
    expect(page.get_by_role("group", name="more our own?")).to_have_accessible_description("")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
