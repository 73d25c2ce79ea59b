"""/v1 as OpenAI's clients call it: what is understood, what is refused, in which shape, and whose prompts it makes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from feedback.api.collection import chat_completions
from feedback.models import Job, ModelVersion, Person, Project, Prompt, Response, Task, Thumb
from feedback.selectors.collection import response_streams
from feedback.services.collection import generation
from tests.factories import make_model, write_answers

pytestmark = pytest.mark.database

CHAT = "/v1/chat/completions"
ASKED: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "My lamp is broken."}]}


@pytest.fixture
def serving(project: Project, ada: Person, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    """A policy that answers as soon as somebody waits for it."""
    follow = chat_completions.follow

    def written(responses: list[Any], seconds: float) -> Iterator[response_streams.News]:
        prompt = Prompt.objects.get(responses__public_id=responses[0])
        live = prompt.responses.filter(state="queued", job__isnull=False)
        rest = prompt.responses.filter(state="queued", job=None)
        held = list(rest.values_list("pk", flat=True))
        rest.update(state="screening")
        write_answers(prompt, *[f"Answer {place}." for place in range(live.count())])
        Response.objects.filter(pk__in=held).update(state="queued")
        yield from follow(responses, seconds)

    monkeypatch.setattr(chat_completions, "follow", written)
    monkeypatch.setattr("feedback.streaming.StreamReader.read", lambda self, seconds: [])
    return make_model(project, ada, serve=True)


@pytest.fixture
def client(serving: ModelVersion, ben: Person, client_for: Any) -> APIClient:
    """Ben's: an annotator of the project, whose program asks its model."""
    return client_for(ben)


def asked(client: APIClient, **more: Any) -> Any:
    headers = {name: more.pop(name) for name in list(more) if name.startswith("HTTP_")}
    return client.post(CHAT, ASKED | more, **headers)


def wrong(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.content
    assert set(reply.json()) == {"error"} and set(reply.json()["error"]) == {"message", "type", "param", "code"}
    return reply.json()["error"]


def test_a_completion_has_openais_shape_and_our_ids(client: APIClient, serving: ModelVersion, ben: Person) -> None:
    reply = asked(
        client, n=2, temperature=0.5, top_p=0.9, max_tokens=20, stop="\n", seed=7, user="u1", metadata={"run": "7"}
    )
    told = reply.json()
    assert reply.status_code == 200 and told["object"] == "chat.completion" and told["model"] == "desk"
    assert [one["message"]["content"] for one in told["choices"]] == ["Answer 0.", "Answer 1."]
    assert [(one["index"], one["finish_reason"]) for one in told["choices"]] == [(0, "stop"), (1, "stop")]
    assert told["usage"] == {"prompt_tokens": 7, "completion_tokens": 6, "total_tokens": 13}
    prompt = Prompt.objects.get(source="openai")
    assert (prompt.created_by, prompt.messages, prompt.split in ("train", "selection", "test")) == (
        ben,
        ASKED["messages"],
        True,
    )
    assert prompt.metadata["user"] == "u1" and prompt.metadata["metadata"] == {"run": "7"}
    rows = list(prompt.responses.order_by("pk"))
    assert [str(row.public_id) for row in rows] == [one["touchstone"]["response"] for one in told["choices"]]
    wanted = {"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 20, "stop": ["\n"]}
    assert all(row.sampling.items() >= wanted.items() and row.model_version == serving for row in rows)
    assert len({row.seed for row in rows}) == 2 and not Task.objects.exists()
    for given, row in ((told["id"], rows[0]), (told["choices"][1]["touchstone"]["response"], rows[1])):
        reply = client.post("/api/v1/feedback/", {"response": given, "thumbs": "up"})
        assert reply.status_code == 201 and Thumb.objects.latest("pk").response == row


def test_the_same_seed_asks_for_the_same(client: APIClient) -> None:
    seeds = []
    for seed in (7, 7, 8, -1):
        asked(client, seed=seed)
        seeds.append(Response.objects.latest("pk").seed)
    assert seeds[0] == seeds[1] and len(set(seeds)) == 3 and min(seed or 0 for seed in seeds) >= 0


def test_a_stream_has_openais_chunks(client: APIClient) -> None:
    reply = asked(client, n=2, stream=True, stream_options={"include_usage": True})
    assert reply["Content-Type"] == "text/event-stream"
    lines = [line for line in reply.getvalue().decode().split("\n") if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"} and len({c["id"] for c in chunks}) == 1
    assert [c["choices"][0]["delta"].get("role") for c in chunks[:2]] == ["assistant", "assistant"]
    said = {0: "", 1: ""}
    for chunk in chunks[2:-1]:
        said[chunk["choices"][0]["index"]] += chunk["choices"][0]["delta"].get("content", "")
    assert said == {0: "Answer 0.", 1: "Answer 1."}
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]].count("stop") == 2
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 13


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"logit_bias": {"1": 2}}, "logit_bias", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "unsupported_parameter"),
        ({"store": False}, "store", "unsupported_parameter"),
        ({"best_of": 3}, "best_of", "unknown_parameter"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": True}, "n", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"stop": list("abcde")}, "stop", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages[0]", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content",
            "unsupported_value",
        ),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ],
)
def test_what_is_not_done_is_refused_by_name(client: APIClient, more: dict[str, Any], param: str, code: str) -> None:
    reply = asked(client, **more)
    told = wrong(reply, 400)
    assert (told["param"], told["code"], told["type"]) == (param, code, "invalid_request_error")
    assert reply["x-should-retry"] == "false" and not Prompt.objects.exists()


