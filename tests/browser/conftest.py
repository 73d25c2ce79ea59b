"""Real Chromium against the real service: signed in, with an eye on the console and on the content security policy."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page

from feedback.models import Person
from tests.running_service import ROOT, Service, ended

# Playwright's synchronous API runs an event loop in this thread, and Django would refuse its own queries there.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

AXE = Axe()
COLOURS = ["color-contrast", "link-in-text-block"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service with a small project. Started once, for all that look at real processes."""
    with Service(tmp_path_factory.mktemp("turn") / "data") as service:
        told = service.manage("shell", given=(ROOT / "tests" / "tiny_project.py").read_text())
        service.token = json.loads(told.strip().splitlines()[-1])["token"]
        yield service


@pytest.fixture(scope="package")
def base(service: Service) -> dict[str, Any]:
    """Tokenizer and pretrained model, asked for over REST and run to their end. The model serves from then on."""
    status, chain = service.post("/api/v1/chains/", {"project": "tiny", "stages": ["tokenizer", "pretrain"], "seed": 1})
    assert status == 201, chain
    return ended(service, chain["id"])


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The Chromium of $CHROMIUM or of the PATH; without one, the one that Playwright has installed."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    return {**browser_type_launch_args, **({"executable_path": found} if found else {}), "args": ["--no-sandbox"]}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "locale": "en-US", "viewport": {"width": 1280, "height": 800}}


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the console complained about. Empty at the end, unless a test has looked at it and cleared it."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    yield heard
    assert heard == []


@pytest.fixture
def visit(page: Page, live_server: Any, complaints: list[str]) -> Callable[[Person, str], Page]:
    """`visit(person, path)`: the page as that person sees it."""

    def go(person: Person, path: str) -> Page:
        client = Client()
        client.force_login(person)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        page.goto(live_server.url + path)
        return page

    return go


@pytest.fixture
def said(page: Page) -> list[tuple[str, str]]:
    """(assignment, Idempotency-Key) of every answer that the page sends, in order."""
    sent: list[tuple[str, str]] = []

    def note(request: Any) -> None:
        if request.url.endswith("/submit/"):
            sent.append((request.url.split("/")[-3], request.headers["idempotency-key"]))

    page.on("request", note)
    return sent


def faults(page: Page, scheme: str) -> list[str]:
    """What axe finds against WCAG 2.2 AA in one scheme. In the dark one only colors are looked at again."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    only: dict[str, Any] = {"type": "tag", "values": RULES}
    if scheme == "dark":
        only = {"type": "rule", "values": COLOURS}
    if not page.evaluate("'axe' in window"):  # half a megabyte: once a page
        page.evaluate(AXE.axe_script)
    found = page.evaluate("options => axe.run(options)", {"runOnly": only, "resultTypes": ["violations"]})
    return [
        f"{scheme} {page.url}: {one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Fails with what axe finds against WCAG 2.2 AA, light and dark."""

    def check(page: Page) -> None:
        told = [*faults(page, "light"), *faults(page, "dark")]
        assert told == [], "\n".join(told)

    return check
