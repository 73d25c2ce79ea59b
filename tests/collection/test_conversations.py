"""Rosa talks with the model over REST: turns, choices, what is rewritten, what fails, and nobody else's talk."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from feedback.models import Annotation, Assignment, Conversation, Job, Person, PreferencePair, Project, Prompt, Task
from feedback.selectors.collection import desk
from feedback.selectors.data.training_queries import Policy
from feedback.selectors.data.training_rows import feedback_rows
from feedback.services.collection import assignment_queue
from tests.factories import make_model, write_answers

pytestmark = pytest.mark.database

TALKS = "/api/v1/conversations/"


@pytest.fixture
def talking(project: Project, ada: Person) -> Project:
    make_model(project, ada, serve=True)
    project.kinds = ["comparison", "conversation"]
    project.dimensions = []
    project.save()
    return project


@pytest.fixture
def rosas(talking: Project, rosa: Person, client_for: Any) -> APIClient:
    return client_for(rosa, "annotate")


def begin(client: APIClient, text: str = "My router is slow.") -> dict[str, Any]:
    reply = client.post(TALKS, {"project": "desk", "text": text})
    assert reply.status_code == 201, reply.content
    return reply.json()


def write(talk: dict[str, Any], *texts: str | None) -> Prompt:
    turn = Prompt.objects.filter(conversation__public_id=talk["id"]).latest("turn")
    write_answers(turn, *texts)
    return turn


def last(client: APIClient, talk: dict[str, Any]) -> dict[str, Any]:
    return client.get(f"{TALKS}{talk['id']}/").json()["turns"][-1]


def judge(client: APIClient, turn: dict[str, Any], **answer: Any) -> Any:
    path = f"/api/v1/assignments/{turn['assignment']}/submit/"
    return client.post(path, {"answer": answer}, HTTP_IDEMPOTENCY_KEY=f"{turn['turn']}-{answer}")


def say(client: APIClient, talk: dict[str, Any], text: str) -> Any:
    return client.post(f"{TALKS}{talk['id']}/turns/", {"text": text})


def test_three_turns_go_on_with_what_was_chosen(rosas: APIClient, rosa: Person, talking: Project) -> None:
    talk = begin(rosas)
    assert [(one["state"], one["assignment"]) for one in talk["turns"]] == [("writing", None)]
    first = write(talk, "Restart it.", "Buy another.")
    turn = last(rosas, talk)
    assert turn["state"] == "ready" and [one["letter"] for one in turn["responses"]] == ["a", "b"]
    assert judge(rosas, turn, outcome="prefer", choice="b", strength=3).status_code == 201
    chosen, other = turn["responses"][1]["text"], turn["responses"][0]["text"]

    assert say(rosas, talk, "I did.").status_code == 201
    second = write(talk, "Then wait.", "Then call us.")
    assert second.messages == [
        {"role": "user", "content": "My router is slow."},
        {"role": "assistant", "content": chosen},
        {"role": "user", "content": "I did."},
    ]
    assert (second.family, second.split, second.turn) == (first.family, first.split, 2)
    turn = last(rosas, talk)
    judge(rosas, turn, outcome="tie")
    assert last(rosas, talk)["goes_on"] == turn["responses"][0]["text"], "after a tie with a"

    assert say(rosas, talk, "How long?").status_code == 201
    third = write(talk, "An hour.", "A day.")
    assert [message["content"] for message in third.messages][3:] == [turn["responses"][0]["text"], "How long?"]

    pair = PreferencePair.objects.get()
    assert (pair.chosen.text, pair.rejected.text, pair.strength) == (chosen, other, 3)
    task = Task.objects.get(prompt=first)
    assert (task.kind, task.annotations_wanted, task.free_slots, task.state) == ("conversation", 1, 0, "settled")
    assert Annotation.objects.filter(annotator=rosa, kind="conversation").count() == 2
    assert Job.objects.filter(kind="generation").count() == 3, "every turn has its own, ahead of batches"


def test_the_pairs_of_a_talk_train_with_all_that_was_said_before(rosas: APIClient, talking: Project) -> None:
    talk = begin(rosas)
    write(talk, "Restart it.", "Buy another.")
    judge(rosas, last(rosas, talk), outcome="prefer", choice="a", strength=2)
    say(rosas, talk, "I did.")
    second = write(talk, "Then wait.", "Then call us.")
    judge(rosas, last(rosas, talk), outcome="both_bad", rewrite="Then I am sorry: hold the button for ten seconds.")
    rows = [one.row for one in feedback_rows(talking, Policy())]
    better = [row for row in rows if row["kind"] == "preference" and row["prompt"] == second.messages]
    assert {(row["chosen"], row["rejected"]) for row in better} == {
        ("Then I am sorry: hold the button for ten seconds.", "Then wait."),
        ("Then I am sorry: hold the button for ten seconds.", "Then call us."),
    }
    [shown] = [row for row in rows if row["kind"] == "demonstration"]
    assert len(shown["prompt"]) == 3 and shown["completion"].startswith("Then I am sorry")
    assert sorted(row["completion"] for row in rows if row["kind"] == "unpaired") == ["Then call us.", "Then wait."]
    assert not any(row["label"] for row in rows if row["kind"] == "unpaired")
    assert last(rosas, talk)["goes_on"].startswith("Then I am sorry")
    assert sum(row["kind"] == "preference" for row in rows) == 3


def test_after_both_bad_the_next_message_takes_the_place_of_the_last(rosas: APIClient) -> None:
    talk = begin(rosas)
    first = write(talk, "No.", "Never.")
    judge(rosas, last(rosas, talk), outcome="both_bad")
    assert last(rosas, talk)["goes_on"] is None
    assert say(rosas, talk, "What can I do about a slow router?").status_code == 201
    again = Prompt.objects.latest("pk")
    assert again.messages == [{"role": "user", "content": "What can I do about a slow router?"}] and again.turn == 2
    assert (again.family, again.split) == (first.family, first.split), "what is said instead stays in the family"


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ({"outcome": "prefer", "choice": "a", "strength": 1}, "choice"),
        ({"outcome": "tie", "rewrite": "Better."}, "rewrite"),
        ({"outcome": "both_bad", "rewrite": "The same."}, "rewrite"),
        ({"outcome": "both_bad", "rewrite": 7}, "rewrite"),
        ({"outcome": "prefer", "choice": "c", "strength": 1}, "choice"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused(rosas: APIClient, answer: dict[str, Any], field: str) -> None:
    talk = begin(rosas)
    write(talk, "The same.", "The same.")
    reply = judge(rosas, last(rosas, talk), **answer)
    assert reply.status_code == 400 and reply.json()["errors"][0]["attr"] == field
    assert not Annotation.objects.exists() and last(rosas, talk)["state"] == "ready"


def test_one_step_at_a_time(rosas: APIClient) -> None:
    talk = begin(rosas)
    reply = say(rosas, talk, "And?")
    assert reply.status_code == 409 and "still being generated" in reply.json()["errors"][0]["detail"]
    write(talk, "One.", "Two.")
    reply = say(rosas, talk, "And?")
    assert reply.status_code == 409 and "Choose between" in reply.json()["errors"][0]["detail"]
    assert Prompt.objects.count() == 1
    judge(rosas, last(rosas, talk), outcome="tie")
    same = [rosas.post(f"{TALKS}{talk['id']}/turns/", {"text": "And?"}, HTTP_IDEMPOTENCY_KEY="once") for _ in range(2)]
    assert [one.status_code for one in same] == [201, 201] and same[0].json() == same[1].json()
    assert Prompt.objects.count() == 2
    assert say(rosas, talk, "  ").status_code == 400


def test_what_failed_is_asked_for_again(rosas: APIClient) -> None:
    talk = begin(rosas)
    first = write(talk, "One.", None)
    turn = last(rosas, talk)
    assert (turn["state"], turn["sentence"], turn["assignment"]) == ("failed", "The model was revoked.", None)
    path = f"{TALKS}{talk['id']}/turns/1/retry/"
    assert rosas.post(path).json()["state"] == "writing"
    assert rosas.post(path).status_code == 202 and first.responses.count() == 3, "nothing is asked for twice"
    write(talk, "Two.")
    turn = last(rosas, talk)
    assert turn["state"] == "ready" and {one["text"] for one in turn["responses"]} == {"One.", "Two."}


def test_a_held_back_answer_is_told_and_another_message_may_be_said(rosas: APIClient) -> None:
    talk = begin(rosas)
    turn = Prompt.objects.get()
    turn.responses.update(state="blocked")
    told = last(rosas, talk)
    assert told["state"] == "blocked" and "Regenerate it" in told["sentence"]
    assert say(rosas, talk, "Something else.").status_code == 201
    assert Prompt.objects.latest("pk").messages == [{"role": "user", "content": "Something else."}]


def test_an_ended_talk_takes_nothing_more(rosas: APIClient) -> None:
    talk = begin(rosas)
    write(talk, "One.", "Two.")
    for _ in range(2):
        assert rosas.post(f"{TALKS}{talk['id']}/end/").json()["state"] == "ended"
    assert Task.objects.get().state == "withdrawn" and Assignment.objects.get().state == "released"
    assert say(rosas, talk, "Still there?").status_code == 409
    assert rosas.post(f"{TALKS}{talk['id']}/turns/1/retry/").status_code == 409
    assert [one["state"] for one in rosas.get(f"{TALKS}?project=desk").json()["results"]] == ["ended"]


def test_without_kind_or_model_a_talk_does_not_begin(project: Project, rosa: Person, client_for: Any) -> None:
    client = client_for(rosa)
    reply = client.post(TALKS, {"project": "desk", "text": "Hello?"})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (409, "no_such_kind")
    Project.objects.update(kinds=["conversation"])
    reply = client.post(TALKS, {"project": "desk", "text": "Hello?"})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (409, "no_serving_model")
    assert not Conversation.objects.exists() and not Prompt.objects.exists()


def test_nobody_else_sees_or_gets_a_turn(
    rosas: APIClient, talking: Project, ada: Person, ben: Person, rosa: Person, client_for: Any
) -> None:
    talk = begin(rosas)
    write(talk, "One.", "Two.")
    turn = last(rosas, talk)
    for other in (client_for(ada), client_for(ben)):
        for path in ("", "turns/1/", "turns/1/stream/"):
            assert other.get(f"{TALKS}{talk['id']}/{path}").status_code == 404
        for path, body in (("turns/", {"text": "Mine now"}), ("end/", {}), ("turns/1/retry/", {})):
            assert other.post(f"{TALKS}{talk['id']}/{path}", body).status_code == 404
        assert judge(other, turn, outcome="tie").status_code == 404
        assert other.get(f"{TALKS}?project=desk").json()["results"] == []
    for person in (ben, rosa):
        found = assignment_queue.next_assignment(project=talking, annotator=person)
        assert isinstance(found, assignment_queue.NoTask), "a talk is no task of the queue, not even its own person's"
    rosas.post(f"/api/v1/assignments/{turn['assignment']}/skip/", {"reason": "unclear"})
    assert isinstance(assignment_queue.next_assignment(project=talking, annotator=ben), assignment_queue.NoTask)
    assert client_for(rosa, "read", "submit").get(f"{TALKS}{talk['id']}/").status_code == 403
    assert Annotation.objects.count() == 0


def test_a_talk_is_blind(rosas: APIClient, ben: Person, talking: Project, client_for: Any) -> None:
    client = client_for(ben)
    talk = begin(client)
    turn = write(talk, "One.", "Two.")
    told = client.get(f"{TALKS}{talk['id']}/").content.decode()
    for response in turn.responses.all():
        assert str(response.public_id) not in told and str(response.seed) not in told
        assert client.get(f"/api/v1/responses/{response.public_id}/").status_code == 404
    assert client.get(f"/api/v1/prompts/{turn.public_id}/").status_code == 404
    assert client.get("/api/v1/prompts/?project=desk").json()["results"] == []
    held = Assignment.objects.get(annotator=ben)
    assert [one["text"] for one in desk.payload(held)["responses"]] == [
        one["text"] for one in last(client, talk)["responses"]
    ]
