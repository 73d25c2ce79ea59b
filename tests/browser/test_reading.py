"""Reading long responses side by side: they scroll together, what differs is marked, formulas and code are shown."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Person, Project
from tests.browser.test_desk import until
from tests.factories import make_prompt, make_response, make_task

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "\n\n".join(f"Step {number}: take the cable out of socket {number} and wait." for number in range(60))
FORMULA = r"""The roots of $ax^2+bx+c=0$ cost $5 or $6:

\[ x = \frac{-b \pm \sqrt{b^2-4ac}}{2a} + aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \]

```python
def roots(a: float, b: float) -> str:
    # all of them, on a line that is a good deal longer than any phone is wide
    return f"{a}" + 'b' * 2
```
"""


@pytest.fixture
def reading(project: Project, ben: Person, visit: Callable[[Person, str], Page]) -> Callable[[str, str], Page]:
    def sit_down(one: str, other: str) -> Page:
        prompt = make_prompt(project)
        make_task(project, prompt, responses=[make_response(prompt, text) for text in (one, other)])
        page = visit(ben, "/p/desk/desk/")
        page.wait_for_selector("html[data-desk-ready]")
        return page

    return sit_down


def shares(page: Page) -> list[float]:
    """How far down each side is, from 0 to 1."""
    places = "[...document.querySelectorAll('[data-side]')].map(s => s.scrollTop / (s.scrollHeight - s.clientHeight))"
    return [round(share, 2) for share in page.evaluate(places)]


def press(page: Page, key: str) -> list[float]:
    before = shares(page)
    page.keyboard.press(key)
    return moved(page, before)


def moved(page: Page, before: list[float]) -> list[float]:
    """The shares once they are others than before, and stay as they are."""
    now = [before]

    def still() -> bool:
        now.append(shares(page))
        return before != now[-1] == now[-2]

    until(page, still)
    return now[-1]


def test_long_responses_scroll_together_by_keys_and_by_wheel(reading: Any) -> None:
    page = reading(LONG, LONG + LONG)
    for key in ("PageDown", "ArrowDown", " "):
        before = shares(page)
        one, other = press(page, key)
        assert one > before[0] and abs(one - other) <= 0.01, key
    assert press(page, "End") == [1, 1]
    assert press(page, "Home") == [0, 0]
    page.locator("[data-side=a]").hover()
    before = shares(page)
    page.mouse.wheel(0, 300)
    one, other = moved(page, before)
    assert one > 0 and abs(one - other) <= 0.01


def test_each_scrolls_by_itself_when_that_is_wished_and_stays_so(reading: Any) -> None:
    page = reading(LONG, LONG + " That is all.")
    page.keyboard.press("l")
    expect(page.locator("[data-act=together]")).to_have_attribute("aria-pressed", "false")
    page.locator("[data-side=b]").focus()
    assert press(page, "End") == [0, 1]
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    expect(page.locator("[data-act=together]")).to_have_attribute("aria-pressed", "false")


def test_the_words_that_differ_are_marked_in_a_long_text_and_no_others(reading: Any) -> None:
    page = reading(LONG, LONG.replace("cable out of socket 7", "plug into socket 7").replace("Step 40:", "Now 40:"))
    page.keyboard.press("d")
    sides = [page.locator(f"[data-side={side}] mark").all_inner_texts() for side in "ab"]
    assert sorted(sides) == [["cable out of", "Step"], ["plug into", "Now"]]
    texts = page.locator("[data-text]").all_inner_texts()
    assert all(text.count("\n") == LONG.count("\n") for text in texts)


def test_texts_that_share_a_stray_word_are_not_peppered_with_marks(reading: Any) -> None:
    page = reading("I do not know what this is about", "The cat sat on the mat and it is big")
    page.keyboard.press("d")
    marked = {tuple(page.locator(f"[data-side={side}] mark").all_inner_texts()) for side in "ab"}
    assert marked == {("I do not know what this", "about"), ("The cat sat on the mat and it", "big")}


def test_formulas_and_code_are_shown_or_plain(reading: Any, accessible: Callable[[Page], None]) -> None:
    page = reading(FORMULA, FORMULA + " It has two roots.")
    fraction = page.locator("[data-side=a] mfrac")
    box = fraction.bounding_box()
    assert box is not None and box["height"] > 25, "numerator over denominator"
    expect(page.locator("[data-side=a] .rendered")).to_contain_text("cost $5 or $6")
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 780})
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("m")
    expect(fraction).to_be_hidden()
    expect(page.locator("[data-side=a] [data-text]")).to_contain_text(r"\frac{-b \pm \sqrt{b^2-4ac}}{2a}")
