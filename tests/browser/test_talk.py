"""Rosa talks three turns by keyboard in a real browser: answers stream in, pages are loaded again, the net is cut."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from feedback.api.collection import response_streams
from feedback.errors import TooManyStreams
from feedback.models import Annotation, Job, Person, PreferencePair, Project, Prompt, WorkerProcess
from feedback.streaming import StreamWriter
from tests.browser.test_desk import settle
from tests.factories import make_model, write_answers
from tests.servers import valkey

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]
HOSTILE = "<b>bold</b><img src=x onerror=document.title='hacked'> and **strong**"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(Path(tmp_path_factory.mktemp("relay"))) as url:
        yield url


@pytest.fixture
def talk(project: Project, ada: Person, rosa: Person, visit: Visit, settings: Any, relay: str) -> Page:
    """Rosa before the first message."""
    settings.STREAM_URL = relay
    make_model(project, ada, serve=True)
    project.kinds = ["comparison", "conversation"]
    project.dimensions = []
    project.save()
    now = timezone.now()
    WorkerProcess.objects.create(
        name="generate@here", queue="generate", pid=1, host="here", started_at=now, seen_at=now
    )
    page = visit(rosa, "/p/desk/talk/")
    expect(page.locator("#message")).to_be_focused()
    return page


def state(page: Page, wanted: str) -> None:
    page.wait_for_function("wanted => document.documentElement.dataset.talkReady === wanted", arg=wanted, timeout=10000)


def awaited() -> Prompt:
    """The newest turn, taken up by a worker."""
    deadline = time.monotonic() + 10
    while not (turn := Prompt.objects.filter(responses__state="queued").last()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    turn.responses.filter(state="queued").update(state="running")
    Job.objects.filter(status="queued").update(status="running")
    StreamWriter().begin(list(turn.responses.values_list("public_id", flat=True)))
    return turn


def worker_writes(page: Page, *texts: str) -> Prompt:
    """Half of each text, seen in the page; then the rest."""
    turn = awaited()
    ids = list(turn.responses.order_by("pk").values_list("public_id", flat=True))
    half = [text[: len(text) // 2] for text in texts]
    StreamWriter().write(dict(zip(ids, half, strict=True)))
    for text in half:
        expect(page.locator("[data-coming]").filter(has_text=text)).to_have_count(1)
    write_answers(turn, *texts)
    StreamWriter().end(ids)
    return turn


def side_of(page: Page, text: str) -> str:
    return page.locator("[data-side]").filter(has_text=text).get_attribute("data-side") or ""


def test_three_turns_by_keyboard(talk: Page, complaints: list[str]) -> None:
    page = talk
    page.keyboard.type("My router is slow.")
    page.keyboard.press("Control+Enter")
    state(page, "writing 1")
    worker_writes(page, "Restart it and wait a minute.", HOSTILE)
    state(page, "ready 1")
    hostile = page.locator("[data-side]").filter(has_text="onerror")
    expect(hostile.locator("strong")).to_have_text("strong")
    assert hostile.locator("img, b").count() == 0 and page.title().startswith("Chat")
    better = side_of(page, "Restart it")
    page.keyboard.press("2" if better == "a" else "8")
    expect(page.locator(f"[data-side={better}] [data-verdict]")).to_have_text("✓ better")
    page.reload()  # in the middle: what was pressed is still there
    state(page, "ready 1")
    expect(page.locator(f"[data-side={better}] [data-verdict]")).to_have_text("✓ better")
    page.keyboard.press("Enter")
    state(page, "open 1")
    expect(page.locator(".said-model").last).to_contain_text("Restart it and wait a minute.")

    page.keyboard.type("I did that.")
    page.reload()
    state(page, "open 1")
    assert page.input_value("#message") == "I did that.", "a message is kept while it is written"
    page.keyboard.press("Control+Enter")
    state(page, "writing 2")
    page.reload()
    state(page, "writing 2")
    worker_writes(page, "Then call us, please.", "Then move it closer.")
    state(page, "ready 2")
    page.context.set_offline(True)
    page.keyboard.press("9")
    page.keyboard.press("Enter")
    expect(page.locator("#outbox")).to_contain_text("Your choice waits in this browser")
    assert Annotation.objects.count() == 1
    page.context.set_offline(False)
    settle(page)
    state(page, "open 2")

    page.keyboard.type("And now?")
    page.keyboard.press("Control+Enter")
    state(page, "writing 3")
    worker_writes(page, "No idea at all.", "Nothing helps here.")
    state(page, "ready 3")
    for key in ("x", "1", "9", "Escape"):  # what is pressed in a dialog chooses nothing behind it
        page.keyboard.press(key)
    expect(page.locator("#end")).to_be_hidden()
    assert page.locator("[name=choice]:checked").count() == 0
    page.keyboard.press("0")
    page.keyboard.press("w")
    page.keyboard.type("I am sorry. Somebody will call you today.")
    page.keyboard.press("Control+Enter")
    state(page, "open 3")
    expect(page.locator(".said-model").last).to_contain_text("written by you")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("x")
    page.locator("#end [data-ends]").click()
    state(page, "ended 3")

    rows = list(Annotation.objects.order_by("pk"))
    assert [row.payload["outcome"] for row in rows] == ["prefer", "prefer", "both_bad"]
    assert rows[0].payload["strength"] == 2 and rows[1].payload["chosen"] == rows[1].shown[1]
    assert PreferencePair.objects.count() == 4 and all(row.seconds > 0 for row in rows)
    last = Prompt.objects.latest("turn")
    assert [message["role"] for message in last.messages] == ["user", "assistant"] * 2 + ["user"]
    assert last.messages[1]["content"] == "Restart it and wait a minute."
    assert all("ERR_INTERNET_DISCONNECTED" in one for one in complaints)
    complaints.clear()


def test_the_page_copes_without_a_stream(talk: Page, settings: Any, complaints: list[str]) -> None:
    """No relay and no room for streams: the page asks for itself. What fails can be asked for again by a key."""
    settings.STREAM_URL = "redis://127.0.0.1:9/0"
    taken: list[int] = []
    with suppress(TooManyStreams):
        while True:
            response_streams.places.take(len(taken))
            taken.append(len(taken))
    try:
        page = talk
        page.keyboard.type("Hello?")
        page.keyboard.press("Control+Enter")
        state(page, "writing 1")
        write_answers(awaited(), None, "Hello.")
        state(page, "failed 1")
        expect(page.locator(".talk-failed")).to_contain_text("The model was revoked.")
        page.locator("h1").click()
        page.keyboard.press("r")
        state(page, "writing 1")
        write_answers(awaited(), "Good day.")
        state(page, "ready 1")
    finally:
        for caller in taken:
            response_streams.places.give_back(caller)
    assert all("503" in one for one in complaints)
    complaints.clear()


def test_accessible_and_within_a_phones_width(talk: Page, accessible: Callable[[Page], None]) -> None:
    page = talk
    accessible(page)
    page.locator("#message").fill("My router is slow, what can I do about that?")
    page.get_by_role("button", name="Start", exact=True).click()
    state(page, "writing 1")
    accessible(page)
    worker_writes(page, "Restart it.\n\n1. Pull the plug\n2. Wait", "Buy another `router`, it is old.")
    state(page, "ready 1")
    page.set_viewport_size({"width": 360, "height": 640})
    page.locator("[name=choice][value='0']").click()
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Continue with this").click()
    state(page, "open 1")
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_two_versions_are_asked_side_by_side_by_keyboard(
    talk: Page, project: Project, ada: Person, visit: Visit, accessible: Callable[[Page], None]
) -> None:
    make_model(project, ada)
    page = visit(ada, "/p/desk/models/playground/")
    expect(page.get_by_label("Prompt")).to_be_focused()
    page.keyboard.type("My router is slow.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#answers[data-stream]")
    turn = awaited()
    ids = list(turn.responses.order_by("pk").values_list("public_id", flat=True))
    turn.responses.update(state="running")
    StreamWriter().begin(ids)
    StreamWriter().write({ids[0]: "Restart", ids[1]: "<i>Buy</i>"})
    for text in ("Restart", "<i>Buy</i>"):
        expect(page.locator("[data-coming]").filter(has_text=text)).to_have_count(1)
    accessible(page)
    write_answers(turn, "Restart **it**.", "<i>Buy</i> another.")
    StreamWriter().end(ids)
    expect(page.locator("#answers strong")).to_have_text("it")
    assert page.locator("#answers i").count() == 0
    page.keyboard.press("a")
    expect(page.get_by_label("Prompt")).to_be_focused()
