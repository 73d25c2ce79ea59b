"""Look first: the page waits by itself, shows what is learned, and has its button only where nothing blocks."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Chain, Job, Person, Project
from tests.furnish import Furnished, furnish

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]
Check = Callable[[Page], None]

STAGE: dict[str, Any] = {
    "schema": 1,
    "ok": True,
    "stage": "reward",
    "findings": [
        {
            "name": "length",
            "severity": "warn",
            "kind": "data",
            "sentence": "The longer answer was preferred in 81% of the pairs; length alone may be learnt.",
            "remedy": "Use the length-controlled metrics of the evaluation, or add good short responses.",
            "lines": [],
        }
    ],
    "snapshot": {"hash": "ab" * 32, "rows": {"train": {"preference": 480, "prompt": 76}, "test": {"preference": 60}}},
    "learned": {"rows": 480, "nothing": 2, "tokens": 18_204, "longest": 91},
    "examples": [
        {
            "line": 12,
            "told": "strength 2",
            "sequences": [
                {
                    "name": name,
                    "tokens": [["<|user|>", False], ["my router", False], [" is slow", False], ["<|assistant|>", False]]
                    + [[word, True] for word in (*words.split("|"), "<|end|>")],
                    "more": 0,
                }
                for name, words in (("chosen", "Hello,| please| restart| the| router|."), ("rejected", "No|."))
            ],
        }
    ],
    "balance": {"strength 0": 80, "strength 1": 160, "strength 2": 200, "strength 3": 40},
    "memory": {
        "weights": 620_000,
        "gradients": 620_000,
        "optimiser": 1_240_000,
        "activations": 96_000_000,
        "libraries": 629_145_600,
        "total": 727_625_600,
        "free": 16_000_000_000,
        "where": "this machine",
    },
    "seconds": {"low": 31.0, "high": 124.0, "steps": 60},
    "notes": [],
}
BLOCK = {
    "name": "contamination",
    "severity": "block",
    "kind": "data",
    "sentence": "3 rows of test.jsonl ask word for word what train.jsonl asks.",
    "remedy": "Freeze the snapshot again: a prompt belongs in one split.",
    "lines": [4, 9, 31],
}


@pytest.fixture
def furnished(project: Project, ada: Person, ben: Person, chloe: Person) -> Furnished:
    return furnish(project, ada, [ben, chloe], answers=4)


def ended(job: Job, **changes: Any) -> None:
    stage = STAGE | changes
    Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED, result={"ok": stage["ok"], "stages": [stage]})


def test_look_first_then_start(
    furnished: Furnished, project: Project, ada: Person, visit: Visit, accessible: Check
) -> None:
    page = visit(ada, "/p/desk/train/")
    page.get_by_role("button", name="Run preflight check").first.click()
    expect(page.get_by_role("heading", name="Preflight check")).to_be_visible()
    job = Job.objects.get(kind=Job.Kind.PREFLIGHT)
    expect(page.get_by_role("button", name="Start training")).to_have_count(0)
    ended(job)
    expect(page.locator("#preflight")).to_contain_text("No blocking findings", timeout=10_000)
    assert page.locator("#preflight mark").all_inner_texts()[:2] == ["Hello,", " please"]
    expect(page.locator("#preflight")).not_to_have_attribute("hx-trigger", "every 1s")
    accessible(page)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="SFT")).to_be_visible()
    assert Chain.objects.filter(project=project, state=Chain.State.ACTIVE, kind="sft+reward+ppo+evaluate").count() == 1


def test_what_nobody_can_override_is_said_and_there_is_no_button(
    furnished: Furnished, ada: Person, visit: Visit, accessible: Check
) -> None:
    page = visit(ada, "/p/desk/train/")
    page.get_by_role("button", name="Run preflight check").first.click()
    finding = BLOCK | {"name": "no_rows"}
    ended(Job.objects.get(kind=Job.Kind.PREFLIGHT), ok=False, findings=[finding, *STAGE["findings"]])
    expect(page.get_by_role("alert")).to_contain_text("Freeze the snapshot again", timeout=10_000)
    expect(page.locator("#preflight")).to_contain_text("Lines 4, 9, 31.")
    expect(page.locator("#preflight form")).to_have_count(0)
    accessible(page)


def test_what_a_person_may_override_starts_nothing_until_they_tick_it(
    furnished: Furnished, ada: Person, visit: Visit, accessible: Check
) -> None:
    page = visit(ada, "/p/desk/train/")
    chains = Chain.objects.count()
    page.get_by_role("button", name="Run preflight check").first.click()
    ended(Job.objects.get(kind=Job.Kind.PREFLIGHT), ok=False, findings=[BLOCK, *STAGE["findings"]])
    expect(page.get_by_role("alert")).to_contain_text("Freeze the snapshot again", timeout=10_000)
    page.locator("#preflight form button").click()
    expect(page.locator("#preflight form input[type=checkbox]")).to_be_focused()
    assert Chain.objects.count() == chains
    accessible(page)
