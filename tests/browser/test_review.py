"""A reviewer works the queue by keyboard alone: accepts, corrects with the desk's own keys, sends back, decides."""

import pytest
from playwright.sync_api import expect

from feedback.models import Annotation, Person, Project, Review, Verdict
from feedback.services.collection import annotations
from feedback.services.platform import projects
from tests.browser.conftest import faults
from tests.factories import PREFERS_A, make_annotation, make_task, take

pytestmark = pytest.mark.django_db(transaction=True)


def test_accept_correct_send_back_and_decide(
    project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person, visit
) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"review_share": 1})
    first, second, third = (make_annotation(project, ben, make_task(project, annotations_wanted=1)) for _ in range(3))
    projects.update_project(by=ada, project=project, queue_policy={})
    project.refresh_from_db()
    disputed = make_task(project)
    for person, answer in ((ben, PREFERS_A), (chloe, {"outcome": "tie"})):
        annotations.submit(assignment=take(project, person), answer=answer)

    page = visit(rosa, "/p/desk/review/")
    review = page.locator("#review")
    why = page.locator("[data-why]")
    expect(why).to_have_text("Annotations disagree")
    expect(page.locator(".said-one")).to_have_count(2)
    assert faults(page, "light") == [] and faults(page, "dark") == []
    page.keyboard.press("9")
    page.keyboard.press("Enter")

    expect(review).to_contain_text("Decided.")
    expect(why).to_have_text("Random sample")
    expect(why).to_be_focused()
    expect(review).to_contain_text("3 pending")
    expect(page.locator('[name=choice][value="2"]')).to_be_checked()
    page.keyboard.press("9")  # nothing changes before it is opened
    expect(page.locator('[name=choice][value="2"]')).to_be_checked()
    assert faults(page, "light") == []
    page.keyboard.press("a")

    expect(review).to_contain_text("2 pending")
    page.keyboard.press("c")
    page.keyboard.press("0")
    page.keyboard.press("Enter")

    expect(review).to_contain_text("1 pending")
    page.keyboard.press("b")
    expect(page.locator("[data-note]")).to_be_focused()  # not without a word why
    page.keyboard.type("Look at B again.")
    page.keyboard.press("Control+Enter")
    expect(review).to_contain_text("No reviews pending")

    verdict = Verdict.objects.get()
    assert (verdict.task, verdict.payload["strength"]) == (disputed, 3)
    decisions = dict(Review.objects.values_list("annotation", "decision"))
    assert decisions == {first.pk: "accept", second.pk: "correct", third.pk: "send_back"}
    corrected = Annotation.objects.get(assignment=second.assignment, annotator=rosa)
    assert corrected.payload["outcome"] == "both_bad"

    page = visit(ben, "/account/")
    expect(page.locator(".sent-back")).to_contain_text("Look at B again.")
    page.get_by_role("button", name="Redo").click()
    page.wait_for_selector("html[data-desk-ready]")
    expect(page.locator("[data-card]")).to_contain_text("Look at B again.")
    expect(page.locator('[name=choice][value="2"]')).to_be_checked()
    page.keyboard.press("8")
    page.keyboard.press("Enter")
    expect(page.locator("[data-nothing]")).to_be_visible()
    assert Annotation.objects.filter(assignment=third.assignment).count() == 2
