"""One caller ends where another's share begins: by number and by cost, in all processes together."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from feedback.errors import TooManyRequests
from feedback.models import Person, Project
from feedback.services.collection import generation, prompts
from feedback.services.collection.generation_quota import LIVE_AT_ONCE, QUEUED
from feedback.services.platform import limits, tokens
from feedback.services.platform.allowance import Ledger, ledger
from feedback.web import middleware
from tests.conftest import ClientFor


def test_all_tokens_and_sessions_of_a_person_share_one_allowance(
    project: Project, ben: Person, chloe: Person, client_for: ClientFor, signed_in: Any, settings: Any
) -> None:
    settings.THROTTLE_TOKEN = "6/min"
    first, second, page = client_for(ben), client_for(ben), signed_in(ben)
    for _ in range(2):
        assert first.get("/api/v1/projects/").status_code == 200
        assert second.get("/api/v1/projects/").status_code == 200
        assert page.get("/").status_code in (200, 302)
    for refused in (first.get("/api/v1/projects/"), second.get("/api/v1/projects/"), page.get("/account/")):
        assert refused.status_code == 429
        assert 0 < int(refused["Retry-After"]) <= 60
    assert "Try again in" in page.get("/account/").content.decode()
    desk = page.get("/p/desk/desk/", HTTP_ACCEPT="application/json")
    assert (desk.status_code, desk.json()["code"]) == (429, "throttled")
    assert client_for(chloe).get("/api/v1/projects/").status_code == 200
    assert signed_in(chloe).get("/account/").status_code == 200


def test_what_costs_much_is_charged_as_much(
    project: Project, ben: Person, client_for: ClientFor, settings: Any
) -> None:
    settings.THROTTLE_CPU_SECONDS = 2
    client = client_for(ben)
    assert client.get("/api/v1/projects/").status_code == 200
    ledger.spend(f"cpu:person:{ben.pk}", 2.0, 2)
    assert client.get("/api/v1/projects/").status_code == 429


def test_pages_are_counted_by_address_for_whoever_is_not_known(db: None, settings: Any) -> None:
    settings.THROTTLE_ADDRESS = "1/min"
    statuses = [Client().get("/sign-in/").status_code for _ in range(limits.PAGES_FOR_ONE + 2)]
    assert statuses == [200] * limits.PAGES_FOR_ONE + [429] * 2
    assert Client(REMOTE_ADDR="10.0.0.9").get("/sign-in/").status_code == 200
    assert Client().get("/healthz").status_code == 200  # probes are never refused
    assert Client().get("/api/v1/projects/").status_code == 401  # programs have a count of their own


@pytest.fixture
def shared(tmp_path: Path, settings: Any) -> Any:
    """A broker that two processes' ledgers share; the server's process."""
    from feedback.runtime import embedded_broker

    path = tmp_path / "b.sock"
    command = embedded_broker.server_command(embedded_broker.server_binary(), path, tmp_path / "broker")
    with (tmp_path / "broker.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    while not embedded_broker.answers(path):
        time.sleep(0.02)
    settings.STREAM_URL = f"unix://{path}"
    yield server
    server.kill()
    server.wait()


def test_processes_share_what_was_spent(shared: Any) -> None:
    one, two = Ledger(), Ledger()
    allowed = sum(not ledger_.spend("a", 1, 10) for _ in range(10) for ledger_ in (one, two))
    assert allowed in (10, 11)  # the last before the limit may be told late
    assert one.spend("a", 1, 10) > 0
    assert not one.spend("b", 1, 10)
    large = sum(not ledger_.spend("c", 1, 1000) for _ in range(700) for ledger_ in (one, two))
    assert 1000 <= large <= 1000 + 2 * 50 + 2


def test_a_frozen_broker_costs_a_moment_and_each_process_goes_by_what_it_knows(shared: Any) -> None:
    alone = Ledger()
    assert not alone.spend("a", 5, 10)
    shared.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert not alone.spend("a", 4, 10)
        for _ in range(500):
            alone.spend("b", 1, 10)
        assert time.monotonic() - began < 2
        assert alone.spend("a", 2, 10) > 0
    finally:
        shared.send_signal(signal.SIGCONT)


def test_nothing_private_may_be_kept(project: Project, ben: Person, signed_in: Any, client_for: ClientFor) -> None:
    page = signed_in(ben)
    for path in ("/", "/account/", "/p/desk/", "/p/desk/mine/", "/glossary/", "/nothing/"):
        reply = page.get(path)
        assert "no-store" in reply["Cache-Control"], path
        assert "camera=()" in reply["Permissions-Policy"], path
    for path in ("/api/v1/projects/", "/api/v1/prompts/?project=desk", "/api/v1/nothing/"):
        assert "no-store" in client_for(ben).get(path)["Cache-Control"], path
    tokens.revoke_token(by=ben, token=ben.tokens.earliest("pk"))


def test_one_person_gets_part_of_the_queue_of_the_model(
    project: Project, ada: Person, ben: Person, chloe: Person, client_for: ClientFor, settings: Any
) -> None:
    settings.GENERATION_URL, settings.GENERATION_MODEL = "http://127.0.0.1:9/v1", "elsewhere"

    def asked(client: Any, number: int) -> Any:
        return client.post("/api/v1/prompts/", {"project": "desk", "text": f"q{number}", "responses_wanted": 8})

    most = QUEUED // 8
    client = client_for(ben)
    assert {asked(client, number).status_code for number in range(most)} == {201}
    refused = asked(client, most)
    assert (refused.status_code, refused["Retry-After"]) == (429, "30")
    assert "limit of pending responses" in refused.json()["errors"][0]["detail"]
    assert not project.prompts.filter(messages=[{"role": "user", "content": f"q{most}"}]).exists()
    assert asked(client_for(chloe), 1001).status_code == 201
    admin = client_for(ada)
    assert {asked(admin, 2000 + number).status_code for number in range(most + 2)} == {201}


def test_one_person_waits_for_so_many_answers_at_once(
    project: Project, ben: Person, chloe: Person, settings: Any
) -> None:
    settings.GENERATION_URL, settings.GENERATION_MODEL = "http://127.0.0.1:9/v1", "elsewhere"
    prompt, _ = prompts.submit_prompt(
        project=project, by=ben, messages=[{"role": "user", "content": "q"}], responses_wanted=0
    )
    for _ in range(LIVE_AT_ONCE):
        generation.request_responses(prompt=prompt, count=1, by=ben, live=True)
    with pytest.raises(TooManyRequests):
        generation.request_responses(prompt=prompt, count=1, by=ben, live=True)
    assert generation.request_responses(prompt=prompt, count=1, by=chloe, live=True)


def test_downloads_leave_places_for_others(project: Project, ada: Person, hana: Person, client_for: ClientFor) -> None:
    path, kind = "/api/v1/preferences/?project=desk", "application/x-ndjson"
    client = client_for(ada)
    held = [client.get(path, HTTP_ACCEPT=kind) for _ in range(middleware.downloads.for_one)]
    assert {reply.status_code for reply in held} == {200}
    assert client.get(path, HTTP_ACCEPT=kind).status_code == 429
    assert client_for(hana).get(path, HTTP_ACCEPT=kind).status_code == 200
    for reply in held:
        assert reply.getvalue() == b""  # read to its end, it gives its place back
    assert client.get(path, HTTP_ACCEPT=kind).status_code == 200
