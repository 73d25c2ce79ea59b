"""An admin picks kinds and writes label schemes, in forms that need no script."""

from typing import Any

import pytest
from django.test import Client

from feedback.models import Person, Project
from tests.kinds import SCHEMES, make_kind

LABELS = "/p/desk/project/labels/"


@pytest.fixture
def admin(ada: Person, signed_in: Any, project: Project) -> Client:
    client: Client = signed_in(ada)
    return client


def form(*labels: dict[str, str], **scheme: str) -> dict[str, str]:
    values = {"name": "mood", "title": "Mood", "kind": "classification", "question": "How is it meant?"} | scheme
    values |= {"label-TOTAL_FORMS": str(len(labels)), "label-INITIAL_FORMS": "0"}
    for place, label in enumerate(labels):
        values |= {f"label-{place}-{name}": value for name, value in label.items()}
    return values


def test_a_scheme_is_written_changed_and_removed(admin: Client, project: Project) -> None:
    glad = {"name": "glad", "title": "Glad", "definition": "Laughs.", "key": "1", "colour": "teal"}
    reply = admin.post(f"{LABELS}new/", form(glad, {"name": ""}, {"name": "sad"}, many="on"))
    assert (reply.status_code, reply["Location"]) == (302, LABELS)
    project.refresh_from_db()
    assert project.label_scheme["mood"] == {
        "name": "mood",
        "title": "Mood",
        "kind": "classification",
        "question": "How is it meant?",
        "many": True,
        "labels": [
            {"name": "glad", "title": "Glad", "definition": "Laughs.", "key": "1", "mark": {"colour": "teal"}},
            {"name": "sad"},
        ],
    }
    page = admin.get(f"{LABELS}mood/").content.decode()
    assert 'value="glad"' in page and "Laughs." in page and "New label" in page
    assert admin.post(f"{LABELS}mood/", form({"name": "sad"})).status_code == 302
    project.refresh_from_db()
    assert [one["name"] for one in project.label_scheme["mood"]["labels"]] == ["sad"]
    assert "Mood" in admin.get(LABELS).content.decode()
    assert admin.post(f"{LABELS}mood/remove/").status_code == 302
    project.refresh_from_db()
    assert project.label_scheme == {}


WRONG: list[tuple[tuple[dict[str, str], ...], dict[str, str], str]] = [
    ((), {}, "A scheme needs labels"),
    (({"name": "a"}, {"name": ""}, {"name": "a"}), {}, "Two labels are named"),
    (({"name": "a", "key": "x"}, {"name": "b", "key": "x"}), {}, "is already the key of"),
    (({"name": "a", "key": "s"},), {}, "is reserved by the desk"),
    (({"name": "Not this"},), {}, "A name has at most 40 characters"),
    (({"name": "a"},), {"name": "new"}, "not the word “new”"),
    (({"name": "a"},), {"name": "folder"}, "A scheme named folder already exists"),
    (({"name": "a"},), {"kind": "ranking"}, "ranking is not one of the available choices"),
    (({"name": "a"},), {"title": ""}, "This field is required"),
]


@pytest.mark.parametrize(("labels", "scheme", "sentence"), WRONG)
def test_what_is_wrong_is_told_beside_its_field(
    admin: Client, project: Project, labels: Any, scheme: dict[str, str], sentence: str
) -> None:
    Project.objects.update(label_scheme=SCHEMES)
    reply = admin.post(f"{LABELS}new/", form(*labels, **scheme))
    assert reply.status_code == 422 and sentence in reply.content.decode()
    project.refresh_from_db()
    assert project.label_scheme == SCHEMES


def test_a_scheme_that_open_tasks_ask_for_stays(admin: Client, project: Project) -> None:
    make_kind(project, "classification", scheme="folder")
    reply = admin.post(f"{LABELS}folder/remove/", follow=True)
    assert "Open tasks need the label scheme folder" in reply.content.decode()
    changed = admin.post(f"{LABELS}folder/", form({"name": "a"}, kind="spans"))
    assert changed.status_code == 422 and "Open tasks need the label scheme folder" in changed.content.decode()
    project.refresh_from_db()
    assert project.label_scheme == SCHEMES


def test_a_changed_name_is_a_rename_and_the_page_shows_the_earlier_one(admin: Client, project: Project) -> None:
    admin.post(f"{LABELS}new/", form({"name": "glad"}, {"name": "sad"}))
    page = admin.get(f"{LABELS}mood/").content.decode()
    assert "To rename a label, change its stored name" in page and "Earlier name" not in page
    for was, name in (("glad", "happy"), ("happy", "cheerful")):
        rows = form({"was": was, "name": name}, {"was": "sad", "name": "sad"})
        assert admin.post(f"{LABELS}mood/", rows).status_code == 302
    page = admin.get(f"{LABELS}mood/").content.decode()
    shown = page.split("Earlier names: ")[1].split("</p>")[0]
    assert shown == "<code>glad</code>, <code>happy</code>"
    assert page.count("Earlier name") == 1, "the other label was never called anything else"


def test_every_kind_with_a_desk_can_be_picked(admin: Client, project: Project) -> None:
    page = admin.get("/p/desk/project/").content.decode()
    for kind in ("comparison", "ranking", "rating", "demonstration", "classification", "spans"):
        assert f'name="kinds" value="{kind}"' in page


def test_annotators_do_not_see_it(ben: Person, signed_in: Any, project: Project) -> None:
    assert signed_in(ben).get(LABELS).status_code == 403
