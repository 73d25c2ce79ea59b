"""The network goes in the middle of a task, the browser is killed in the middle of a word: nothing typed is lost."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import BrowserContext, Page, expect

from feedback.models import Annotation, Person, Project
from tests.browser.test_desk import DESK, judge, settle, shown
from tests.kinds import make_kind

pytestmark = pytest.mark.django_db(transaction=True)


class Browser:
    """A Chromium with a profile of its own, that can be killed as a crash or the machine would."""

    def __init__(self, playwright: Any, options: dict[str, Any], profile: Path, person: Person, url: str) -> None:
        self.launch = playwright.chromium.launch_persistent_context
        self.options, self.profile, self.person, self.url = options, profile, person, url
        self.context: BrowserContext | None = None

    def sit_down(self) -> Page:
        self.context = self.launch(str(self.profile), **self.options, locale="en-US")
        client = Client()
        client.force_login(self.person)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": self.url}])
        page = self.context.pages[0]
        page.goto(self.url + DESK)
        page.wait_for_selector("html[data-desk-ready]")
        return page

    def kill(self) -> None:
        """SIGKILL to all of it at once. No page is told."""
        profile = f"--user-data-dir={self.profile}"
        mine = [one for one in psutil.process_iter(["cmdline"]) if profile in (one.info["cmdline"] or [])]
        assert mine
        for one in [*(child for parent in mine for child in parent.children(recursive=True)), *mine]:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(mine, timeout=10)
        for lock in self.profile.glob("Singleton*"):
            lock.unlink()


@pytest.fixture
def browser_of_ben(
    playwright: Any, browser_type_launch_args: dict[str, Any], tmp_path: Path, ben: Person, live_server: Any
) -> Iterator[Browser]:
    browser = Browser(playwright, browser_type_launch_args, tmp_path / "profile", ben, live_server.url)
    yield browser
    if browser.context:
        browser.context.close()
    shutil.rmtree(browser.profile, ignore_errors=True)


def on_disk(page: Page) -> None:
    """Wait until the store that outlives the browser holds what the page remembers."""
    page.wait_for_function("""() => new Promise(done => {
        const said = Object.keys(localStorage).filter(name => /^(draft|outbox):/.test(name));
        indexedDB.open('touchstone', 1).onsuccess = opened => {
            const transaction = opened.target.result.transaction('said');
            const names = transaction.objectStore('said').getAllKeys();
            const rows = transaction.objectStore('said').getAll();
            transaction.oncomplete = () => {
                const kept = name => JSON.stringify(rows.result[names.result.indexOf(name)]?.value);
                opened.target.result.close();
                done(said.length > 0 && said.every(name => kept(name) === localStorage[name]));
            };
        };
    })""")


WRITTEN: list[tuple[str, dict[str, Any], list[str], Callable[[Page], Any]]] = [
    ("comparison", {}, ["7"], lambda page: page.locator("[name=choice]:checked").get_attribute("value")),
    ("ranking", {}, ["3", "1", "=", "2"], lambda page: page.locator("[data-ranks]").inner_text().split()),
    ("spans", {"scheme": "names"}, ["ArrowRight", "n"], lambda page: page.locator("[data-marked]").inner_text()),
    ("demonstration", {}, ["e", "End", "x"], lambda page: page.input_value("[name=text]")),
]


@pytest.mark.parametrize(("kind", "options", "keys", "state"), WRITTEN, ids=[one[0] for one in WRITTEN])
def test_a_killed_browser_loses_no_draft(
    browser_of_ben: Browser, project: Project, kind: str, options: dict[str, Any], keys: list[str], state: Any
) -> None:
    Project.objects.update(asks_reason=True)
    project.refresh_from_db()
    make_kind(project, kind, **options)
    page = browser_of_ben.sit_down()
    untouched = state(page) if kind != "comparison" else None
    for key in keys:
        page.keyboard.press(key)
    before = state(page)
    assert before != untouched
    page.keyboard.press("Escape")
    page.locator("[name=reason]").focus()
    page.keyboard.type("B names the right cab", delay=5)
    on_disk(page)
    browser_of_ben.kill()
    page = browser_of_ben.sit_down()
    assert state(page) == before
    expect(page.locator("[name=reason]")).to_have_value("B names the right cab")
    assert Annotation.objects.count() == 0


def test_answers_that_wait_for_the_network_outlive_the_browser(
    browser_of_ben: Browser, project: Project, ben: Person
) -> None:
    for _ in range(3):
        make_kind(project, "comparison")
    page = browser_of_ben.sit_down()
    page.context.set_offline(True)
    judged = [judge(page, "1")]
    present = shown(page)
    page.keyboard.press("9")
    page.keyboard.press("Enter")
    on_disk(page)
    browser_of_ben.kill()
    assert Annotation.objects.count() == 0
    page = browser_of_ben.sit_down()
    settle(page)
    rows = Annotation.objects.order_by("pk").select_related("assignment")
    assert [(str(row.assignment.public_id), row.payload["chosen"]) for row in rows] == [
        (judged[0], rows[0].shown[0]),
        (present, rows[1].shown[1]),
    ]
    assert shown(page) not in (judged[0], present)


def test_the_network_goes_in_the_middle_of_a_task_and_comes_back_after_three_more_answers(
    project: Project, ben: Person, visit: Any, said: list[tuple[str, str]], complaints: list[str]
) -> None:
    """Four answers without a network: the one that was being given, and three more, of which one is thought over."""
    Project.objects.update(asks_reason=True, dimensions=[])
    for _ in range(5):
        make_kind(project, "comparison")
    page = visit(ben, DESK)
    page.wait_for_selector("#desk[data-ahead='3']")
    page.keyboard.press("2")
    page.keyboard.press("n")
    page.keyboard.type("A says what")
    page.context.set_offline(True)
    page.keyboard.type(" to do")
    first, second = answer(page), shown(page)
    page.keyboard.press("7")
    write(page, "B is kind")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#outbox")).to_contain_text("2 annotations wait in this browser")
    page.keyboard.press("u")
    expect(page.locator("[name=reason]")).to_have_value("B is kind")
    page.keyboard.press("1")
    write(page, ", but A is right")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#outbox")).to_contain_text(
        "2 annotations wait in this browser; sent when the connection is back. 1 more task is here after this one."
    )
    rest = []
    for key, words in (("5", "Both are"), ("0", "Neither is")):
        rest.append(shown(page))
        page.keyboard.press(key)
        write(page, words)
        page.keyboard.press("Control+Enter")
    expect(page.locator("#outbox")).to_contain_text("4 annotations wait in this browser")
    expect(page.locator("#desk")).to_contain_text("when the service responds again")
    assert Annotation.objects.count() == 0
    page.context.set_offline(False)
    settle(page)
    page.wait_for_selector("#desk [data-card]")
    rows = Annotation.objects.order_by("pk").select_related("assignment")
    assert [(str(row.assignment.public_id), row.payload.get("strength"), row.payload["reason"]) for row in rows] == [
        (first, 2, "A says what to do"),
        (second, 3, "B is kind, but A is right"),
        (rest[0], None, "Both are"),
        (rest[1], None, "Neither is"),
    ], "each once, in the order in which it was said"
    assert shown(page) not in (first, second, *rest)
    complaints.clear()  # the browser notes that the network is away


def write(page: Page, text: str) -> None:
    page.keyboard.press("n")
    page.keyboard.press("End")
    page.keyboard.type(text)


def answer(page: Page) -> str:
    present = shown(page)
    page.keyboard.press("Control+Enter")
    page.wait_for_function("id => document.querySelector('#desk [data-card]')?.dataset.id !== id", arg=present)
    return present
