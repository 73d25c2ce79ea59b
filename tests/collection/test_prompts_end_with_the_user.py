"""A prompt that does not end with the user's turn cannot be answered, so no way in takes it."""

import json

import pytest

from feedback.formats.annotations.items import InvalidRow, Item
from feedback.models import PreferencePair, Prompt, Response, Task
from feedback.services.data import import_checks
from tests.factories import bring, make_model, make_prompt, make_response

pytestmark = pytest.mark.database

USER = {"role": "user", "content": "q"}
HALF = {"role": "assistant", "content": "Once upon"}
SYSTEM = {"role": "system", "content": "be brief"}
BLANK = {"role": "user", "content": "  \n"}
UNANSWERABLE = [[USER, HALF], [USER, SYSTEM], [HALF], [USER, HALF, BLANK]]
IDS = ["assistant", "system", "only an assistant", "blank"]
parametrized = pytest.mark.parametrize("messages", UNANSWERABLE, ids=IDS)


@parametrized
def test_rest_refuses_it_as_a_prompt(project, ben, client_for, messages):
    reply = client_for(ben).post("/api/v1/prompts/", {"project": "desk", "messages": messages})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (400, "invalid")
    assert reply.json()["errors"][0]["attr"] == f"messages[{len(messages) - 1}]"
    assert not Prompt.objects.exists()


@parametrized
def test_rest_refuses_it_in_a_preference_alone_and_in_a_list(project, ada, client_for, messages):
    bad = {"project": "desk", "source": "s", "annotator": "n", "prompt": messages, "chosen": "aa", "rejected": "bb"}
    reply = client_for(ada).post("/api/v1/preferences/", bad)
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, f"prompt[{len(messages) - 1}]")
    told = client_for(ada).post("/api/v1/preferences/", [bad, bad | {"prompt": [USER]}]).json()
    assert [one["status"] for one in told] == [400, 201]
    assert (PreferencePair.objects.count(), Prompt.objects.count()) == (1, 1)


@parametrized
def test_openai_clients_are_told(project, ada, ben, client_for, messages):
    make_model(project, ada, serve=True)
    reply = client_for(ben).post("/v1/chat/completions", {"model": "desk", "messages": messages})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, f"messages[{len(messages) - 1}]")
    assert not Prompt.objects.exists()


@parametrized
def test_a_file_is_refused_by_line(project, messages):
    with pytest.raises(InvalidRow) as refused:
        import_checks.ready(project, Item("prompt", [dict(one) for one in messages]))
    assert refused.value.field == f"prompt[{len(messages) - 1}]"


def test_the_good_lines_of_a_file_come_in(project, ada):
    rows = [{"prompt": [USER, HALF], "responses": ["a time", "no"]}, {"prompt": "fine", "responses": ["yes", "no"]}]
    job = bring(project, ada, "".join(json.dumps(row) + "\n" for row in rows))
    assert (job.result["new"], job.result["rejected"]) == (1, 1)
    assert [task.prompt.text for task in Task.objects.all()] == ["fine"]


def test_a_task_is_not_made_of_an_old_one(project, rosa, client_for):
    prompt = make_prompt(project, by=rosa)
    texts = [str(make_response(prompt, text=text).public_id) for text in ("one", "two")]
    Prompt.objects.filter(pk=prompt.pk).update(messages=[USER, HALF])
    body = {"project": "desk", "kind": "comparison", "prompt": str(prompt.public_id), "responses": texts}
    reply = client_for(rosa).post("/api/v1/tasks/", body)
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "prompt")
    assert (Task.objects.count(), Response.objects.count()) == (0, 2)
