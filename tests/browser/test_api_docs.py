"""Swagger UI works under the strict content security policy."""

from typing import Any

import pytest
from playwright.sync_api import Page


@pytest.mark.django_db(transaction=True)
def test_the_docs_run_under_the_policy(page: Page, live_server: Any, complaints: list[str]) -> None:
    page.goto(f"{live_server.url}/api/docs/")
    page.wait_for_selector("text=Submit a prompt", timeout=60_000)
