"""The queue's policy, checks, the training round and the reviewer's queue over REST, as a program uses them."""

import pytest

from feedback.models import Annotation, Concern, Task
from tests.factories import make_annotation, make_task

pytestmark = pytest.mark.database

TIE = {"outcome": "tie"}


def test_an_admin_sets_the_policy_and_members_are_told_why_nothing_comes(project, ada, ben, client_for):
    admin, annotator = client_for(ada), client_for(ben)
    reply = admin.patch("/api/v1/projects/desk/", {"queue_policy": {"gold_share": 0.2, "daily_limit": 1}})
    assert reply.json()["queue_policy"] == {"gold_share": 0.2, "daily_limit": 1}
    wrong = admin.patch("/api/v1/projects/desk/", {"queue_policy": {"gold_share": 0.6}})
    assert (wrong.status_code, wrong.json()["errors"][0]["attr"]) == (400, "queue_policy.gold_share")

    make_task(project)
    path = f"/api/v1/projects/desk/members/{ben.public_id}/"
    member = admin.patch(path, {"qualified": {"kinds": ["ranking"]}, "daily_limit": 5}).json()
    assert (member["qualified"], member["daily_limit"], member["training"]) == ({"kinds": ["ranking"]}, 5, "needed")
    nothing = annotator.post("/api/v1/tasks/next/", {"project": "desk"})
    assert (nothing.status_code, nothing["X-Reason"]) == (204, "not_qualified")

    assert admin.patch(path, {"qualified": {}, "daily_limit": None}).json()["daily_limit"] is None
    make_annotation_by(annotator)
    full = annotator.post("/api/v1/tasks/next/", {"project": "desk"})
    assert (full.status_code, full["X-Reason"]) == (204, "daily_limit") and int(full["Retry-After"]) > 0
    assert annotator.patch(path, {"daily_limit": 9}).status_code == 403


def make_annotation_by(client):
    given = client.post("/api/v1/tasks/next/", {"project": "desk"}).json()
    path = f"/api/v1/assignments/{given['id']}/submit/"
    return client.post(path, {"answer": TIE}, headers={"Idempotency-Key": given["id"]}).json()


def test_checks_are_marked_and_unmarked(project, rosa, client_for):
    path = f"/api/v1/tasks/{make_task(project).public_id}/gold/"
    client = client_for(rosa)
    body = {"answer": {"outcome": "prefer", "choice": "a"}, "explanation": "B is wrong.", "training_round": True}
    marked = client.post(path, body).json()
    assert (marked["is_check"], marked["training_round"], marked["explanation"]) == (True, True, "B is wrong.")
    assert marked["gold"]["chosen"] == marked["responses"][0]["id"]
    assert client.delete(path).json()["gold"] is None
    assert client.delete(path).status_code == 409


def test_the_training_round_tells_what_is_right(project, ada, ben, client_for):
    client_for(ada).patch("/api/v1/projects/desk/", {"queue_policy": {"training_tasks": 1}})
    make_task(project, gold=TIE, training_round=True, explanation="They say the same.")
    told = make_annotation_by(client_for(ben))["feedback"]
    assert told == {
        "right": True,
        "answer": {"outcome": "tie", "reason": "", "dimensions": {}},
        "explanation": "They say the same.",
        "training": "passed",
        "answered": 1,
        "needed": 1,
    }
    path = f"/api/v1/projects/desk/members/{ben.public_id}/"
    assert client_for(ada).patch(path, {"training": "needed"}).json()["training"] == "needed"
    assert make_annotation_by(client_for(ben))["feedback"]["training"] == "passed", "the same task, once more"


def test_guidelines_are_read_once_a_version(project, ada, ben, client_for):
    path = "/api/v1/projects/desk/guidelines/1/read/"
    assert client_for(ben).post(path).json()["number"] == 1
    assert client_for(ben).post("/api/v1/projects/desk/guidelines/2/read/").status_code == 404
    members = client_for(ada).get("/api/v1/projects/desk/members/").json()["results"]
    assert {one["person"]["username"]: one["guidelines_read"] for one in members}["ben"] == 1


def test_a_reviewer_works_the_queue(project, ada, rosa, ben, chloe, client_for):
    client_for(ada).patch("/api/v1/projects/desk/", {"queue_policy": {"review_share": 1}})
    project.refresh_from_db()
    annotation = make_annotation(project, ben)
    client = client_for(rosa)
    assert client_for(ben).get("/api/v1/concerns/?project=desk").status_code == 403
    (concern,) = client.get("/api/v1/concerns/?project=desk&reason=sample").json()["results"]
    assert (concern["annotation"], concern["kind"]) == (str(annotation.public_id), "comparison")
    assert client.get(f"/api/v1/concerns/?project=desk&annotator={chloe.public_id}").json()["results"] == []
    path = f"/api/v1/concerns/{concern['id']}/dismiss/"
    assert client.post(path).json()["closed_at"] is not None
    assert client.post(path).status_code == 409
    assert Concern.objects.filter(closed_by=rosa).count() == 1


def test_a_reviewer_decides_and_changes_a_task(project, rosa, ben, chloe, client_for):
    task = make_task(project, annotations_wanted=1)
    make_annotation(project, ben, task)
    path = f"/api/v1/tasks/{task.public_id}/"
    client = client_for(rosa)
    assert client.post(path + "decide/", {"answer": {"outcome": "perhaps"}}).json()["errors"][0]["attr"] == "outcome"
    assert client.post(path + "decide/", {"answer": TIE, "note": "Neither."}).json()["decision"]["outcome"] == "tie"
    assert client.post(path + "decide/", {"answer": TIE}).status_code == 409
    assert Annotation.objects.count() == 1

    changed = client.patch(path, {"annotations_wanted": 3, "priority": 7}).json()
    assert (changed["annotations_wanted"], changed["free_slots"], changed["priority"]) == (3, 2, 7)
    assert changed["state"] == "open" == Task.objects.get().state
    assert client.patch(path, {"annotations_wanted": 0}).status_code == 400
    assert client_for(ben).patch(path, {"priority": 1}).status_code == 403
