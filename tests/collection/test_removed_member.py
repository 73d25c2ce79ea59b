"""Somebody is taken out of a project in the middle of a task: others get it at once, and nothing they wrote is lost."""

import pytest

from feedback.models import Annotation, Assignment, Conversation, Membership, Project, Task
from feedback.services.collection import conversations
from feedback.services.platform import projects
from tests.factories import PREFERS_A, make_model, make_task, take

pytestmark = pytest.mark.database

KEY = {"HTTP_IDEMPOTENCY_KEY": "k"}


@pytest.fixture
def held(project, ben):
    """Ben holds one of two tasks, each of which wants one answer, and has the other ready ahead."""
    Project.objects.filter(pk=project.pk).update(annotations_per_task=1)
    project.refresh_from_db()
    make_task(project)
    make_task(project)
    from feedback.services.collection import assignment_queue

    first = take(project, ben)
    ahead = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True)
    assert isinstance(ahead, Assignment)
    assert {first.task_id, ahead.task_id} == set(Task.objects.values_list("pk", flat=True))
    return first


def remove(client_for, ada, person):
    assert client_for(ada).delete(f"/api/v1/projects/desk/members/{person.public_id}/").status_code == 204


def test_what_they_held_goes_to_others_at_once(project, ada, ben, chloe, client_for, held):
    assert client_for(chloe).post("/api/v1/tasks/next/", {"project": "desk"}).status_code == 204
    remove(client_for, ada, ben)
    assert set(Assignment.objects.filter(annotator=ben).values_list("state", flat=True)) == {"released"}
    assert client_for(chloe).post("/api/v1/tasks/next/", {"project": "desk"}).status_code == 200
    assert list(Task.objects.values_list("free_slots", flat=True).order_by("free_slots")) == [0, 1]


def test_what_they_send_afterwards_is_kept_as_an_extra(project, ada, ben, chloe, client_for, held):
    remove(client_for, ada, ben)
    client = client_for(ben)
    path = f"/api/v1/assignments/{held.public_id}/"
    reply = client.post(f"{path}submit/", {"answer": PREFERS_A, "next": True}, **KEY)
    assert reply.status_code == 201
    assert (reply.json()["counted"], reply.json()["late"], reply.json()["next"]) == (False, True, None)
    assert reply.json()["no_next"]["reason"] == "not_a_member"
    task = Task.objects.get(pk=held.task_id)
    assert (task.state, task.free_slots) == ("open", 1)
    assert Annotation.objects.get().late is True
    # Nothing else of the project is theirs any more.
    assert client.get(path).status_code == 404
    assert client.post("/api/v1/tasks/next/", {"project": "desk"}).status_code == 404
    assert client.post(f"{path}submit/", {"answer": PREFERS_A}, HTTP_IDEMPOTENCY_KEY="again").status_code == 404
    assert Annotation.objects.count() == 1


def test_the_desk_says_that_it_was_kept(project, ada, ben, signed_in, held):
    browser = signed_in(ben)
    projects.remove_member(by=ada, project=project, person=ben)
    body = {"answer": PREFERS_A, "seconds": 3, "have": []}
    reply = browser.post(f"/desk/{held.public_id}/submit/", body, content_type="application/json", headers=KEY_HEADER)
    assert (reply.status_code, reply.json()["counted"], reply.json()["next"]) == (200, False, None)
    assert "removed from this project" in reply.json()["nothing"]["html"]
    assert Annotation.objects.count() == 1


KEY_HEADER = {"Idempotency-Key": "k"}


def test_who_was_never_in_it_sends_nothing(project, ada, ben, dan, client_for, held):
    remove(client_for, ada, ben)
    path = f"/api/v1/assignments/{held.public_id}/submit/"
    assert client_for(dan).post(path, {"answer": PREFERS_A}, **KEY).status_code == 404
    assert not Annotation.objects.exists()


def test_who_comes_back_finds_their_answers(project, ada, ben, client_for, held):
    remove(client_for, ada, ben)
    path = f"/api/v1/assignments/{held.public_id}/"
    client_for(ben).post(f"{path}submit/", {"answer": PREFERS_A}, **KEY)
    projects.set_member(by=ada, project=project, person=ben, role="annotator")
    assert client_for(ben).get(path).json()["state"] == "submitted"
    assert Membership.objects.filter(person=ben).count() == 1


def test_their_conversation_ends(project, ada, ben):
    make_model(project, ada, serve=True)
    Project.objects.filter(pk=project.pk).update(kinds=["comparison", "conversation"])
    project.refresh_from_db()
    conversations.start(project=project, person=ben, text="hello")
    projects.remove_member(by=ada, project=project, person=ben)
    assert Conversation.objects.get().ended_at is not None
