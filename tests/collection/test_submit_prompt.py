"""A client submits a prompt and reads its responses with the model version that wrote them."""

import threading
import time

import pytest
from django.db import connection

from feedback.api.collection import prompts as door
from feedback.models import Job, Prompt, Response
from feedback.services.collection import generation
from tests.factories import make_model, make_prompt, make_response

pytestmark = pytest.mark.database

URL = "/api/v1/prompts/"


def test_a_prompt_goes_in_and_is_answered_by_the_serving_model(project, ada, ben, client_for):
    version = make_model(project, ada)
    client = client_for(ben, "submit", "read")
    reply = client.post(URL, {"project": "desk", "text": "My router is slow.", "responses_wanted": 2})
    assert reply.status_code == 201
    body = reply.json()
    assert body["messages"] == [{"role": "user", "content": "My router is slow."}]
    assert (body["project"], body["state"], body["responses_wanted"]) == ("desk", "screened", 2)
    assert body["split"] in ("train", "selection", "test")
    assert [one["state"] for one in body["responses"]] == ["queued", "queued"]
    assert len({one["seed"] for one in body["responses"]}) == 2
    assert Job.objects.filter(kind="generation").count() == 1

    job = Job.objects.get(kind="generation")
    for place, response in enumerate(generation.claim_batch(job)):
        generation.finish_response(response, text=f"Answer {place}.", finish_reason="stop", tokens=3)

    body = client.get(f"{URL}{body['id']}/?wait=5").json()
    assert body["state"] == "ready"
    assert [one["text"] for one in body["responses"]] == ["Answer 0.", "Answer 1."]
    assert {one["model_version"]["id"] for one in body["responses"]} == {str(version.public_id)}
    assert {one["model_version"]["name"] for one in body["responses"]} == {str(version)}
    assert body["responses"][0]["sampling"]["temperature"] == 1.0


def test_nothing_is_stored_when_no_model_serves(project, ben, client_for):
    reply = client_for(ben).post(URL, {"project": "desk", "text": "Hello", "responses_wanted": 1})
    assert reply.status_code == 409
    assert reply.json()["errors"][0]["code"] == "no_serving_model"
    assert Prompt.objects.count() == 0


