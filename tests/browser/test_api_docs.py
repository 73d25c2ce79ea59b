"""Swagger UI works under the strict content security policy."""

from typing import Any

import pytest
from playwright.sync_api import Page


@pytest.mark.django_db(transaction=True)
def test_the_docs_run_under_the_policy(page: Page, live_server: Any, complaints: list[str]) -> None:
    page.goto(f"{live_server.url}/api/docs/")
    page.wait_for_selector("text=Review an annotation", timeout=60_000)
    for _ in range(80):  # what is further down is drawn when it is scrolled to
        if page.get_by_text("Submit a prompt").count():
            break
        page.mouse.wheel(0, 500)
        page.wait_for_timeout(200)
    page.get_by_text("Submit a prompt").first.wait_for(timeout=10_000)
