"""Judging by keyboard alone, with and without a network, in a real browser."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Annotation, Assignment, Draft, Flag, Person, Project
from tests.factories import make_prompt, make_response, make_task

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]
DESK = "/p/desk/desk/"


@pytest.fixture
def desk(project: Project, ben: Person, visit: Visit) -> Callable[[int], Page]:
    """`desk(n)`: Ben at a desk with n open tasks."""

    def sit_down(count: int) -> Page:
        for _ in range(count):
            make_task(project)
        page = visit(ben, DESK)
        page.wait_for_selector("html[data-desk-ready]")
        return page

    return sit_down


def shown(page: Page) -> str:
    return page.get_attribute("#desk [data-card]", "data-id") or ""


def until(page: Page, seen: Callable[[], object]) -> None:
    """Wait for what the service or the page comes to; the browser goes on meanwhile."""
    deadline = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        page.wait_for_timeout(50)


def settle(page: Page) -> None:
    """Wait until everything said has arrived."""
    page.wait_for_function(
        "() => Object.keys(localStorage).filter(k => k.startsWith('outbox:')).every(k => localStorage[k] === '[]')"
    )


def forget(page: Page) -> None:
    """All that the browser remembers is gone, as on another machine."""
    page.evaluate("""() => new Promise(done => {
        localStorage.clear();
        indexedDB.deleteDatabase('touchstone').onsuccess = done;
    })""")


def judge(page: Page, *keys: str) -> str:
    """Press `keys` and Enter; wait for the next task. Returns the id of the one that was judged."""
    present = shown(page)
    for key in (*keys, "Enter"):
        page.keyboard.press(key)
    page.wait_for_function("id => document.querySelector('#desk [data-card]')?.dataset.id !== id", arg=present)
    return present


def test_a_hundred_comparisons_by_keyboard_alone(
    desk: Any, project: Project, ben: Person, said: list[tuple[str, str]]
) -> None:
    page = desk(101)
    judged = [judge(page, str(number % 10)) for number in range(100)]
    settle(page)
    assert len(set(judged)) == 100
    assert [one for one, _ in said] == judged, "each is sent once, in the order in which it was judged"
    assert len({key for _, key in said}) == 100
    rows = Annotation.objects.order_by("pk").select_related("assignment")
    outcomes = {"5": "tie", "0": "both_bad"}
    strengths = {"1": 3, "2": 2, "3": 1, "4": 0, "6": 0, "7": 1, "8": 2, "9": 3}
    assert [str(row.assignment.public_id) for row in rows] == judged
    for number, row in enumerate(rows):
        key = str(number % 10)
        assert row.payload["outcome"] == outcomes.get(key, "prefer")
        assert row.payload.get("strength") == strengths.get(key)
        if key in strengths:
            assert row.payload["chosen"] == row.shown[0 if int(key) < 5 else 1]
    assert Assignment.objects.filter(annotator=ben, counted=True).count() == 100
    expect(page.locator("#progress")).to_contain_text("100 today")
    measured = page.evaluate("performance.getEntriesByName('key-to-next-task').map(entry => entry.duration)")
    assert len(measured) == 100 and all(duration > 0 for duration in measured)


def test_enter_without_a_choice_says_what_is_missing(desk: Any) -> None:
    page = desk(2)
    present = shown(page)
    page.keyboard.press("Enter")
    expect(page.locator("[data-wrong]")).to_contain_text("Choose an option")
    assert shown(page) == present and Annotation.objects.count() == 0


def test_dimensions_have_keys_and_the_verdict_is_told_in_words(desk: Any) -> None:
    page = desk(2)
    page.keyboard.press("8")
    page.keyboard.press("q")
    expect(page.locator("[data-side=b] [data-verdict]")).to_have_text("✓ better")
    page.keyboard.press("Enter")
    settle(page)
    row = Annotation.objects.get()
    assert row.payload["dimensions"] == {"truthful": row.shown[0]} and row.payload["strength"] == 2


def test_the_last_answer_is_called_back_and_revised(desk: Any) -> None:
    page = desk(3)
    first = judge(page, "1")
    settle(page)
    present = shown(page)
    page.keyboard.press("u")
    assert shown(page) == first
    expect(page.locator("[name=choice][value='1']")).to_be_checked()
    expect(page.locator("[data-send-word]")).to_have_text("Send the revision")
    judge(page, "5")
    settle(page)
    assert shown(page) == present, "the task that was laid aside is back"
    assert [row.payload["outcome"] for row in Annotation.objects.order_by("revision")] == ["prefer", "tie"]


def test_an_answer_is_called_back_after_the_page_was_loaded_again(desk: Any) -> None:
    page = desk(2)
    first = judge(page, "9")
    settle(page)
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    page.keyboard.press("u")
    page.wait_for_function("id => document.querySelector('#desk [data-card]').dataset.id === id", arg=first)
    expect(page.locator("[name=choice][value='9']")).to_be_checked()


def test_a_task_is_skipped_with_a_reason_and_flagged(desk: Any) -> None:
    page = desk(2)
    page.keyboard.press("f")
    page.keyboard.type("The prompt is cut off")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#toasts")).to_contain_text("Flagged")
    assert Flag.objects.get().reason == "The prompt is cut off"
    first = shown(page)
    page.keyboard.press("s")
    page.keyboard.press("2")
    page.wait_for_function("id => document.querySelector('#desk [data-card]').dataset.id !== id", arg=first)
    settle(page)
    assignment = Assignment.objects.get(public_id=first)
    assert (assignment.state, assignment.skip_reason) == ("skipped", "not_qualified")


def test_a_lost_network_loses_nothing_and_doubles_nothing(desk: Any, complaints: list[str]) -> None:
    page = desk(4)
    judge(page, "1")
    settle(page)
    page.context.set_offline(True)
    judge(page, "2")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#outbox")).to_contain_text("2 annotations wait in this browser")
    assert Annotation.objects.count() == 1
    page.context.set_offline(False)
    settle(page)
    page.wait_for_selector("#desk [data-card]")
    assert Annotation.objects.count() == 3 and Assignment.objects.filter(state="submitted").count() == 3
    assert all("ERR_INTERNET_DISCONNECTED" in complaint for complaint in complaints)
    complaints.clear()


def test_a_reply_that_is_lost_on_the_way_does_not_count_twice(desk: Any, complaints: list[str]) -> None:
    page = desk(2)
    lost: list[int] = []

    def lose_first_reply(route: Any) -> None:
        if lost:
            return route.continue_()
        lost.append(route.fetch().status)
        return route.abort()

    page.route("**/submit/", lose_first_reply)
    judge(page, "1")
    settle(page)
    assert lost == [200] and Annotation.objects.count() == 1
    complaints.clear()


def test_what_waited_is_sent_after_the_browser_was_closed(desk: Any, complaints: list[str]) -> None:
    page = desk(3)
    page.route("**/submit/", lambda route: route.abort())
    present = judge(page, "4")
    page.unroute("**/submit/")
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    settle(page)
    assert str(Annotation.objects.get().assignment.public_id) == present
    assert shown(page) != present
    complaints.clear()


def test_a_draft_survives_a_killed_page(desk: Any, project: Project) -> None:
    Project.objects.update(asks_reason=True)
    page = desk(1)
    page.keyboard.press("7")
    page.keyboard.press("n")
    page.keyboard.type("B names the right cable")
    until(page, lambda: Draft.objects.filter(payload__reason="B names the right cable"))
    forget(page)
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    expect(page.locator("[name=reason]")).to_have_value("B names the right cable")
    expect(page.locator("[name=choice][value='7']")).to_be_checked()
    page.keyboard.press("n")
    page.keyboard.press("Control+Enter")
    settle(page)
    assert Annotation.objects.get().payload["reason"] == "B names the right cable"


def test_a_number_sends_where_the_project_says_so(desk: Any) -> None:
    Project.objects.update(number_sends=True, dimensions=[])
    page = desk(2)
    first = shown(page)
    page.keyboard.press("6")
    page.wait_for_function("id => document.querySelector('#desk [data-card]').dataset.id !== id", arg=first)
    settle(page)
    assert Annotation.objects.get().payload["strength"] == 0


def test_an_empty_desk_finds_what_comes_later(desk: Any, project: Project) -> None:
    page = desk(0)
    expect(page.locator("#desk")).to_contain_text("No tasks right now")
    make_task(project)
    page.get_by_role("link", name="Check again").click()
    page.wait_for_selector("#desk [data-card]")


def test_differences_plain_text_and_guidelines_are_one_key_away(desk: Any, project: Project) -> None:
    prompt = make_prompt(project)
    texts = ["Restart the **router** now.", "Restart the **modem** now."]
    make_task(project, prompt, responses=[make_response(prompt, text) for text in texts])
    page = desk(0)
    page.keyboard.press("d")
    expect(page.locator("#desk mark")).to_have_count(2)
    assert set(page.locator("#desk mark").all_inner_texts()) == {"router", "modem"}
    page.keyboard.press("d")
    expect(page.locator("#desk mark")).to_have_count(0)
    page.keyboard.press("m")
    expect(page.locator("[data-text]").first).to_contain_text("**")
    page.keyboard.press("g")
    expect(page.locator("#guidelines")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()


def test_what_was_fetched_ahead_is_given_back_when_the_page_goes(desk: Any) -> None:
    page = desk(5)
    page.wait_for_selector("#desk[data-ahead='3']")
    ahead = list(Assignment.objects.filter(ahead=True))
    assert len(ahead) == 3
    page.goto("about:blank")
    until(page, lambda: [Assignment.objects.get(pk=one.pk).state for one in ahead] == ["released"] * 3)


def test_single_keys_can_be_switched_off(desk: Any) -> None:
    page = desk(1)
    page.keyboard.press("?")
    page.get_by_role("checkbox", name="Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.locator("[name=choice]:checked")).to_have_count(0)


def test_by_touch_on_a_phone(desk: Any, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    desk(2)
    first = shown(page)
    slider = page.get_by_role("slider", name="Which response is better?")
    assert slider.get_attribute("aria-valuetext") == "not chosen"
    expect(page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
    slider.fill("7")
    assert slider.get_attribute("aria-valuetext") == "B is slightly better"
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("id => document.querySelector('#desk [data-card]').dataset.id !== id", arg=first)
    settle(page)
    row = Annotation.objects.get()
    assert (row.payload["strength"], row.payload["chosen"]) == (1, row.shown[1])
    page.get_by_role("button", name="Both bad").click()
    page.get_by_role("button", name="Send").click()
    settle(page)
    assert Annotation.objects.latest("pk").payload["outcome"] == "both_bad"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_responses_are_swiped_on_a_phone(desk: Any, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    desk(1)
    mark = page.locator(".pages-mark")
    expect(mark).to_have_text("1 of 2 · swipe for the other")
    page.evaluate("document.querySelector('.sides').scrollTo({left: 400, behavior: 'instant'})")
    expect(mark).to_have_text("2 of 2 · swipe for the other")
    expect(page.locator("[data-side=b]")).to_be_in_viewport(ratio=0.95)


def box(page: Page, place: str) -> Any:
    """x, y, width and height of an element in view."""
    return page.locator(place).bounding_box()


def test_the_question_stands_above_and_controls_under_short_texts(desk: Any, page: Page) -> None:
    desk(1)
    expect(page.locator("[data-question]")).to_have_text("Which response is better?")
    side, answer = box(page, "[data-side=a]"), box(page, ".answer")
    assert side["height"] < 130 and answer["y"] - side["y"] - side["height"] < 24
    expect(page.locator(".goes-on")).to_have_count(0)


def test_a_cut_pane_says_that_there_is_more(project: Project, ben: Person, visit: Visit) -> None:
    prompt = make_prompt(project)
    long = "\n\n".join(f"Step {number}: look at the light of the router." for number in range(60))
    make_task(project, prompt=prompt, responses=[make_response(prompt, long), make_response(prompt, "Restart it.")])
    page = visit(ben, DESK)
    page.wait_for_selector("html[data-desk-ready]")
    cut = page.locator("[data-side].goes-on")
    expect(cut).to_have_count(1)
    expect(cut.locator(".more-below")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator(".goes-on")).to_have_count(0)
    expect(page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)


def test_guidelines_move_no_button(desk: Any, page: Page) -> None:
    desk(1)

    def places() -> list[float]:
        return page.evaluate(
            "() => [...document.querySelectorAll('.answer :is(button, .step)')].map(one => one.offsetLeft)"
        )

    before = places()
    page.keyboard.press("g")
    expect(page.locator("#guidelines")).to_be_visible()
    assert len(before) > 15 and places() == before
    panel, answer = box(page, "#guidelines"), box(page, ".answer")
    assert panel["y"] + panel["height"] <= answer["y"], "it lies beside the texts, not on the controls"
