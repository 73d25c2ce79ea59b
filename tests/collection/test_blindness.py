"""What an annotator is given tells letters and texts, and nothing about who or what wrote them."""

import json
import re

import pytest

from feedback.models import Response
from tests.factories import make_model, make_prompt, make_response, make_task

pytestmark = pytest.mark.database

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def test_the_whole_payload_is_blind(project, ada, ben, client_for, next_task, submit):
    version = make_model(project, ada)
    prompt = make_prompt(project, "My router is slow.", source="secret-source", metadata={"customer": "secret-meta"})
    one = make_response(prompt, "Restart it.", model_version=version, external_id="secret-external")
    other = make_response(prompt, "Wait.", author=ada)
    Response.objects.filter(pk=one.pk).update(seed=424242, sampling={"temperature": 0.77}, tokens=31337)
    task = make_task(project, prompt, responses=[one, other], arm="secret-arm", external_id="secret-task")
    client = client_for(ben)
    given = next_task(client)

    assert set(given) == {
        "id",
        "kind",
        "project",
        "state",
        "ahead",
        "held_until",
        "prompt",
        "responses",
        "dimensions",
        "scheme",
        "on",
        "text",
        "asks_reason",
        "number_sends",
        "skip_reasons",
        "draft",
        "suggestion",
        "answer",
        "training_round",
        "sent_back",
    }
    assert given["prompt"] == [{"role": "user", "content": "My router is slow."}]
    assert sorted(one["text"] for one in given["responses"]) == ["Restart it.", "Wait."]
    assert all(set(one) == {"letter", "text"} for one in given["responses"])
    assert UUID.findall(json.dumps(given)) == [given["id"]]

    submitted = submit(client, given, {"outcome": "prefer", "choice": "b", "strength": 1}, next=True).json()
    annotation = client.get(f"/api/v1/annotations/{submitted['annotation']}/").json()
    assert annotation["answer"]["choice"] == "b"
    listed = client.get("/api/v1/annotations/?project=desk").json()
    again = client.get(f"/api/v1/assignments/{given['id']}/").json()
    for seen in (given, submitted, annotation, listed, again):
        text = json.dumps(seen)
        for secret in (
            *(str(row.public_id) for row in (one, other, task, prompt, version)),
            "secret",
            "424242",
            "0.77",
            "31337",
            "some-model",
            "Ada",
            '"ada"',
            str(version),
        ):
            assert secret not in text, secret


def test_the_order_is_chance_but_stays(project, ben, chloe, client_for, next_task):
    for _ in range(12):
        prompt = make_prompt(project)
        responses = [make_response(prompt, "first made"), make_response(prompt, "second made")]
        make_task(project, prompt, responses=responses)
    firsts = set()
    for person in (ben, chloe):
        client = client_for(person)
        for _ in range(12):
            given = next_task(client)
            assert next_task(client)["responses"] == given["responses"]
            firsts.add(given["responses"][0]["text"])
            client.post(f"/api/v1/assignments/{given['id']}/skip/", {"reason": "other"})
    assert firsts == {"first made", "second made"}


def test_an_annotator_cannot_look_a_task_up(project, ben, client_for, next_task):
    task = make_task(project)
    client = client_for(ben)
    next_task(client)
    for path in (f"tasks/{task.public_id}/", "tasks/?project=desk", "models/?project=desk", "quality/?project=desk"):
        assert client.get(f"/api/v1/{path}").status_code == 403, path
    assert client.get("/api/v1/prompts/?project=desk").json()["results"] == []