def test_the_same_external_id_makes_one_prompt(project, ben, client_for):
    client = client_for(ben)
    body = {"project": "desk", "text": "Hello", "external_id": "mine-1"}
    first, again = client.post(URL, body), client.post(URL, body)
    other = client.post(URL, body | {"text": "Goodbye"})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["id"] == first.json()["id"]
    assert other.json() == {
        "type": "client_error",
        "errors": [
            {
                "code": "external_id_conflict",
                "detail": "This external_id exists with different content. Use a new one, or send the same content.",
                "attr": "external_id",
            }
        ],
    }
    assert Prompt.objects.get().text == "Hello"


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({}, "messages"),
        ({"text": "a", "messages": [{"role": "user", "content": "b"}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "b"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "b\x00"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages[1]"),
        ({"messages": []}, "messages"),
        ({"text": "a", "responses_wanted": 17}, "responses_wanted"),
        ({"text": "a", "metadata": [1]}, "metadata"),
        ({"text": "a", "metadata": {"x": "\x00"}}, "metadata"),
    ],
)
def test_a_wrong_prompt_is_told_by_its_field(project, ben, client_for, body, attr):
    reply = client_for(ben).post(URL, {"project": "desk"} | body)
    assert reply.status_code == 400, reply.content
    assert reply.json()["errors"][0]["attr"] == attr
    assert Prompt.objects.count() == 0


def test_text_is_kept_as_it_was_written(project, ben, client_for):
    reply = client_for(ben).post(URL, {"project": "desk", "text": "  two spaces \n\n"})
    assert reply.json()["messages"][0]["content"] == "  two spaces \n\n"


def test_a_closed_project_takes_no_prompts(project, ada, ben, client_for):
    assert client_for(ada).post("/api/v1/projects/desk/state/", {"state": "closed"}).status_code == 200
    reply = client_for(ben).post(URL, {"project": "desk", "text": "Hello"})
    assert reply.json()["errors"][0]["code"] == "project_not_open"
    assert Prompt.objects.count() == 0


def test_annotators_see_their_own_prompts_and_reviewers_all(project, ada, rosa, ben, chloe, client_for):
    mine, theirs = make_prompt(project, by=ben), make_prompt(project, by=ada)
    make_response(theirs)
    ids = lambda client: [one["id"] for one in client.get(f"{URL}?project=desk").json()["results"]]  # noqa: E731
    assert ids(client_for(ben)) == [str(mine.public_id)]
    assert ids(client_for(chloe)) == []
    assert ids(client_for(rosa)) == [str(theirs.public_id), str(mine.public_id)]
    # Who wrote what would un-blind a judge.
    assert client_for(ben).get(f"{URL}{theirs.public_id}/").status_code == 404
    assert client_for(ben).get(f"/api/v1/responses/{theirs.responses.get().public_id}/").status_code == 404
    assert client_for(rosa).get(f"{URL}{theirs.public_id}/").status_code == 200


def test_a_response_written_elsewhere(project, ada, ben, client_for):
    prompt = make_prompt(project, by=ben)
    version = make_model(project, ada)
    client = client_for(ada)
    body = {"prompt": str(prompt.public_id), "text": " Restart it. ", "model_name": "elsewhere-7b", "external_id": "r1"}
    first, again = client.post("/api/v1/responses/", body), client.post("/api/v1/responses/", body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["text"], first.json()["model_name"]) == (" Restart it. ", "elsewhere-7b")
    own = client_for(ben).post("/api/v1/responses/", {"prompt": str(prompt.public_id), "text": "Mine."})
    assert own.json()["author"]["username"] == "ben"
    by_version = client_for(ada).post(
        "/api/v1/responses/",
        {"prompt": str(prompt.public_id), "text": "Ours.", "model_version": str(version.public_id)},
    )
    assert by_version.json()["model_version"]["id"] == str(version.public_id)
    assert prompt.responses.count() == 3
    as_a_model = client_for(ben).post(
        "/api/v1/responses/", {"prompt": str(prompt.public_id), "text": "X", "model_name": "y"}
    )
    assert as_a_model.status_code == 403, "an annotator gives what they wrote themselves"
    up = {"response": own.json()["id"], "thumbs": "up"}
    refused = client_for(ben).post("/api/v1/feedback/", up)
    assert refused.status_code == 403 and "You wrote this response" in refused.json()["errors"][0]["detail"]
    assert client_for(ada).post("/api/v1/feedback/", up).status_code == 201
    assert prompt.responses.count() == 3


def test_more_responses_can_be_asked_for(project, ada, ben, client_for):
    prompt = make_prompt(project, by=ben)
    url = f"{URL}{prompt.public_id}/generate/"
    assert client_for(ben).post(url, {"count": 2}).json()["errors"][0]["code"] == "no_serving_model"
    prompt.refresh_from_db()
    assert (prompt.state, prompt.responses.count()) == ("ready", 0)
    make_model(project, ada)
    reply = client_for(ben).post(url, {"count": 2})
    assert reply.status_code == 202
    assert (reply.json()["state"], len(reply.json()["responses"])) == ("screened", 2)


class TestWaiting:
    def test_it_comes_back_when_the_time_is_over(self, project, ada, ben, client_for):
        make_model(project, ada)
        prompt = make_prompt(project, by=ben, responses_wanted=1)
        began = time.monotonic()
        reply = client_for(ben).get(f"{URL}{prompt.public_id}/?wait=0.5")
        assert 0.4 < time.monotonic() - began < 3
        assert reply.status_code == 200
        assert reply["Retry-After"] == "2"
        assert reply.json()["responses"][0]["state"] == "queued"

    @pytest.mark.parametrize("wait", ["-1", "31", "nan", "soon", "1e9"])
    def test_a_wait_out_of_bounds_is_refused(self, project, ben, client_for, wait):
        prompt = make_prompt(project, by=ben)
        reply = client_for(ben).get(f"{URL}{prompt.public_id}/?wait={wait}")
        assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "wait")

    def test_waiting_never_takes_all_threads(self, project, ada, ben, client_for, monkeypatch):
        make_model(project, ada)
        prompt = make_prompt(project, by=ben, responses_wanted=1)
        monkeypatch.setattr(door, "waiting_places", threading.BoundedSemaphore(1))
        door.waiting_places.acquire()
        began = time.monotonic()
        reply = client_for(ben).get(f"{URL}{prompt.public_id}/?wait=20")
        assert time.monotonic() - began < 2
        assert reply["Retry-After"] == "2"

    @pytest.mark.django_db(transaction=True)
    def test_it_comes_back_as_soon_as_the_responses_are_there(self, project, ada, ben, client_for):
        make_model(project, ada)
        prompt = make_prompt(project, by=ben, responses_wanted=1)

        def write_it() -> None:
            time.sleep(0.5)
            Response.objects.filter(prompt=prompt).update(state="ready", text="Here.")
            connection.close()

        writer = threading.Thread(target=write_it)
        writer.start()
        began = time.monotonic()
        reply = client_for(ben).get(f"{URL}{prompt.public_id}/?wait=20")
        writer.join()
        assert time.monotonic() - began < 5
        assert "Retry-After" not in reply
        assert reply.json()["responses"][0]["text"] == "Here."


def test_prompts_of_a_group_lie_in_one_split_and_are_found_by_it(project, ben, ada, client_for, signed_in):
    client = client_for(ben, "submit", "read")
    bodies = [
        client.post(URL, {"project": "desk", "text": f"Sentence {n} of it.", "group": "contract 7"}).json()
        for n in range(12)
    ]
    assert {body["group"] for body in bodies} == {"contract 7"}
    assert len({body["split"] for body in bodies}) == 1
    assert client.post(URL, {"project": "desk", "text": "Alone."}).json()["group"] == ""
    told = client_for(ada).get(URL, {"project": "desk", "group": "contract 7"}).json()
    assert len(told["results"]) == 12
    page = signed_in(ada).get(f"/p/desk/data/prompts/{bodies[0]['id']}/").content.decode()
    assert "contract 7" in page
    refused = client.post(URL, {"project": "desk", "text": "Too long.", "group": "x" * 201})
    assert (refused.status_code, refused.json()["errors"][0]["attr"]) == (400, "group")


def test_the_same_external_id_in_another_group_is_another_prompt(project, ben, client_for):
    client = client_for(ben, "submit", "read")
    told = {"project": "desk", "text": "Hello", "external_id": "7"}
    assert client.post(URL, {**told, "group": "one"}).status_code == 201
    assert client.post(URL, {**told, "group": "one"}).status_code == 200
    assert client.post(URL, {**told, "group": "other"}).status_code == 409
