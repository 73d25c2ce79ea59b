"""The training round by keyboard alone: an answer, what is right and why, the next one, then real work."""

import pytest
from playwright.sync_api import expect

from feedback.models import Annotation, Membership, Person, Project
from feedback.services.platform import projects
from tests.browser.conftest import faults
from tests.browser.test_desk import DESK, shown
from tests.factories import make_task

pytestmark = pytest.mark.django_db(transaction=True)


def test_told_after_each_answer_until_the_round_is_passed(project: Project, ada: Person, ben: Person, visit) -> None:
    policy = {"training_tasks": 2, "training_pass": 50, "gold_share": 0}
    projects.update_project(by=ada, project=project, queue_policy=policy)
    for _ in range(3):  # one more than the round needs: it is held ahead when the round is passed
        make_task(project, gold={"outcome": "tie"}, training_round=True, explanation="They say the *same*.")
    work = make_task(project)
    page = visit(ben, DESK)
    page.wait_for_selector("html[data-desk-ready]")
    expect(page.locator(".guidelines-new")).to_contain_text("Read the guidelines before you annotate")
    page.get_by_role("button", name="Mark as read").click()
    expect(page.locator(".guidelines-new")).to_have_count(0)
    member = Membership.objects.get(project=project, person=ben)
    assert member.guidelines_read is not None and member.guidelines_read.number == 1

    first = shown(page)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    told = page.locator("[data-told]")
    expect(told).to_contain_text("Incorrect. The correct answer is: no difference")
    expect(told).to_contain_text("They say the same.")
    expect(told).to_be_focused()
    page.keyboard.press("5")  # too late: what was said stays
    assert shown(page) == first
    assert faults(page, "light") == [] and faults(page, "dark") == []
    page.keyboard.press("Enter")
    expect(page.locator(f'[data-card]:not([data-id="{first}"])')).to_be_visible()

    page.keyboard.press("5")
    page.keyboard.press("Enter")
    expect(told).to_contain_text("You passed the qualification round.")
    page.keyboard.press("Enter")
    expect(page.locator("[data-card]:not([data-training])")).to_be_visible()
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    expect(page.locator("[data-nothing]")).to_be_visible()
    said = Annotation.objects.order_by("pk").values_list("task_id", "payload__outcome")
    assert [outcome for _, outcome in said] == ["prefer", "tie", "tie"] and said[2][0] == work.pk
