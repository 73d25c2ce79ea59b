"""An admin changes schemes, kinds and dimensions over REST: held to what the page is held to."""

import pytest

from feedback.models import Project, Task
from feedback.services.collection import tasks
from feedback.services.platform import projects
from tests.factories import make_prompt, make_response

pytestmark = pytest.mark.database

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
    row |= {"label-0-was": "billing", "label-0-name": "payments", "label-1-was": "other", "label-1-name": "other"}
    assert browser.post("/p/desk/project/labels/topic/", row).status_code == 302
    project = Project.objects.get(pk=asked.pk)
    assert project.renames == {"labels": {"topic": {"billing": "payments"}}}
    assert "Suspended gold tasks" not in browser.get("/p/desk/project/labels/").content.decode()
    again = browser.post("/p/desk/project/labels/topic/", row)
    assert again.status_code == 422, "the page is from before the label was renamed"
    assert "was renamed or removed in the meantime" in again.content.decode()
    row |= {"label-0-was": "payments", "label-0-name": ""}
    assert browser.post("/p/desk/project/labels/topic/", row).status_code == 302
    assert "Suspended gold tasks" in browser.get("/p/desk/project/labels/").content.decode()
    assert Task.objects.get(kind="classification").state == "aside"


SETTINGS = {
    "name": "Desk", "kinds": ["comparison", "classification", "rating"], "annotations_per_task": "2",
    "responses_per_prompt": "2", "temperature": "1", "top_p": "1", "max_new_tokens": "64", "preset": "tiny",
}  # fmt: skip


def with_dimensions(*rows):
    """The settings as the page sends them: (name as it was shown, name now)."""
    told = SETTINGS | {"dimension-TOTAL_FORMS": len(rows), "dimension-INITIAL_FORMS": len(rows)}
    for place, (was, name) in enumerate(rows):
        told |= {f"dimension-{place}-was": was, f"dimension-{place}-name": name}
    return told


def test_the_page_renames_dimensions_as_it_does_labels(asked, ada, signed_in):
    browser = signed_in(ada)
    shown = browser.get("/p/desk/project/").content.decode()
    assert 'name="dimension-0-was" value="truthful"' in shown and 'name="dimension-0-name" value="truthful"' in shown
    Task.objects.filter(kind="rating").update(gold={"ratings": {"truthful": 5}})
    assert browser.post("/p/desk/project/", with_dimensions(("truthful", "true, or not"))).status_code == 302
    project = Project.objects.get(pk=asked.pk)
    assert (project.dimensions, project.renames["dimensions"]) == (["true, or not"], {"truthful": "true, or not"})
    gold = Task.objects.get(kind="rating").gold
    assert gold is not None and project.names.right({"ratings": {"true, or not": 5}}, gold)
    more = with_dimensions(("", "kind"), ("true, or not", "true, or not"))
    assert browser.post("/p/desk/project/", more).status_code == 302
    project.refresh_from_db()
    assert (project.dimensions, set(project.renames["dimensions"])) == (["kind", "true, or not"], {"truthful"})


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([("truthful", "")], "Open tasks need the dimension truthful. Withdraw them first."),
        ([("honest", "true")], "&#x27;honest&#x27; was renamed or removed in the meantime."),
        ([("truthful", "truthful"), ("", "Truthful")], "are the same name. Remove one of them."),
        ([("truthful", "truthful"), ("", "two\nlines")], "A dimension name is one line"),
    ],
)
def test_the_page_refuses_dimensions_in_words_and_changes_nothing(asked, ada, signed_in, rows, sentence):
    reply = signed_in(ada).post("/p/desk/project/", with_dimensions(*rows))
    assert (reply.status_code, sentence in reply.content.decode()) == (422, True)
    project = Project.objects.get(pk=asked.pk)
    assert (project.dimensions, project.name, project.renames) == (["truthful"], "Support desk", {})


TWINS = [["a", "a"], ["a", "A"], ["caf\u00e9", "cafe\u0301"], ["a\nb"], ["a\u2028b"], ["x" * 61], ["x"] * 13, [" "]]


@pytest.mark.parametrize("names", TWINS, ids=range(len(TWINS)))
def test_names_that_nobody_could_tell_apart_are_no_dimensions(project, ada, client_for, names):
    assert client_for(ada).patch(URL, {"dimensions": names}).status_code == 400
    assert Project.objects.get(pk=project.pk).dimensions == ["truthful"]
    to = client_for(ada).post(f"{URL}rename/", {"dimension": "truthful", "to": names[0]})
    assert to.status_code == (200 if names[0] in ("a", "x", "caf\u00e9") else 400)
