"""Ada walks through the course: she chooses a depth, tries every box with the project's models, flips cards, takes a
quiz."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback import celery_app
from feedback.models import CardProgress, Learner, Person, Project, QuizResult
from feedback.rules.platform.learn.course import BY_KEY
from tests.untrained_models import register
from workers.execution import run_job

pytestmark = pytest.mark.django_db(transaction=True)
Visit = Callable[[Person, str], Page]
LOADING = 60_000  # ms: the first question to a model loads it, and the very first one the libraries


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs are done one after another by a thread, which has ended when the test has."""

    def send_task(name: str, args: tuple[int, ...] = (), **options: Any) -> None:
        if name == celery_app.RUN_JOB:
            ended.append(thread.submit(run_job, *args))

    ended: list[Future[None]] = []
    with ThreadPoolExecutor(1) as thread:
        monkeypatch.setattr(celery_app.app, "send_task", send_task)
        yield
        wait(ended)


def test_every_box_answers_with_the_projects_models(
    project: Project, ada: Person, visit: Visit, worker: None, accessible: Callable[[Page], None]
) -> None:
    for stage in ("pretrain", "sft", "reward", "mlm", "classify", "tag"):
        register(project, ada, stage)
    page = visit(ada, "/learn/?project=desk")
    page.get_by_role("button", name="Medium").click()
    page.get_by_role("link", name=BY_KEY["data-collection"].title).click()
    page.get_by_role("button", name="A is better").click()
    expect(page.locator("[data-facts]")).to_contain_text("Sorry about your router")

    def next_stage() -> None:
        page.get_by_role("link", name="Next stage").click()
        expect(page.get_by_role("button", name="Medium")).to_have_attribute("aria-pressed", "true")

    next_stage()
    expect(page.locator('[data-list="words"] li')).to_have_count(3)
    expect(page.locator("[data-merge]")).to_contain_text("that the tokenizer learned")
    page.locator("#merge").fill("0")
    expect(page.locator("[data-merge]")).to_have_text("No merge yet: single bytes.")
    expect(page.locator('[data-list="subwords"] li')).to_have_count(len("I love AI"))

    next_stage()
    bars = page.locator("[data-bars] li")
    expect(bars).to_have_count(10, timeout=LOADING)
    page.get_by_role("button", name="Add the likeliest").click()
    expect(page.locator("#text")).not_to_have_value("The sky is")
    page.get_by_role("button", name="Take back").click()
    expect(page.locator("#text")).to_have_value("The sky is")
    accessible(page)

    next_stage()
    expect(page.locator(".learn-guess")).to_have_count(1, timeout=LOADING)
    page.get_by_role("button", name="router").click()
    expect(page.locator(".learn-guess")).to_have_count(2)
    expect(page.locator(".learn-guess").last).to_contain_text("Hidden: router")

    next_stage()
    expect(page.locator("[data-filed]")).to_contain_text("Filed under:", timeout=LOADING)
    page.locator("#text").fill("Half off everything today")
    expect(page.locator("[data-mail-said]")).to_contain_text("Finished classification tasks appear here")

    next_stage()
    expect(page.locator("[data-legend] li")).to_have_count(3, timeout=LOADING)
    expect(page.locator("[data-marked] mark").first).to_be_visible()

    next_stage()
    expect(page.locator('[data-about="sft"]')).to_contain_text("tokens", timeout=LOADING)

    next_stage()
    expect(page.locator("[data-wins]")).to_contain_text("people prefer A with a probability of", timeout=LOADING)
    expect(page.locator('[data-words="1"] .learn-effect')).to_have_count(8)
    accessible(page)

    next_stage()
    expect(page.locator(".learn-runs article")).to_have_count(2)
    before = page.locator(".learn-runs .learn-output").last.inner_text()
    page.locator("#look").fill("16")
    expect(page.locator("[data-look]")).to_contain_text("Look 17 of 17")
    expect(page.locator(".learn-runs .learn-output").last).not_to_have_text(before)
    expect(page.locator(".learn-runs article").last).to_contain_text("Alarm:")
    accessible(page)

    next_stage()
    page.locator("#response").select_option(label="Example 3")
    expect(page.locator("[data-bars] li").last).to_contain_text("−2.50")
    expect(page.locator("[data-live-bars] li")).to_have_count(4, timeout=LOADING)
    assert Learner.objects.get(person=ada).depth == "medium"


def test_cards_and_a_quiz_by_keyboard(
    project: Project, ben: Person, visit: Visit, accessible: Callable[[Page], None]
) -> None:
    page = visit(ben, "/learn/cards/?stage=rlhf")
    expect(page.locator("[data-card]")).to_have_count(1)
    first = page.locator("[data-card]").get_attribute("data-card")
    expect(page.locator("[data-back]")).to_be_hidden()
    page.keyboard.press(" ")
    expect(page.locator("[data-back]")).to_be_visible()
    accessible(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-count]")).to_have_text("1")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-card]")).not_to_have_attribute("data-card", str(first))
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[data-cards]")).to_contain_text("All cards are done")
    expect(page.locator("[data-count]")).to_have_text("7")
    assert CardProgress.objects.filter(person=ben, known=True).count() == 7

    page = visit(ben, "/learn/rlhf/")
    questions = BY_KEY["rlhf"].quiz
    for place, question in enumerate(questions):
        chosen = question.right if place else (question.right + 1) % len(question.choices)
        page.locator(f"input[name=question-{place}]").nth(chosen).check()
        expect(page.locator(".learn-reason").nth(place)).to_contain_text(question.reason)
    expect(page.locator("[data-quiz-result]")).to_contain_text("4 of 5 right")
    accessible(page)
    result = QuizResult.objects.get()
    assert (result.person, result.stage, result.right) == (ben, "rlhf", 4)
