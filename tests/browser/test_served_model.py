"""A trained model at work behind real processes: OpenAI's own client asks it, Rosa talks with it, nobody waits behind a
batch, and clients that leave in the middle leave nothing behind."""

import contextlib
import http.client
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_talk import state
from tests.running_service import Service

PASSWORD = "a-long-password-for-tests"
MESSAGES: Any = [{"role": "user", "content": "my lamp is broken"}]
TALKER = f"""
from feedback.models import Person, Project
from feedback.services.platform import people; from feedback.services.platform import projects
project = Project.objects.get(slug="tiny")
admin = Person.objects.get(username="admin")
projects.update_project(by=admin, project=project, kinds=["comparison", "conversation"])
rosa = Person.objects.filter(username="rosa").first()  # there already where the test is tried again
rosa = rosa or people.create_person(by=None, username="rosa", password="{PASSWORD}")
projects.set_member(by=admin, project=project, person=rosa, role="annotator")
"""
BATCH = """
from django.db import transaction
from feedback.models import Person, Project
from feedback.services.collection import prompts
project, admin = Project.objects.get(slug="tiny"), Person.objects.get(username="admin")
with transaction.atomic():
    for number in range(600):
        said = [{"role": "user", "content": f"my lamp is number {number}"}]
        prompts.submit_prompt(project=project, by=admin, messages=said, responses_wanted=16)

"""


@pytest.fixture(scope="module")
def client(service: Service, base: dict[str, Any]) -> Iterator[openai.OpenAI]:
    assert base["state"] == "succeeded", base
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.token, timeout=60) as client:
        yield client


def test_openais_client_asks_and_rates(service: Service, client: openai.OpenAI) -> None:
    told = client.chat.completions.create(model="tiny", messages=MESSAGES, n=2, seed=5, max_tokens=12, temperature=0.9)
    assert [choice.index for choice in told.choices] == [0, 1] and told.usage and told.usage.prompt_tokens > 0
    assert told.usage.completion_tokens <= 24 and {c.finish_reason for c in told.choices} <= {"stop", "length"}
    again = client.chat.completions.create(model="tiny", messages=MESSAGES, n=2, seed=5, max_tokens=12, temperature=0.9)
    texts = [choice.message.content for choice in told.choices]
    assert texts == [choice.message.content for choice in again.choices] and again.id != told.id
    assert service.post("/api/v1/feedback/", {"response": told.id, "thumbs": "down"})[0] == 201
    [name, *others] = [one.id for one in client.models.list()]
    assert name == "tiny" and others and client.models.retrieve(others[0]).owned_by == "touchstone"
    assert client.chat.completions.create(model=others[0], messages=MESSAGES, max_tokens=2).model == others[0]


def test_openais_client_streams(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": MESSAGES, "max_tokens": 24}
    whole = ""
    for seed in range(20):  # what a seed brings follows from the training; one of them says something
        asked["seed"] = seed
        whole = client.chat.completions.create(**asked).choices[0].message.content or ""
        if len(whole) > 3:
            break
    chunks = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens > 0
    with client.chat.completions.stream(**asked) as stream:
        events = [event.type for event in stream]
        assert stream.current_completion_snapshot.choices[0].message.content == whole
    assert events.count("content.done") == 1
    end = whole[len(whole) // 2]
    cut = client.chat.completions.create(stop=[end, "\N{SNOWMAN}"], **asked).choices[0]
    assert (cut.message.content, cut.finish_reason) == (whole.partition(end)[0], "stop")


def test_openais_client_reads_our_errors(service: Service, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as absent:
        client.chat.completions.create(model="nothing", messages=MESSAGES)
    assert absent.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="tiny", messages=MESSAGES, tools=[{"type": "function"}])  # type: ignore[list-item]
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tools")
    with pytest.raises(openai.NotFoundError, match="only chat completions and models are supported"):
        client.embeddings.create(model="tiny", input="x")
    stranger = openai.OpenAI(base_url=f"{service.url}/v1", api_key="ts_wrong")
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_who_leaves_in_the_middle_leaves_nothing_behind(service: Service, client: openai.OpenAI) -> None:
    """More clients hang up than there are places for streams; then all places are free again."""
    body = json.dumps({"model": "tiny", "messages": MESSAGES, "stream": True, "max_tokens": 24})
    headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
    for _ in range(30):
        connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
        connection.request("POST", "/v1/chat/completions", body, headers)
        reply = connection.getresponse()
        assert reply.status in (200, 429, 503), "one's share, or the cap, is told with a status of its own"
        if reply.status == 200:
            assert reply.read(20).startswith(b"data: ")
        connection.close()
    waiting = "/api/v1/jobs/?project=tiny&kind=generation"
    service.until(lambda: all(j["status"] == "succeeded" for j in service.get(waiting)[1]["results"]), 60, "the rest")
    with contextlib.ExitStack() as open_:
        streams = [open_.enter_context(event_stream(service)) for _ in range(6)]
        assert all(stream.status == 200 for stream in streams)


def event_stream(service: Service) -> Any:
    prompt = service.get("/api/v1/prompts/?project=tiny&source=openai")[1]["results"][0]["id"]
    address = f"{service.url}/api/v1/prompts/{prompt}/stream/"
    return urllib.request.urlopen(
        urllib.request.Request(address, headers={"Authorization": f"Bearer {service.token}"}), timeout=30
    )


def test_a_talk_does_not_wait_behind_a_batch(service: Service, client: openai.OpenAI) -> None:
    """Thousands of responses are asked for; a client that comes then is answered while most of them still wait."""
    service.manage("shell", given=BATCH)
    [batch] = service.until(lambda: running(service), 30, "the batch to begin")
    begun = time.monotonic()
    assert client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=8).choices
    waited = time.monotonic() - begun
    assert batch in running(service)
    print(f"a completion of 8 tokens in the middle of a batch of 9600: {waited:.2f} s")


def running(service: Service) -> list[str]:
    """Generation jobs that are at work."""
    jobs = service.get("/api/v1/jobs/?project=tiny&kind=generation")[1]["results"]
    return [job["id"] for job in jobs if job["status"] == "running"]


def test_rosa_talks_with_the_trained_model(service: Service, base: dict[str, Any], browser: Browser) -> None:
    service.manage("shell", given=TALKER)
    page: Page = browser.new_context(locale="en-US").new_page()
    page.goto(f"{service.url}/p/tiny/talk/")
    page.get_by_label("Username").fill("rosa")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()  # its keys are heard
    page.locator("#message").fill("my lamp is broken")
    page.keyboard.press("Control+Enter")
    for turn in (1, 2):
        page.wait_for_function(
            "turn => document.documentElement.dataset.talkReady === `ready ${turn}`", arg=turn, timeout=60_000
        )
        texts = page.locator("[data-text]").all_text_contents()
        page.keyboard.press("5" if texts[0] == texts[1] else "1")
        page.keyboard.press("Enter")
        state(page, f"open {turn}")
        expect(page.locator(".said-model")).to_have_count(turn)
        if turn == 1:
            page.keyboard.type("it is still dark")
            page.keyboard.press("Control+Enter")
    page.context.close()