def test_what_asks_for_nothing_more_is_taken(client: APIClient) -> None:
    parts = [{"type": "text", "text": "My lamp "}, {"type": "text", "text": "is broken."}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts, "name": None}]
    neutral = {"logprobs": False, "tools": [], "presence_penalty": 0, "response_format": {"type": "text"}, "n": None}
    assert asked(client, messages=messages, max_completion_tokens=5, **neutral).status_code == 200
    assert Prompt.objects.get().messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "My lamp is broken."},
    ]


def test_a_repeat_is_the_same_prompt(client: APIClient) -> None:
    first = asked(client)
    again = asked(client, HTTP_X_STAINLESS_RETRY_COUNT="1")
    assert again.json()["id"] == first.json()["id"] and Prompt.objects.count() == 1
    assert asked(client, HTTP_X_STAINLESS_RETRY_COUNT="0").json()["id"] != first.json()["id"], "asked anew on purpose"
    keyed = [asked(client, HTTP_IDEMPOTENCY_KEY="mine").json()["id"] for _ in range(2)]
    assert len(set(keyed)) == 1 and Prompt.objects.count() == 3
    told = wrong(asked(client, n=2, HTTP_IDEMPOTENCY_KEY="mine"), 409)
    assert told["code"] == "external_id_conflict"


def test_models_are_those_one_may_ask(
    client: APIClient, serving: ModelVersion, project: Project, ada: Person, rosa: Person, dan: Person, client_for: Any
) -> None:
    other = make_model(project, ada)
    names = [one["id"] for one in client.get("/v1/models").json()["data"]]
    assert names == ["desk"], "who judges knows of what serves only"
    assert [one["id"] for one in client_for(rosa).get("/v1/models").json()["data"]] == ["desk", "desk:2", "desk:1"]
    assert client_for(dan).get("/v1/models").json() == {"object": "list", "data": []}
    for name in ("desk:2", str(other.public_id)):
        assert client_for(rosa).get(f"/v1/models/{name}").json()["touchstone"]["model_version"] == str(other.public_id)
        assert asked(client_for(rosa), model=name).status_code == 200
        assert Response.objects.latest("pk").model_version == other
        for stranger in (client, client_for(dan)):
            assert wrong(stranger.get(f"/v1/models/{name}"), 404)["code"] == "model_not_found"
            assert wrong(asked(stranger, model=name), 404)["code"] == "model_not_found"
    for name in ("desk:9", "desk:x", "nothing", "elsewhere/model"):
        assert wrong(client_for(rosa).get(f"/v1/models/{name}"), 404)["code"] == "model_not_found"


