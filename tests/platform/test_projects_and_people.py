"""Projects, members, guidelines, people, events, quality, health."""

import pytest
from django.utils import timezone

from feedback.models import Event, GuidelineVersion, Membership, Person, Project, WorkerProcess
from tests.factories import make_annotation, make_task

pytestmark = pytest.mark.database


def test_a_house_admin_opens_a_project_and_nobody_else(hana, ada, client_for):
    body = {"name": "Support", "slug": "support", "kinds": ["comparison"], "annotations_per_task": 3}
    refused = client_for(ada).post("/api/v1/projects/", body)
    assert (refused.status_code, Project.objects.count()) == (403, 0)
    made = client_for(hana).post("/api/v1/projects/", body)
    assert (made.status_code, made.json()["annotations_per_task"]) == (201, 3)
    taken = client_for(hana).post("/api/v1/projects/", body)
    assert (taken.status_code, taken.json()["errors"][0]["attr"]) == (409, "slug")
    assert client_for(hana).get("/api/v1/projects/support/").json() == made.json()
    assert client_for(hana).get(f"/api/v1/projects/{made.json()['id']}/").json() == made.json()


def test_the_salt_of_the_splits_is_nobodys_to_see(project, ada, client_for):
    assert project.split_salt not in client_for(ada).get("/api/v1/projects/desk/").content.decode()


def test_an_admin_changes_settings(project, ada, client_for):
    client = client_for(ada)
    told = client.patch("/api/v1/projects/desk/", {"annotations_per_task": 5, "dimensions": ["helpful"]}).json()
    assert (told["annotations_per_task"], told["dimensions"], told["name"]) == (5, ["helpful"], "Support desk")
    assert client.patch("/api/v1/projects/desk/", {"annotations_per_task": 0}).status_code == 400
    assert client.patch("/api/v1/projects/desk/", {"kinds": ["sonnet"]}).status_code == 400
    project.refresh_from_db()
    assert project.annotations_per_task == 5


def test_members_come_change_and_go(project, ada, dan, client_for):
    client = client_for(ada)
    url = "/api/v1/projects/desk/members/"
    assert client.post(url, {"person": "dan", "role": "annotator"}).json()["role"] == "annotator"
    assert client.post(url, {"person": "dan", "role": "reviewer"}).json()["role"] == "reviewer"
    assert client_for(dan).get("/api/v1/projects/desk/").status_code == 200
    assert {one["person"]["username"] for one in client.get(url).json()["results"]} == {
        "hana",
        "ada",
        "rosa",
        "ben",
        "chloe",
        "dan",
    }
    assert client.delete(f"{url}{dan.public_id}/").status_code == 204
    assert client.delete(f"{url}{dan.public_id}/").status_code == 404
    assert client_for(dan).get("/api/v1/projects/desk/").status_code == 404
    assert client.post(url, {"person": "nobody", "role": "annotator"}).status_code == 404


def test_the_last_admin_stays(project, hana, ada, client_for):
    url = "/api/v1/projects/desk/members/"
    client = client_for(ada)
    assert client.delete(f"{url}{hana.public_id}/").status_code == 204
    assert client.delete(f"{url}{ada.public_id}/").status_code == 409
    assert client.post(url, {"person": "ada", "role": "annotator"}).status_code == 409
    assert Membership.objects.get(project=project, person=ada).role == "admin"


def test_guidelines_are_versions(project, ada, ben, client_for):
    url = "/api/v1/projects/desk/guidelines/"
    assert client_for(ben).post(url, {"text": "Mine."}).status_code == 403
    told = client_for(ada).post(url, {"text": "Prefer what is true."}).json()
    assert told["number"] == 2
    assert client_for(ada).post(url, {"text": "Prefer what is true."}).json()["number"] == 2
    assert [one["number"] for one in client_for(ben).get(url).json()["results"]] == [2, 1]
    assert GuidelineVersion.objects.get(number=1).text == "Prefer what helps."


def test_accounts_are_made_by_the_house(project, hana, ada, client_for):
    body = {"username": "eve", "password": "quite-a-long-secret"}
    assert client_for(ada).post("/api/v1/people/", body).status_code == 403
    assert client_for(ada).get("/api/v1/people/").status_code == 403
    made = client_for(hana).post("/api/v1/people/", body)
    assert made.status_code == 201
    assert "password" not in made.content.decode()
    weak = client_for(hana).post("/api/v1/people/", {"username": "bob", "password": "12345"})
    assert (weak.status_code, weak.json()["errors"][0]["attr"]) == (400, "password")
    assert Person.objects.get(username="eve").check_password("quite-a-long-secret")


def test_events_are_for_admins_and_hold_ids_only(project, ada, rosa, ben, client_for):
    annotation = make_annotation(project, ben)
    client_for(ben).post(f"/api/v1/annotations/{annotation.public_id}/flag/", {"reason": "a secret"})
    assert client_for(rosa).get("/api/v1/events/?project=desk").status_code == 403
    reply = client_for(ada).get("/api/v1/events/?project=desk")
    assert "secret" not in reply.content.decode()
    newest = reply.json()["results"][0]
    assert (newest["verb"], newest["actor"]["username"]) == ("assignment.flagged", "ben")
    found = client_for(ada).get("/api/v1/events/?project=desk&verb=guidelines.published").json()["results"]
    assert len(found) == Event.objects.filter(verb="guidelines.published").count() == 1


def test_quality(project, ada, rosa, ben, chloe, client_for):
    for _ in range(3):
        task = make_task(project)
        make_annotation(project, ben, task, {"outcome": "tie"})
        make_annotation(project, chloe, task, {"outcome": "tie"})
    told = client_for(rosa).get("/api/v1/quality/?project=desk").json()
    assert (told["agreement"]["units"], told["agreement"]["raw"], told["looked_at"]) == (3, 1.0, 6)
    assert {(one["person"]["username"], one["answers"], one["ties"]) for one in told["annotators"]} == {
        ("ben", 3, 3),
        ("chloe", 3, 3),
    }
    assert client_for(ben).get("/api/v1/quality/?project=desk").status_code == 403


def test_health_says_that_nobody_is_there(project, ben, client_for):
    told = client_for(ben).get("/api/v1/health/").json()
    assert told["ok"] is False
    assert [one["name"] for one in told["queues"]] == ["default", "generate", "train"]
    now = timezone.now()
    for name in ("default", "generate", "train"):
        WorkerProcess.objects.create(name=name, queue=name, pid=1, host="h", started_at=now, seen_at=now)
    told = client_for(ben).get("/api/v1/health/").json()
    assert told["ok"] is True
    assert [(one["alive"], one["busy"]) for one in told["queues"][2]["workers"]] == [(True, False)]


def test_pages_follow_each_other_while_rows_arrive(project, ada, client_for):
    made = [make_task(project) for _ in range(5)]
    client = client_for(ada)
    page = client.get("/api/v1/tasks/?project=desk&page_size=2").json()
    seen = [one["id"] for one in page["results"]]
    make_task(project)  # arrives while somebody reads
    while page["next"]:
        page = client.get(page["next"]).json()
        seen += [one["id"] for one in page["results"]]
    assert seen == [str(task.public_id) for task in reversed(made)]
    assert client.get("/api/v1/tasks/?project=desk&cursor=nonsense").status_code == 404


@pytest.mark.parametrize("query", ["", "?project=", "?project=%00", "?project=a/b", "?project=" + "x" * 100])
def test_a_list_asks_for_its_project(project, ada, client_for, query):
    reply = client_for(ada).get(f"/api/v1/tasks/{query}")
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "project")
