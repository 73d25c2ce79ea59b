"""Corpora in a real browser: told in pictures, without a fault for keyboards, phones and screen readers."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Document, Job, Person, Project
from feedback.services.data import corpora
from workers.execution import run_job

pytestmark = pytest.mark.django_db(transaction=True)

THINGS = ["ferry", "train", "lighthouse", "harbour", "market", "orchard", "bridge", "river", "mill", "garden"]


def rows() -> bytes:
    import json

    told = []
    for number in range(40):
        thing, other = THINGS[number % 10], THINGS[(number * 3 + 1) % 10]
        text = f"In year {1900 + number} the {thing} was older than the {other}. " * (1 + number % 3 * 4)
        source = ("gazette", "diary", "almanac")[number % 3]
        told.append({"text": text, "source": source, "licence": ("CC0", "MIT")[number % 2]})
    told.append({"text": "12 34 56 78 90"})
    return "".join(json.dumps(row) + "\n" for row in told).encode()


def work() -> None:
    while job := Job.objects.filter(status="queued").first():
        run_job(job.pk)


def test_a_corpus_is_added_to_looked_at_and_thinned(
    visit: Any, page: Page, project: Project, ada: Person, accessible: Any, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows())
    corpus = corpora.open_corpus(project=project, by=ada, name="Gazette", description="Notes on a valley.")
    visit(ada, f"/p/desk/data/corpora/{corpus.public_id}/")
    accessible(page)
    page.set_input_files("#file", str(file))
    page.get_by_label("Filter by quality").check()
    page.get_by_role("button", name="Add documents").click()
    expect(page.get_by_role("heading", name="rows.jsonl")).to_be_visible()
    work()
    expect(page.get_by_text("Too few letters").first).to_be_visible()
    accessible(page)
    page.goto(page.url.split("/uploads/")[0] + f"/{corpus.public_id}/")
    expect(page.get_by_role("heading", name="Vocabulary")).to_be_visible()
    accessible(page)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("link", name="Browse documents").click()
    page.wait_for_url("**/documents/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    accessible(page)
    page.locator("tbody input[type=checkbox]").first.focus()
    page.keyboard.press("Space")
    page.get_by_label("Reason for removal").fill("no licence")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Removed 1.")).to_be_visible()
    assert Document.objects.exclude(removed_at=None).count() == 1
    page.goto(page.url + "?removed=1")
    expect(page.get_by_text("no licence")).to_be_visible()
    accessible(page)
