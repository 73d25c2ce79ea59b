"""Responses as server-sent events: piece by piece, after a worker's death, without a relay, and not for everybody."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from feedback.api.collection import response_streams
from feedback.models import Job, Person, Project, Prompt, Response, WorkerProcess
from feedback.selectors.collection import response_streams as response_stream_selectors
from feedback.streaming import StreamWriter
from tests.factories import make_model, make_prompt, write_answers
from tests.servers import valkey

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(Path(tmp_path_factory.mktemp("relay"))) as url:
        yield url


@pytest.fixture
def asked(project: Project, ada: Person, settings: Any, relay: str, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """Ada's prompt with two responses that a worker is writing."""
    settings.STREAM_URL = relay
    monkeypatch.setattr(response_stream_selectors, "LISTEN", 0.05)
    monkeypatch.setattr(response_stream_selectors, "QUIET", 0.1)
    make_model(project, ada, serve=True)
    prompt = make_prompt(project, by=ada, responses_wanted=2)
    WorkerProcess.objects.create(
        name="generate@here", queue="generate", pid=1, host="here", started_at=timezone.now(), seen_at=timezone.now()
    )
    prompt.responses.update(state="running", job=Job.objects.get(kind="generation"))
    Job.objects.filter(kind="generation").update(status="running", heartbeat_at=timezone.now())
    return prompt


@pytest.fixture
def client(ada: Person, client_for: Any) -> APIClient:
    return client_for(ada)


class Reading:
    """An open stream, event by event."""

    def __init__(self, client: APIClient, path: str, **headers: str) -> None:
        self.reply = cast(Any, client.get(path, None, False, HTTP_ACCEPT="text/event-stream", **headers))
        assert self.reply.status_code == 200, self.reply.content
        assert self.reply["Content-Type"] == "text/event-stream"
        self.chunks = iter(self.reply.streaming_content)

    def until(self, *names: str) -> tuple[str, dict[str, Any]]:
        """The next event of one of these names."""
        for chunk in self.chunks:
            head, data = chunk.decode().removesuffix("\n\n").split("\n")
            name = head.removeprefix("event: ")
            if name in names:
                return name, json.loads(data.removeprefix("data: "))
        raise AssertionError(f"no {names} came")

    def hang_up(self) -> None:
        """As a server does when its client has gone, but for the end of the request, which would close the test's own
        database connection."""
        for close in self.reply._resource_closers:
            close()

    def rest(self) -> list[str]:
        return [chunk.decode().split("\n")[0].removeprefix("event: ") for chunk in self.chunks]


def test_two_responses_are_read_as_they_come(asked: Prompt, client: APIClient) -> None:
    one, two = (row.public_id for row in asked.responses.order_by("pk"))
    pen = StreamWriter()
    pen.begin([one, two])
    pen.write({one: "Restart", two: "<script>alert(1)</script>\n\nevent: end"})
    reading = Reading(client, f"/api/v1/prompts/{asked.public_id}/stream/")
    assert {reading.until("text")[1]["of"], reading.until("text")[1]["of"]} == {str(one), str(two)}
    pen.write({one: " it.\n\nThen – wait 🌿."})
    assert reading.until("text")[1] == {"of": str(one), "text": " it.\n\nThen – wait 🌿."}
    write_answers(asked, "Restart it.\n\nThen – wait 🌿.", "No.")
    pen.end([one, two])
    ends = {data["of"]: data for data in (reading.until("end")[1], reading.until("end")[1])}
    assert ends[str(one)] == {
        "of": str(one), "state": "ready", "text": "Restart it.\n\nThen – wait 🌿.", "finish_reason": "stop"
    }  # fmt: skip
    assert ends[str(two)]["text"] == "No.", "what stands in the row, whatever was told before"
    assert reading.rest() == ["done"]


