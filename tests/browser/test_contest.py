"""An admin asks people on a model's page, two annotators vote by keyboard, and the page says what they decided."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Contest, Person, Project
from feedback.services.evaluation import contest_supply
from tests.browser.test_desk import DESK, judge, settle
from tests.evaluation.contest_story import fresh, two_policies, write

pytestmark = pytest.mark.django_db(transaction=True)


def test_people_are_asked_and_decide(
    project: Project, ada: Person, ben: Person, chloe: Person, visit: Callable[[Person, str], Page]
) -> None:
    _, candidate = two_policies(project, ada)
    fresh(project, 6)
    page = visit(ada, f"/p/desk/models/{candidate.public_id}/")
    page.get_by_role("link", name="Compare with people").click()
    page.get_by_label("Votes per prompt").fill("2")
    page.get_by_label("Share of annotators' tasks, %").fill("100")
    page.get_by_label("Most votes").fill("8")
    page.get_by_label("Most votes").blur()
    expect(page.locator("#outlook")).to_contain_text("8 at most")
    page.get_by_label("Ask people although checks failed").check()
    page.get_by_role("button", name="Start the comparison").click()
    expect(page.locator("#standing")).to_contain_text("Not decided yet: no vote has counted yet.")
    contest = Contest.objects.get()
    contest_supply.supply(contest.pk)  # what the worker does
    write(contest)
    for person in (ben, chloe):
        desk = visit(person, DESK)
        desk.wait_for_selector("html[data-desk-ready]")
        for _ in range(4):
            judge(desk, "5")
        settle(desk)
    page = visit(ada, f"/p/desk/contests/{contest.public_id}/")
    expect(page.locator("#standing")).to_contain_text("Not shown to be better: 50 %")
    expect(page.locator("#standing")).to_contain_text("after 8 of at most 8 votes on 4 prompts by 2 people")
    expect(page.locator("figure.chart")).to_contain_text("promotes at")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
