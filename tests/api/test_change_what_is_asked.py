"""An admin changes schemes, kinds and dimensions over REST: held to what the page is held to."""

import pytest

from feedback.models import Project, Task
from feedback.services import projects, tasks
from tests.factories import make_prompt, make_response

SCHEME = {"topic": {"kind": "classification", "labels": [{"name": "billing"}, {"name": "other"}]}}
SPANS = {"topic": {"kind": "spans", "labels": [{"name": "billing"}]}}
URL = "/api/v1/projects/desk/"


@pytest.fixture
def asked(project, ada):
    """An open task of classification and one of rating."""
    project = projects.update_project(
        by=ada, project=project, kinds=["comparison", "classification", "rating"], label_scheme=SCHEME
    )
    text, rated = make_prompt(project), make_prompt(project)
    tasks.create_task(
        project=project, by=ada, kind="classification", prompt=text, responses=[], ask={"scheme": "topic"}
    )
    tasks.create_task(project=project, by=ada, kind="rating", prompt=rated, responses=[make_response(rated)])
    return project


CHANGES = [
    ({"label_scheme": {}}, "label_scheme.topic.kind", "classification"),
    ({"label_scheme": SPANS}, "label_scheme.topic.kind", "classification"),
    ({"kinds": ["comparison", "rating"]}, "kinds", "classification"),
    ({"dimensions": []}, "dimensions", "rating"),
    ({"dimensions": ["helpful"]}, "dimensions", "rating"),
]


@pytest.mark.parametrize("change, attr, kind", CHANGES)
def test_what_open_tasks_need_stays(asked, ada, client_for, change, attr, kind):
    before = Project.objects.values().get(pk=asked.pk)
    reply = client_for(ada).patch(URL, change)
    (error,) = reply.json()["errors"]
    assert (reply.status_code, error["attr"]) == (409, attr)
    assert error["detail"].endswith("Withdraw them first.")
    assert Project.objects.values().get(pk=asked.pk) == before
    assert set(Task.objects.values_list("state", flat=True)) == {"open"}


@pytest.mark.parametrize("change, attr, kind", CHANGES)
def test_they_are_withdrawn_when_that_is_asked_for(asked, ada, client_for, change, attr, kind):
    reply = client_for(ada).patch(URL, change | {"withdraw_tasks": True})
    assert reply.status_code == 200
    assert dict(Task.objects.values_list("kind", "state"))[kind] == "withdrawn"
    assert sorted(Task.objects.values_list("state", flat=True)) == ["open", "withdrawn"]


def test_what_nothing_needs_may_go(asked, ada, client_for):
    Task.objects.update(state=Task.State.SETTLED)
    assert client_for(ada).patch(URL, {"label_scheme": {}, "dimensions": ["a"], "kinds": ["rating"]}).status_code == 200


def test_renaming_is_a_verb(asked, ada, rosa, client_for):
    client = client_for(ada)
    reply = client.post(f"{URL}rename/", {"scheme": "topic", "label": "billing", "to": "payments"})
    assert reply.status_code == 200
    assert [label["name"] for label in reply.json()["label_scheme"]["topic"]["labels"]] == ["payments", "other"]
    assert client.post(f"{URL}rename/", {"dimension": "truthful", "to": "true"}).json()["dimensions"] == ["true"]
    merged = client.post(f"{URL}rename/", {"scheme": "topic", "label": "payments", "to": "other"})
    assert (merged.status_code, merged.json()["errors"][0]["attr"]) == (409, "to")
    unknown = client.post(f"{URL}rename/", {"scheme": "topic", "label": "paymets", "to": "x"})
    assert (unknown.status_code, "Did you mean 'payments'?" in unknown.json()["errors"][0]["detail"]) == (404, True)
    assert client.post(f"{URL}rename/", {"scheme": "topic", "to": "x"}).status_code == 400
    assert client_for(rosa).post(f"{URL}rename/", {"dimension": "true", "to": "x"}).status_code == 403


def test_the_page_renames_too_and_lists_gold_that_no_longer_fits(asked, ada, signed_in):
    Task.objects.filter(kind="classification").update(
        gold={"on": "prompt", "scheme": "topic", "labels": ["billing"]}, state="open"
    )
    browser = signed_in(ada)
    row = {"label-TOTAL_FORMS": 2, "label-INITIAL_FORMS": 2, "title": "Topic", "kind": "classification"}
    row |= {"label-0-name": "payments", "label-1-name": "other"}
    assert browser.post("/p/desk/project/labels/topic/", row).status_code == 302
    project = Project.objects.get(pk=asked.pk)
    assert project.renames == {"labels": {"topic": {"billing": "payments"}}}
    assert "Gold tasks set aside" not in browser.get("/p/desk/project/labels/").content.decode()
    row |= {"label-0-name": ""}
    assert browser.post("/p/desk/project/labels/topic/", row).status_code == 302
    assert "Gold tasks set aside" in browser.get("/p/desk/project/labels/").content.decode()
    assert Task.objects.get(kind="classification").state == "aside"
