"""Ben takes a task, judges it and sends his answer, all over REST."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.models import Annotation, Assignment, PreferencePair, Task
from tests.factories import PREFERS_A, make_prompt, make_response, make_task

pytestmark = pytest.mark.database


def test_ben_takes_a_task_and_answers_it(project, ben, client_for, next_task, submit):
    task = make_task(project)
    client = client_for(ben, "annotate")
    given = next_task(client)
    assert (given["kind"], given["state"], given["ahead"]) == ("comparison", "held", False)
    assert [one["letter"] for one in given["responses"]] == ["a", "b"]
    reply = submit(client, given, PREFERS_A | {"dimensions": {"truthful": "same"}}, seconds=4.5)
    assert reply.status_code == 201
    assert (reply.json()["counted"], reply.json()["late"]) == (True, False)
    annotation = Annotation.objects.get()
    assert str(annotation.public_id) == reply.json()["annotation"]
    assert (annotation.annotator, annotation.client) == (ben, "api")
    pair = PreferencePair.objects.get()
    assert (pair.chosen.text, pair.strength) == (given["responses"][0]["text"], 2)
    task.refresh_from_db()
    assert task.state == "open"  # it wants two


def test_two_people_settle_it_and_a_third_gets_nothing(project, ada, ben, chloe, client_for, next_task, submit):
    task = make_task(project)
    for person in (ben, chloe):
        client = client_for(person)
        assert submit(client, next_task(client), PREFERS_A).json()["counted"] is True
    task.refresh_from_db()
    assert task.state == "settled"
    reply = next_task(client_for(ada))
    assert (reply.status_code, reply["X-Reason"], int(reply["Retry-After"])) == (204, "no_tasks", 15)
    assert reply.content == b""


def test_the_next_one_comes_with_the_reply(project, ben, client_for, next_task, submit):
    make_task(project)
    make_task(project)
    client = client_for(ben)
    first = next_task(client)
    reply = submit(client, first, PREFERS_A, next=True)
    assert reply.json()["next"]["id"] != first["id"]
    last = submit(client, reply.json()["next"], {"outcome": "tie"}, next=True)
    assert last.json()["next"] is None
    assert last.json()["no_next"]["reason"] == "all_seen"


def test_what_is_held_comes_again_and_one_more_ahead(project, ben, client_for, next_task):
    for _ in range(3):
        make_task(project)
    client = client_for(ben)
    first, again, ahead = next_task(client), next_task(client), next_task(client, ahead=True)
    assert first["id"] == again["id"] != ahead["id"]
    assert ahead["ahead"] is True
    assert Assignment.objects.count() == 2
    shown = client.post(f"/api/v1/assignments/{ahead['id']}/shown/").json()
    assert shown["ahead"] is False
    assert shown["held_until"] > ahead["held_until"]


def test_a_late_answer_is_kept(project, ben, client_for, next_task, submit):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    Assignment.objects.update(held_until=timezone.now() - timedelta(minutes=1))
    reply = submit(client, given, PREFERS_A)
    assert (reply.status_code, reply.json()["late"], reply.json()["counted"]) == (201, True, True)


def test_a_wrong_answer_is_told_by_its_field_and_nothing_is_stored(project, ben, client_for, next_task, submit):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    for answer, attr in (
        ({}, "outcome"),
        ({"outcome": "prefer", "choice": "c", "strength": 1}, "choice"),
        ({"outcome": "prefer", "choice": "a", "strength": 4}, "strength"),
        ({"outcome": "tie", "dimensions": {"funny": "a"}}, "dimensions"),
        ({"outcome": "tie", "reason": "\x00"}, "answer"),
        ({"outcome": ["tie"]}, "outcome"),
        ({"outcome": "prefer", "choice": "a", "strength": [1]}, "strength"),
    ):
        reply = submit(client, given, answer, key=f"wrong-{attr}-{len(str(answer))}")
        assert reply.status_code == 400, reply.content
        assert reply.json()["errors"][0]["attr"] == attr
    assert Annotation.objects.count() == 0
    assert submit(client, given, PREFERS_A).status_code == 201


def test_drafts_are_kept_until_the_answer_is_sent(project, ben, client_for, next_task, submit):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    url = f"/api/v1/assignments/{given['id']}/draft/"
    assert client.put(url, {"payload": {"reason": "because"}}).status_code == 204
    assert next_task(client)["draft"] == {"reason": "because"}
    submit(client, given, PREFERS_A)
    late = client.put(url, {"payload": {"reason": "more"}})
    assert (late.status_code, late.json()["errors"][0]["code"]) == (409, "already_submitted")
    assert client.get(f"/api/v1/assignments/{given['id']}/").json()["draft"] is None


def test_skip_frees_the_slot_for_somebody_else(project, ben, chloe, client_for, next_task):
    task = make_task(project, annotations_wanted=1)
    client = client_for(ben)
    given = next_task(client)
    assert next_task(client_for(chloe)).status_code == 204
    reply = client.post(f"/api/v1/assignments/{given['id']}/skip/", {"reason": "unclear", "note": "What router?"})
    assert (reply.status_code, reply.json()["state"]) == (200, "skipped")
    assert next_task(client)["X-Reason"] == "all_seen"
    assert next_task(client_for(chloe))["state"] == "held"
    task.refresh_from_db()
    assert task.free_slots == 0
    assert client.post(f"/api/v1/assignments/{given['id']}/skip/", {"reason": "bored"}).status_code == 400


def test_renew_and_release(project, ben, client_for, next_task):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    Assignment.objects.update(held_until=timezone.now() + timedelta(seconds=5))
    renewed = client.post(f"/api/v1/assignments/{given['id']}/renew/").json()
    assert renewed["held_until"] >= given["held_until"]
    for _ in range(2):
        assert client.post(f"/api/v1/assignments/{given['id']}/release/").json()["state"] == "released"
    assert next_task(client)["id"] == given["id"]


def test_nobody_touches_what_another_holds(project, ada, ben, chloe, client_for, next_task, submit):
    make_task(project)
    given = next_task(client_for(ben))
    for person in (chloe, ada):
        client = client_for(person)
        assert client.get(f"/api/v1/assignments/{given['id']}/").status_code == 404
        assert submit(client, given, PREFERS_A).status_code == 404
        for verb in ("skip", "renew", "release", "shown"):
            body = {"reason": "unclear"} if verb == "skip" else {}
            assert client.post(f"/api/v1/assignments/{given['id']}/{verb}/", body).status_code == 404
    assert Annotation.objects.count() == 0
    assert Assignment.objects.get().state == "held"


def test_a_paused_project_gives_nothing_out_and_takes_what_is_held(
    project, ada, ben, chloe, client_for, next_task, submit
):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    client_for(ada).post("/api/v1/projects/desk/state/", {"state": "paused"})
    assert next_task(client_for(chloe))["X-Reason"] == "project_paused"
    assert submit(client, given, PREFERS_A).json()["counted"] is True


class TestMakingTasks:
    def test_a_reviewer_makes_one_from_what_is_there(self, project, rosa, client_for):
        prompt = make_prompt(project)
        responses = [str(make_response(prompt).public_id) for _ in range(2)]
        body = {"project": "desk", "prompt": str(prompt.public_id), "responses": responses, "priority": 3}
        reply = client_for(rosa).post("/api/v1/tasks/", body)
        assert reply.status_code == 201
        told = reply.json()
        assert [one["id"] for one in told["responses"]] == responses
        assert (told["annotations_wanted"], told["free_slots"], told["priority"]) == (2, 2, 3)
        assert (told["is_check"], told["answers"], told["state"]) == (False, 0, "open")

    def test_a_check_is_for_everybody(self, project, ada, client_for):
        prompt = make_prompt(project)
        responses = [str(make_response(prompt).public_id) for _ in range(2)]
        body = {"project": "desk", "prompt": str(prompt.public_id), "responses": responses}
        reply = client_for(ada).post("/api/v1/tasks/", body | {"gold": {"outcome": "prefer", "choice": "a"}})
        assert (reply.json()["is_check"], reply.json()["annotations_wanted"]) == (True, None)
        wrong = client_for(ada).post("/api/v1/tasks/", body | {"gold": {"outcome": "prefer", "choice": "c"}})
        assert (wrong.status_code, wrong.json()["errors"][0]["attr"]) == (400, "gold.choice")

    def test_an_annotator_makes_none(self, project, ben, client_for):
        prompt = make_prompt(project, by=ben)
        responses = [str(make_response(prompt).public_id) for _ in range(2)]
        body = {"project": "desk", "prompt": str(prompt.public_id), "responses": responses}
        reply = client_for(ben).post("/api/v1/tasks/", body)
        assert (reply.status_code, reply.json()["errors"][0]["code"]) == (403, "forbidden")
        assert Task.objects.count() == 0

    def test_withdrawn_and_reopened(self, project, ada, ben, client_for, next_task):
        task = make_task(project)
        client = client_for(ada)
        url = f"/api/v1/tasks/{task.public_id}/"
        assert client.post(f"{url}withdraw/").json()["state"] == "withdrawn"
        assert next_task(client_for(ben)).status_code == 204
        again = client.post(f"{url}withdraw/")
        assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "invalid_transition")
        assert client.post(f"{url}reopen/").json()["state"] == "open"
        assert next_task(client_for(ben))["state"] == "held"
        assert client.get("/api/v1/tasks/?project=desk&state=open").json()["results"][0]["id"] == str(task.public_id)
        assert client.get("/api/v1/tasks/?project=desk&state=settled").json()["results"] == []
        assert client.get("/api/v1/tasks/?project=desk&state=lost").status_code == 400


@pytest.mark.parametrize("outcome", ["tie", "both_bad"])
def test_ties_make_no_pair(project, ben, client_for, next_task, submit, outcome):
    make_task(project)
    client = client_for(ben)
    assert submit(client, next_task(client), {"outcome": outcome}).status_code == 201
    assert PreferencePair.objects.count() == 0
