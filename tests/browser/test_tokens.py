"""Tokens appear while one types, at any width, in both schemes, without a fault that axe knows."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Person, Project
from tests.data.test_tokenizers import tokenizer, version

pytestmark = pytest.mark.django_db(transaction=True)


def test_tokens_follow_the_typing(
    visit: Any, page: Page, project: Project, ada: Person, accessible: Any, tmp_path: Path
) -> None:
    version(project, ada, tokenizer(tmp_path / "a", 300))
    other = version(project, ada, tokenizer(tmp_path / "b", 258))
    visit(ada, "/p/desk/models/tokens/")
    page.get_by_label("Compare with").select_option(str(other.public_id))
    expect(page.locator(".tokens")).to_have_count(2)
    page.get_by_role("textbox", name="Text").fill("low lower\nlowest 🐙")
    expect(page.locator(".tokens").first).to_contain_text("1 of 4")
    accessible(page)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