def test_after_a_worker_died_the_text_begins_again(asked: Prompt, client: APIClient) -> None:
    one = asked.responses.earliest("pk").public_id
    StreamWriter().begin([one])
    StreamWriter().write({one: "Half a"})
    reading = Reading(client, f"/api/v1/responses/{one}/stream/")
    assert reading.until("text")[1]["text"] == "Half a"
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=25))
    assert "no heartbeat for 25 s" in reading.until("waiting")[1]["text"]
    StreamWriter().begin([one])  # the next attempt
    assert reading.until("restart", "text")[0] == "restart"
    StreamWriter().write({one: "Half a word."})
    assert reading.until("text")[1]["text"] == "Half a word."
    write_answers(asked, None, None)
    data = reading.until("end")[1]
    assert (data["state"], data["text"]) == ("failed", "The model was revoked.")
    reading.hang_up()


def test_a_relay_that_is_away_costs_only_the_typing(asked: Prompt, client: APIClient, settings: Any) -> None:
    settings.STREAM_URL = "redis://127.0.0.1:9/0"
    pen = StreamWriter()
    pen.begin([asked.responses.earliest("pk").public_id])
    assert pen.away_until > 0, "and nothing was raised"
    WorkerProcess.objects.all().delete()
    reading = Reading(client, f"/api/v1/prompts/{asked.public_id}/stream/")
    assert "No worker is running" in reading.until("waiting")[1]["text"]
    write_answers(asked, "One.", "Two.")
    assert reading.until("end")[1]["text"] == "One."
    assert reading.rest() == ["end", "done"]


def test_what_is_ready_is_told_at_once(asked: Prompt, client: APIClient) -> None:
    write_answers(asked, "One.", "Two.")
    assert Reading(client, f"/api/v1/prompts/{asked.public_id}/stream/").rest() == ["end", "end", "done"]


def test_a_stream_says_when_it_has_lasted_long_enough(
    asked: Prompt, client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_streams, "LONGEST", 0.2)
    assert Reading(client, f"/api/v1/prompts/{asked.public_id}/stream/").rest()[-1] == "timeout"
    assert Response.objects.filter(state="running").count() == 2


def test_a_process_holds_so_many_streams_and_no_more(
    asked: Prompt, client: APIClient, hana: Person, rosa: Person, client_for: Any, settings: Any
) -> None:
    path = f"/api/v1/prompts/{asked.public_id}/stream/"
    half = settings.LIVE_STREAMS // 2
    held = [Reading(client, path) for _ in range(half)]
    held[0].until("waiting")
    mine = client.get(path, HTTP_ACCEPT="text/event-stream")  # half of the places are the most for one
    assert (mine.status_code, mine["Retry-After"], mine.json()["errors"][0]["code"]) == (429, "3", "throttled")
    others = [client_for(rosa), client_for(hana)]
    held += [Reading(others[place % 2], path) for place in range(settings.LIVE_STREAMS - half)]
    refused = client.get(path, HTTP_ACCEPT="text/event-stream")
    assert (refused.status_code, refused["Retry-After"], refused["Content-Type"]) == (503, "3", "application/json")
    assert refused.json()["errors"][0]["code"] == "too_many_streams"
    for one in held:  # one that was read from and others that never were: every place comes back
        one.hang_up()
    again = [Reading([client, *others][place % 3], path) for place in range(settings.LIVE_STREAMS)]
    write_answers(asked, "One.", "Two.")
    assert all(one.rest()[-1] == "done" for one in again)
    assert client.get(path).status_code == 200, "a stream that has ended holds no place, closed or not"


def test_a_stream_is_its_askers_alone(asked: Prompt, rosa: Person, ben: Person, dan: Person, client_for: Any) -> None:
    paths = [f"/api/v1/prompts/{asked.public_id}/stream/"]
    paths += [f"/api/v1/responses/{row.public_id}/stream/" for row in asked.responses.all()]
    write_answers(asked, "One.", "Two.")
    for path in paths:
        assert client_for(rosa).get(path).status_code == 200, "a reviewer"
        assert client_for(ben).get(path).status_code == client_for(dan).get(path).status_code == 404
        assert client_for(rosa, "annotate").get(path).status_code == 403
        assert APIClient().get(path).status_code == 401
