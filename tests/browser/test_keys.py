"""A key event is consumed once: no key that closes a dialog, held down or not, reaches the task that lies behind it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Annotation, Assignment, Flag, Person, Project, Review
from feedback.services.collection import annotations
from feedback.services.platform import projects
from tests.browser.test_desk import DESK, settle, shown, until
from tests.factories import make_task, take
from tests.kinds import make_kind

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]

# kind, scheme, a key that begins an answer
KINDS = [
    ("comparison", "", "1"),
    ("ranking", "", "2"),
    ("rating", "", "3"),
    ("demonstration", "", "e"),
    ("classification", "folder", "1"),
    ("classification", "topic", "2"),
    ("spans", "names", "ArrowRight"),
]
REASONS = {"1": "unclear", "2": "not_qualified", "3": "offensive", "4": "broken", "5": "other"}
SLOWER = 20  # a laptop's processor beside one of this factor


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(part for part in kind[:2] if part))
def kind(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    return request.param


@pytest.fixture
def desk(project: Project, ben: Person, visit: Visit, kind: tuple[str, str, str]) -> Iterator[Page]:
    """Ben at a desk with tasks of that kind, where a number key sends; at the end nothing was answered unread."""
    project.number_sends = True
    project.dimensions = ["helpful"] if kind[0] == "rating" else []
    project.save()
    for _ in range(9):
        make_kind(project, kind[0], scheme=kind[1])
    page = visit(ben, DESK)
    page.wait_for_selector("html[data-desk-ready]")
    yield page
    settle(page)
    assert Annotation.objects.count() == 0


def press(page: Page, key: str, repeats: int = 2) -> None:
    """Press a key and hold it until it repeats."""
    for _ in range(1 + repeats):
        page.keyboard.down(key)
    page.keyboard.up(key)


def answers_begun(page: Page) -> list[str]:
    """Names of the drafts in this browser: whatever touches a task's answer leaves one."""
    return page.evaluate("Object.keys(localStorage).filter(name => name.startsWith('draft:'))")


def skip_with(page: Page, key: str) -> None:
    present = shown(page)
    press(page, "s")
    expect(page.locator("#skip")).to_be_visible()
    press(page, key)
    expect(page.locator("#skip")).to_be_hidden()
    page.wait_for_function("id => document.querySelector('#desk [data-card]')?.dataset.id !== id", arg=present)
    until(page, lambda: Assignment.objects.get(public_id=present).skip_reason == REASONS[key])


def every_dialog(page: Page, reasons: str) -> None:
    for key in reasons:
        skip_with(page, key)
        assert answers_begun(page) == [], f"{key} gave the reason to skip and reached the next task"

    present = shown(page)
    press(page, "s")
    page.locator("#skip-note").click()
    press(page, "1")
    press(page, "Enter")
    expect(page.locator("#skip-note")).to_have_value("111")
    press(page, "Escape")
    expect(page.locator("#skip")).to_be_hidden()

    press(page, "f")
    expect(page.locator("#flag-reason")).to_have_value("")
    page.keyboard.type("12")
    page.keyboard.down("Control")
    press(page, "Enter")
    page.keyboard.up("Control")
    expect(page.locator("#flag")).to_be_hidden()
    until(page, lambda: Flag.objects.filter(reason="12").exists())
    press(page, "f")
    press(page, "Escape")
    expect(page.locator("#flag")).to_be_hidden()

    press(page, "?")
    expect(page.locator("#keys")).to_be_visible()
    for key in ("1", "2", "5", "e", "n", "s", "u", "Enter"):
        press(page, key)
    expect(page.locator("#keys")).to_be_hidden()  # Enter was its Close button's
    press(page, "?")
    press(page, "Escape")
    expect(page.locator("#keys")).to_be_hidden()

    press(page, "g")
    expect(page.locator("#guidelines")).to_be_visible()
    press(page, "Escape")
    expect(page.locator("#guidelines")).to_be_hidden()

    assert shown(page) == present and answers_begun(page) == []


def test_no_key_of_a_dialog_reaches_the_task_behind_it(desk: Page) -> None:
    every_dialog(desk, "25")


@pytest.mark.long
def test_no_key_of_a_dialog_reaches_the_task_on_a_slow_machine(desk: Page) -> None:
    desk.context.new_cdp_session(desk).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    every_dialog(desk, "12345")


def test_an_answer_that_is_begun_is_not_sent_by_the_key_that_closes_a_sheet(
    project: Project, ben: Person, visit: Visit
) -> None:
    make_task(project)
    page = visit(ben, DESK)
    page.wait_for_selector("html[data-desk-ready]")
    present = shown(page)
    page.keyboard.press("1")
    press(page, "?")
    page.locator("#keys [data-close]").focus()
    press(page, "Enter")
    expect(page.locator("#keys")).to_be_hidden()
    settle(page)
    assert shown(page) == present and Annotation.objects.count() == 0


def test_keys_pressed_before_a_task_came_into_view_are_not_meant_for_it(
    project: Project, ben: Person, visit: Visit
) -> None:
    """The machine hangs while somebody presses 1, Enter, 1, Enter: the second pair would judge an unread task."""
    for _ in range(3):
        make_task(project)
    page = visit(ben, DESK)
    page.wait_for_selector("html[data-desk-ready]")
    first = shown(page)
    page.wait_for_function("() => Number(document.getElementById('desk').dataset.ahead) > 0")
    page.evaluate("""() => {
        const waiting = ["1", "Enter", "1", "Enter"].map(key => new KeyboardEvent("keydown", {key, bubbles: true}));
        for (const event of waiting) document.activeElement.dispatchEvent(event);
    }""")
    settle(page)
    until(page, lambda: Annotation.objects.exists())
    assert shown(page) != first
    assert Annotation.objects.count() == 1 and answers_begun(page) == []


ANSWERS: dict[str, dict[str, Any]] = {
    "comparison": {"outcome": "tie"},
    "ranking": {"ranking": [["a"], ["b"], ["c"], ["d"]]},
    "rating": {"ratings": {"helpful": 3}},
    "demonstration": {"text": "Unplug it, then wait a minute."},
    "folder": {"labels": ["work"]},
    "topic": {"labels": ["device"]},
    "names": {"spans": []},
}


def test_a_reviewers_keys_stay_in_the_note(
    project: Project, ada: Person, ben: Person, rosa: Person, visit: Visit, kind: tuple[str, str, str]
) -> None:
    project.dimensions = ["helpful"] if kind[0] == "rating" else []
    project.save()
    projects.update_project(by=ada, project=project, queue_policy={"review_share": 1})
    make_kind(project, kind[0], scheme=kind[1])
    project.refresh_from_db()
    annotations.submit(assignment=take(project, ben), answer=ANSWERS[kind[1] or kind[0]])

    page = visit(rosa, "/p/desk/review/")
    card, note = page.locator("[data-review] [data-card]"), page.locator("[data-note]")
    opened = card.get_attribute("class") or ""
    page.keyboard.press("j")
    expect(note).to_be_focused()
    page.keyboard.type("1c2ab")
    press(page, "Escape")
    expect(note).not_to_be_focused()
    expect(note).to_have_value("1c2ab")
    assert (card.get_attribute("class") or "") == opened, "a key of the note opened the answer"

    page.keyboard.press("c")
    expect(card).to_have_class(re.compile(r"\bopen\b"))
    page.keyboard.press("j") if kind[0] != "demonstration" else note.focus()
    press(page, "Escape")
    expect(card).to_have_class(re.compile(r"\bopen\b"))  # the Escape that left the note did not leave the correction
    assert Review.objects.count() == 0
