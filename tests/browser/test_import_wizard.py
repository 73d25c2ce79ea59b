"""An admin imports a file with the keyboard alone: choose columns, check, repair a cell, import."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from feedback.models import ImportDraft, Job, Person, Project, Task
from tests.browser.test_every_page import look
from workers.execution import run_job

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = (
    "frage;gpt_output;llama_output;winner\n"
    "Why is the sky blue?;Because it scatters.;It is not.;gpt_output\n"
    "Why is grass green?;It is painted.;Chlorophyll.;llama_output\n"
    "Why is snow white?;It is cold.;It scatters all light.;nobody knows\n"
)
SHOTS = os.environ.get("SHOTS", "")


def run_all() -> None:
    for job in Job.objects.filter(status="queued"):
        run_job(job.pk)


def checked(page: Page, name: str) -> list[str]:
    """What is wrong with the page in light, dark and on a phone."""
    wrong = look(page, page.url)
    if SHOTS:
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 844})
            page.screenshot(path=f"{SHOTS}/{name}-{scheme}-{width}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})
    return wrong


def test_from_pasted_rows_to_tasks_by_keyboard(
    project: Project, ada: Person, visit: Callable[[Person, str], Page], complaints: list[str], live_server: Any
) -> None:
    page = visit(ada, "/p/desk/data/imports/")
    wrong = checked(page, "1-file")
    page.get_by_text("Paste rows instead").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Rows, with the names").fill(ROWS)
    page.get_by_role("button", name="Next: columns").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/drafts/**")
    assert page.get_by_label("gpt_output", exact=True).input_value() == "response_a"
    assert page.get_by_label("winner", exact=True).input_value() == "choice"
    wrong += checked(page, "2-columns")
    page.get_by_label("frage", exact=True).focus()
    page.keyboard.type("Prompt or text")
    page.get_by_role("button", name="Next: check the file").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/check/")
    run_all()
    page.get_by_text("1 of 3 rows would be").wait_for()
    wrong += checked(page, "3-check")
    cell = page.get_by_label("winner, line 4")
    assert cell.input_value() == "nobody knows"
    cell.fill("tie")
    page.keyboard.press("Enter")
    page.get_by_text("1 line repaired").wait_for()
    run_all()
    page.get_by_role("button", name="Import 3 rows").wait_for()
    assert not Task.objects.exists()
    page.get_by_role("button", name="Import 3 rows").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Result").wait_for()
    run_all()
    page.get_by_text("Succeeded").first.wait_for()
    wrong += checked(page, "4-import")
    assert Task.objects.count() == 3
    assert ImportDraft.objects.get().job is not None
    assert wrong == [], "\n".join(wrong)
