"""Every kind of task by keyboard alone, by touch, and called back, in a real browser."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Annotation, Draft, Person, Project
from tests.browser.test_desk import DESK, forget, judge, settle, shown, until
from tests.kinds import SCHEMES, TEXT, make_kind

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]


@pytest.fixture
def desk(project: Project, ben: Person, visit: Visit) -> Callable[..., Page]:
    """`desk("ranking", 3)`: Ben at a desk with three tasks of that kind."""

    def sit_down(kind: str, count: int = 1, **options: Any) -> Page:
        for _ in range(count):
            make_kind(project, kind, **options)
        page = visit(ben, DESK)
        page.wait_for_selector("html[data-desk-ready]")
        return page

    return sit_down


def letters(annotation: Annotation) -> Any:
    """The ranking in the letters shown."""
    return [["abcdefghi"[annotation.shown.index(one)] for one in group] for group in annotation.payload["ranking"]]


def test_twenty_rankings_by_keyboard_alone(desk: Any, said: list[tuple[str, str]]) -> None:
    page = desk("ranking", 21)
    keys: list[tuple[list[str], list[list[str]]]] = [
        (["1", "2", "3", "4"], [["a"], ["b"], ["c"], ["d"]]),
        (["4", "3", "2", "1"], [["d"], ["c"], ["b"], ["a"]]),
        (["2", "1", "=", "3", "4"], [["b", "a"], ["c"], ["d"]]),
        (["1", "2", "3", "4", "ArrowLeft", "ArrowLeft"], [["a"], ["d"], ["b"], ["c"]]),
        (["1", "2", "t", "3", "4", "t", "1", "ArrowRight", "ArrowRight", "="], [["b"], ["c", "d", "a"]]),
    ] * 4
    judged = [judge(page, *pressed) for pressed, _ in keys]
    settle(page)
    assert [one for one, _ in said] == judged
    rows = Annotation.objects.order_by("pk").select_related("assignment")
    assert [(str(row.assignment.public_id), letters(row)) for row in rows] == [
        (one, wanted) for one, (_, wanted) in zip(judged, keys, strict=True)
    ]


def test_a_ranking_says_what_is_missing_and_takes_back(desk: Any) -> None:
    page = desk("ranking")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("[data-wrong]")).to_contain_text("Missing: A, C, D")
    page.keyboard.press("1")
    expect(page.locator("[data-side=a] [data-verdict]")).to_have_text("2nd")
    page.keyboard.press("Backspace")
    expect(page.locator("[data-unplaced] [data-letter=a]")).to_be_visible()


def test_rankings_by_mouse_drag_and_buttons(desk: Any) -> None:
    page = desk("ranking")
    for letter in "abc":
        page.locator(f"[data-letter={letter}]").click()
    page.get_by_role("button", name="Better").click()
    drag(page, "d", "[data-place='0']", 0.5)
    drag(page, "b", "[data-place='0']", 0.02)
    page.get_by_role("button", name="Send").click()
    settle(page)
    assert letters(Annotation.objects.get()) == [["b"], ["a", "d"], ["c"]]


def drag(page: Page, letter: str, target: str, share: float) -> None:
    """Take a letter to a place: its middle ties, its edge comes before it."""
    token, box = page.locator(f"[data-letter={letter}]"), page.locator(target).bounding_box()
    assert box is not None
    token.hover()
    page.mouse.down()
    page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()


def test_five_ratings(desk: Any, project: Project) -> None:
    project.dimensions = ["helpful", "truthful"]
    project.save()
    page = desk("rating", 6)
    judged = [judge(page, str(number), str(6 - number)) for number in range(1, 6)]
    settle(page)
    rows = {str(row.assignment.public_id): row.payload["ratings"] for row in Annotation.objects.all()}
    assert [rows[one] for one in judged] == [{"helpful": n, "truthful": 6 - n} for n in range(1, 6)]


def test_a_row_of_a_rating_is_found_again(desk: Any, project: Project) -> None:
    project.dimensions = ["helpful", "truthful"]
    project.save()
    page = desk("rating")
    for key in ("2", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("[data-wrong]")).to_contain_text("Rate truthful")
    page.locator("h1").click()
    for key in ("4", "ArrowUp", "5", "Enter"):
        page.keyboard.press(key)
    settle(page)
    assert Annotation.objects.get().payload["ratings"] == {"helpful": 5, "truthful": 4}


def test_five_demonstrations(desk: Any) -> None:
    page = desk("demonstration", 6)
    for number in range(5):
        present = shown(page)
        page.keyboard.press("e")
        page.keyboard.type(f" Then wait {number} minutes.")
        page.keyboard.press("Control+Enter")
        page.wait_for_function("id => document.querySelector('#desk [data-card]')?.dataset.id !== id", arg=present)
    settle(page)
    texts = [row.payload["text"] for row in Annotation.objects.order_by("pk")]
    assert len(texts) == 5
    for number, text in enumerate(texts):
        assert text.startswith("Answer ") and text.endswith(f"router**. Then wait {number} minutes.")


def test_a_response_left_as_it_was_is_no_demonstration_and_a_draft_is_kept(desk: Any) -> None:
    page = desk("demonstration")
    page.keyboard.press("Enter")
    expect(page.locator("[data-wrong]")).to_contain_text("The response is unchanged")
    page.keyboard.type("\nHalf a thought")
    until(page, lambda: Draft.objects.filter(payload__text__endswith="Half a thought"))
    forget(page)
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    assert page.input_value("[name=text]").endswith("Half a thought")


def test_five_classifications_with_one_label(desk: Any) -> None:
    page = desk("classification", 6, scheme="folder", text="")
    expect(page.get_by_text("Between people who know each other.")).to_be_visible()
    judged = [judge(page, key) for key in "12321"]
    settle(page)
    rows = {str(row.assignment.public_id): row.payload["labels"] for row in Annotation.objects.all()}
    names = {"1": ["work"], "2": ["personal"], "3": ["promotions"]}
    assert [rows[one] for one in judged] == [names[key] for key in "12321"]


def test_many_labels_are_chosen_and_taken_back_by_their_keys(desk: Any) -> None:
    page = desk("classification", 2, scheme="topic", responses=1)
    judge(page, "d", "1", "2", "1")
    settle(page)
    row = Annotation.objects.get()
    assert row.payload["labels"] == ["device", "billing"] and row.payload["on"] == row.shown[0]


def test_twenty_span_tasks_by_keyboard_alone(desk: Any, said: list[tuple[str, str]]) -> None:
    page = desk("spans", 21, scheme="names")
    right, more = "ArrowRight", "Shift+ArrowRight"
    # Mara 🌿 Vell: the name with what stands in it; Saltby is the fifth word.
    judged = [judge(page, right, more, "n", right, right, right, "p") for _ in range(20)]
    settle(page)
    assert [one for one, _ in said] == judged and len(set(judged)) == 20
    assert Annotation.objects.count() == 20
    for row in Annotation.objects.all():
        spans = [(one["start"], one["end"], one["label"], one["text"]) for one in row.payload["spans"]]
        assert spans == [(0, 11, "name", "Mara 🌿 Vell"), (21, 27, "place", "Saltby")]
        assert TEXT[21:27] == "Saltby"


def test_marks_are_told_without_color_moved_and_taken_away(desk: Any) -> None:
    page = desk("spans", scheme="names")
    for key in ("ArrowRight", "n", "ArrowRight", "p"):
        page.keyboard.press(key)
    marks = page.locator("[data-marking] mark")
    expect(marks).to_have_count(2)
    looks = marks.evaluate_all("all => all.map(one => [getComputedStyle(one).textDecorationStyle, one.dataset.badge])")
    assert looks == [["solid", "N"], ["double", "P"]]
    page.keyboard.press("Backspace")
    expect(marks).to_have_count(1)
    for key in ("ArrowLeft", "Shift+ArrowRight", "p"):
        page.keyboard.press(key)
    expect(page.locator("[data-wrong]")).to_contain_text("It overlaps “Mara”")
    page.get_by_role("button", name="Remove Name: Mara").click()
    expect(page.locator("[data-marked-title]")).to_contain_text("No spans marked")


def test_overlapping_marks_lie_in_each_other(desk: Any) -> None:
    page = desk("spans", scheme="phrases", responses=1)
    for key in ("ArrowRight", "Shift+ArrowRight", "1", "ArrowLeft", "ArrowRight", "Shift+ArrowRight", "2"):
        page.keyboard.press(key)
    expect(page.locator("[data-marking] mark mark")).not_to_have_count(0)
    page.keyboard.press("Enter")
    settle(page)
    row = Annotation.objects.get()
    assert row.payload["on"] == row.shown[0] and {one["label"] for one in row.payload["spans"]} == {"claim", "doubt"}


def test_spans_by_mouse(desk: Any) -> None:
    page = desk("spans", scheme="names")
    page.locator("[data-marking]").dblclick(position={"x": 20, "y": 18})
    page.locator("[data-label=name]").click()
    page.get_by_role("button", name="Send").click()
    settle(page)
    assert [one["text"] for one in Annotation.objects.get().payload["spans"]] == ["Mara"]


ANSWERS: list[tuple[str, dict[str, Any], list[str], str]] = [
    ("ranking", {}, ["2", "1", "3", "4"], "[data-place='0'] [data-letter=b]"),
    ("rating", {}, ["4"], "[value='4']:checked"),
    ("classification", {"scheme": "folder"}, ["2"], "[value=personal]:checked"),
    ("spans", {"scheme": "names"}, ["ArrowRight", "n"], "[data-marking] mark"),
]


@pytest.mark.parametrize(("kind", "options", "keys", "filled"), ANSWERS, ids=[one[0] for one in ANSWERS])
def test_drafts_come_back_and_answers_are_revised(
    desk: Any, project: Project, kind: str, options: dict[str, Any], keys: list[str], filled: str
) -> None:
    project.dimensions = []
    project.save()
    page = desk(kind, 2, **options)
    for key in keys:
        page.keyboard.press(key)
    here = json.loads(page.evaluate("localStorage['draft:' + document.querySelector('#desk [data-card]').dataset.id]"))
    until(page, lambda: here in Draft.objects.values_list("payload", flat=True))
    forget(page)
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    expect(page.locator(f"#desk {filled}")).to_have_count(1)
    first = judge(page)
    settle(page)
    page.reload()
    page.wait_for_selector("html[data-desk-ready]")
    page.keyboard.press("u")
    page.wait_for_function("id => document.querySelector('#desk [data-card]').dataset.id === id", arg=first)
    expect(page.locator(f"#desk {filled}")).to_have_count(1)
    expect(page.locator("[data-send-word]")).to_have_text("Send the revision")
    judge(page)
    settle(page)
    assert [row.revision for row in Annotation.objects.order_by("pk")] == [1, 2]


EVERY: list[tuple[str, dict[str, Any]]] = [
    ("ranking", {"responses": 9}),
    ("rating", {}),
    ("demonstration", {}),
    ("classification", {"scheme": "folder"}),
    ("spans", {"scheme": "names"}),
]


@pytest.mark.parametrize(("kind", "options"), EVERY, ids=[one[0] for one in EVERY])
def test_accessible_and_within_a_phones_width(
    desk: Any, project: Project, accessible: Callable[[Page], None], kind: str, options: dict[str, Any]
) -> None:
    project.asks_reason = True
    project.save()
    page = desk(kind, **options)
    for key in {"ranking": ["2", "1", "="], "rating": ["3"], "spans": ["ArrowRight", "n"]}.get(kind, ["1"]):
        page.keyboard.press(key)
    accessible(page)
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    accessible(page)
    page.keyboard.press("?")
    expect(page.locator(f"#keys [data-keys-of={kind}]")).to_be_visible()
    expect(page.locator("#keys [data-keys-of]:visible")).to_have_count(1)
    accessible(page)


@pytest.mark.parametrize("path", ["", "new/", "names/"])
def test_the_admins_labels_are_accessible_and_within_a_phones_width(
    project: Project, ada: Person, visit: Visit, accessible: Callable[[Page], None], path: str
) -> None:
    project.label_scheme = SCHEMES
    project.save()
    page = visit(ada, f"/p/desk/project/labels/{path}")
    accessible(page)
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_by_touch_on_a_phone(desk: Any, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    desk("ranking")
    for letter in "dcba":
        page.locator(f"[data-letter={letter}]").click()
    page.get_by_role("button", name="Send").click()
    settle(page)
    assert letters(Annotation.objects.get()) == [["d"], ["c"], ["b"], ["a"]]
