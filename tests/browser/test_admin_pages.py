"""The admin's pages in Chromium: what moves by itself, what asks first, what works without script, what is empty."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Chain, Job, Person, Project
from feedback.services.registry import model_versions
from tests.furnish import Furnished, finish, furnish, report, worker

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]
Check = Callable[[Page], None]


@pytest.fixture
def furnished(project: Project, ada: Person, ben: Person, chloe: Person) -> Furnished:
    return furnish(project, ada, [ben, chloe], answers=6)


def test_empty_pages_are_accessible(
    project: Project, ada: Person, visit: Visit, accessible: Check, complaints: list[str]
) -> None:
    for name in ("data/", "data/prompts/", "data/tasks/", "quality/", "train/", "models/", "schedules/"):
        accessible(visit(ada, f"/p/desk/{name}"))


def test_watch_a_run_go_on_and_end(furnished: Furnished, ada: Person, visit: Visit) -> None:
    run = furnished.running
    page = visit(ada, f"/p/desk/train/runs/{run.public_id}/")
    expect(page.locator("#run-head")).to_contain_text("step 22 of 60")
    page.locator("#log summary").click()
    Job.objects.filter(pk=run.job_id).update(step=40)
    report(run, 40)
    expect(page.locator("#run-head")).to_contain_text("step 40 of 60", timeout=10_000)
    expect(page.locator("#log")).to_have_attribute("open", "")  # what was opened stays open
    expect(page.locator("#log")).to_contain_text("step 40: loss")
    expect(page.locator("figure.chart").first).to_contain_text("step 40", timeout=10_000)
    Job.objects.filter(pk=run.job_id).update(status=Job.Status.FAILED, error_kind="data", error="No pairs left.")
    Chain.objects.filter(pk=run.chain_id).update(state=Chain.State.FAILED)
    expect(page.locator("#run-head")).to_contain_text("No pairs left.", timeout=10_000)
    expect(page.locator("#run-head")).not_to_have_attribute("hx-trigger", "every 3s")
    expect(page.get_by_role("button", name="Restart on a new snapshot")).to_be_visible()


def test_train_the_chain_promote_and_roll_back(
    furnished: Furnished, project: Project, ada: Person, visit: Visit
) -> None:
    """The button starts the chain; when it has ended, its policy is promoted and taken back again."""
    page = visit(ada, "/p/desk/train/")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="SFT")).to_be_visible()
    chain = Chain.objects.get(project=project, kind="sft+reward+ppo+evaluate", state=Chain.State.ACTIVE)
    versions = {}
    for stage in ("sft", "reward", "ppo"):
        versions[stage] = finish(chain.runs.get(stage=stage), {"steps": 60}, steps=10)
        # The page says the truth within seconds, without being loaded again.
        expect(page.locator(f".steps li:nth-child({len(versions)})")).to_contain_text("succeeded", timeout=10_000)
    finish(chain.runs.get(stage="evaluate"), {"prompts": 30}, steps=10)
    expect(page.locator(".steps li").last).to_contain_text("succeeded", timeout=10_000)
    policy = versions["ppo"]
    assert policy is not None
    page = visit(ada, f"/p/desk/models/{policy.public_id}/")
    page.get_by_label("Reason for overriding the findings").fill("Ben and Chloe read fifty of its responses.")
    page.get_by_role("button", name=f"Promote {policy}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    assert model_versions.serving(project) == furnished.sft
    page.get_by_role("button", name=f"Promote {policy}").click()
    dialog.get_by_role("button", name="Promote").click()
    expect(page.locator("main")).to_contain_text("generates new responses")
    assert model_versions.serving(project) == policy
    expect(page.locator("main")).to_contain_text("Ben and Chloe read fifty of its responses.")
    page = visit(ada, "/p/desk/models/")
    page.get_by_role("button", name=f"Roll back to {furnished.sft}").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("main")).to_contain_text("serves Support desk again")
    assert model_versions.serving(project) == furnished.sft


def test_polling_leaves_ticks_and_open_questions_alone(furnished: Furnished, ada: Person, visit: Visit) -> None:
    page = visit(ada, "/p/desk/train/")
    ticked = page.get_by_label(f"Compare run {furnished.running.number}")
    ticked.check()
    page.evaluate("document.getElementById('runs').dataset.old = 'yes'")
    expect(page.locator("#runs")).not_to_have_attribute("data-old", "yes", timeout=10_000)  # exchanged
    expect(ticked).to_be_checked()
    page = visit(ada, f"/p/desk/train/runs/{furnished.running.public_id}/")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_timeout(4_000)
    page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    expect(page.locator("#run-head")).to_contain_text("Canceling")


def test_buttons_work_without_script(
    furnished: Furnished, project: Project, ada: Person, browser: Any, live_server: Any, signed_in: Any
) -> None:
    worker("train")
    context = browser.new_context(java_script_enabled=False)
    cookie = signed_in(ada).cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/p/desk/models/{furnished.ppo.public_id}/")
    page.get_by_label("Reason for overriding the findings").fill("We read its responses.")
    page.get_by_role("button", name="Promote policy v3").click()
    expect(page.locator("main")).to_contain_text("generates new responses")
    assert model_versions.serving(project) == furnished.ppo
    page.goto(f"{live_server.url}/p/desk/train/")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="SFT")).to_be_visible()
    context.close()