def test_tokens_and_scopes(client: APIClient, ben: Person, client_for: Any) -> None:
    assert wrong(APIClient().post(CHAT, ASKED), 401)["type"] == "authentication_error"
    reader = client_for(ben, "read")
    assert wrong(reader.post(CHAT, ASKED), 403)["code"] == "insufficient_scope"
    assert reader.get("/v1/models").status_code == 200
    assert wrong(client_for(ben, "submit").get("/v1/models"), 403)["type"] == "permission_error"
    assert wrong(reader.post("/v1/embeddings", {}), 404)["code"] == "unknown_url"
    assert wrong(client.post(CHAT, "{", content_type="application/json"), 400)["code"] == "parse_error"
    assert wrong(client.get(CHAT), 405)
    assert not Prompt.objects.exists()


def test_what_clients_ask_becomes_tasks_where_the_project_wants_it(
    client: APIClient, project: Project, chloe: Person
) -> None:
    Project.objects.update(completions_make_tasks=True)
    told = asked(client).json()
    prompt = Prompt.objects.get()
    assert len(told["choices"]) == 1 and prompt.responses.count() == 2, "the second only makes the comparison"
    assert Job.objects.filter(kind="generation").count() == 2
    write_answers(prompt, "Another answer.")
    task = Task.objects.get()
    assert task.prompt == prompt and task.kind == "comparison"


def test_an_answer_that_does_not_come_is_told(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, serving: ModelVersion
) -> None:
    def nobody(responses: list[Any], seconds: float) -> Iterator[response_streams.News]:
        yield response_streams.News(responses[0], "waits", sentence=response_streams.NO_WORKER)

    monkeypatch.setattr(chat_completions, "WITHOUT_WORKER", -1.0)
    monkeypatch.setattr(chat_completions, "follow", nobody)
    told = wrong(asked(client), 503)
    assert told["code"] == "not_written" and "No worker is running" in told["message"]
    assert Response.objects.get().state == "queued", "it is written when one is"
    stream = asked(client, stream=True).getvalue().decode()
    assert '"code":"not_written"' in stream and "[DONE]" not in stream

    def fails(responses: list[Any], seconds: float) -> Iterator[response_streams.News]:
        write_answers(Prompt.objects.latest("pk"), None)
        yield response_streams.News(responses[0], "ended", state="failed", sentence="The model was revoked.")

    monkeypatch.setattr(chat_completions, "follow", fails)
    assert "revoked" in wrong(asked(client), 503)["message"]


def test_no_model_serves(project: Project, ben: Person, client_for: Any) -> None:
    reply = client_for(ben).post(CHAT, ASKED)
    assert wrong(reply, 409)["code"] == "no_serving_model" and reply["x-should-retry"] == "false"
    assert not Prompt.objects.exists()


@pytest.mark.parametrize("code", ["context_length_exceeded", "prompt_unusable"])
def test_what_can_never_be_answered_is_the_requests_own_fault(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Clients repeat what is answered with 503; this they must not."""
    follow = chat_completions.follow

    def refused(responses: list[Any], seconds: float) -> Iterator[response_streams.News]:
        for response in Response.objects.filter(public_id__in=responses):
            generation.fail_response(response, "A prompt of 90 tokens leaves no room in a context of 64.", code)
        yield from follow(responses, seconds)

    monkeypatch.setattr(chat_completions, "follow", refused)
    reply = asked(client)
    told = wrong(reply, 400)
    assert (told["code"], told["param"], told["type"]) == (code, "messages", "invalid_request_error")
    assert "leaves no room" in told["message"]
    assert reply["x-should-retry"] == "false" and "Retry-After" not in reply
    stream = asked(client, stream=True).getvalue().decode()
    assert f'"code":"{code}"' in stream and '"type":"invalid_request_error"' in stream and "[DONE]" not in stream


def test_a_model_that_is_not_there_is_named_with_those_that_are(client: APIClient, serving: ModelVersion) -> None:
    told = wrong(client.post(CHAT, ASKED | {"model": "gpt-4o"}), 404)
    assert (told["code"], told["param"]) == ("model_not_found", "model")
    assert "'gpt-4o'" in told["message"] and "Available: desk." in told["message"]
    assert "Did you mean 'temperature'?" in wrong(asked(client, temprature=1), 400)["message"]
    for neutral in ({"top_p": 0}, {"tool_choice": "auto"}):
        assert asked(client, **neutral).status_code == 200
