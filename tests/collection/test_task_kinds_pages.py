"""Every kind of task without script, as plain forms."""

from typing import Any

import pytest
from django.utils.html import escape

from feedback.models import Annotation, Person, Project
from feedback.services.collection import annotations
from tests.factories import take
from tests.kinds import TEXT, make_kind

FORMS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "ranking",
        {},
        {"place-a": "2", "place-b": "1", "place-c": "2", "place-d": "4"},
        {"ranking": [["b"], ["a", "c"], ["d"]]},
    ),
    ("rating", {}, {"rating-truthful": "4"}, {"ratings": {"truthful": 4}}),
    ("demonstration", {}, {"text": "One.\r\nTwo."}, {"text": "One.\nTwo."}),
    ("demonstration", {"responses": 0}, {"text": "Three."}, {"text": "Three."}),
    ("classification", {"scheme": "folder"}, {"label": "personal"}, {"labels": ["personal"]}),
    ("classification", {"scheme": "topic"}, {"label": ["billing", "device"]}, {"labels": ["device", "billing"]}),
    (
        "spans",
        {"scheme": "names"},
        {"spans": "name: Mara 🌿 Vell\r\nplace: Saltby\r\n"},
        {"spans": [{"start": 0, "end": 11, "label": "name"}, {"start": 21, "end": 27, "label": "place"}]},
    ),
    (
        "spans",
        {"scheme": "names", "text": "Mara and Mara"},
        {"spans": "name: Mara\nname: Mara"},
        {"spans": [{"start": 0, "end": 4, "label": "name"}, {"start": 9, "end": 13, "label": "name"}]},
    ),
]


@pytest.fixture
def plain(project: Project) -> Project:
    project.dimensions = ["truthful"]
    project.save()
    return project


@pytest.mark.parametrize(("kind", "options", "form", "answer"), FORMS)
def test_a_plain_form_answers(
    plain: Project,
    ben: Person,
    rosa: Person,
    signed_in: Any,
    kind: str,
    options: dict[str, Any],
    form: dict[str, Any],
    answer: dict[str, Any],
) -> None:
    make_kind(plain, kind, **options)
    client = signed_in(ben)
    held = take(plain, ben)
    page = client.get("/p/desk/desk/").content.decode()
    for name in form:
        assert f'name="{name}"' in page, "the page has a field for it without script"
    reply = client.post(f"/desk/{held.public_id}/submit/", form)
    assert reply.status_code == 302, reply.content.decode()
    held.refresh_from_db()
    row = Annotation.objects.get()
    told = annotations.payloads.unresolve(kind, row.payload, row.shown)
    assert told == answer | {"reason": ""}
    seen = signed_in(rosa).get(f"/p/desk/quality/annotations/{row.public_id}/")
    assert seen.status_code == 200 and "no content" not in seen.content.decode()


BROKEN: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("ranking", {}, {"place-a": "1"}, "Rank every response"),
    ("rating", {}, {}, "Rate every dimension"),
    ("demonstration", {"responses": 0}, {"text": " "}, "Write the response"),
    ("classification", {"scheme": "folder"}, {}, "Choose exactly one label"),
    ("spans", {"scheme": "names"}, {"spans": "name: Nobody"}, "is not a label followed by words of the text"),
    ("spans", {"scheme": "names"}, {"spans": "colour: Mara"}, "Choose from name, place"),
]


@pytest.mark.parametrize(("kind", "options", "form", "sentence"), BROKEN)
def test_what_is_wrong_in_a_plain_form_is_told_on_the_page(
    plain: Project, ben: Person, signed_in: Any, kind: str, options: dict[str, Any], form: dict[str, Any], sentence: str
) -> None:
    make_kind(plain, kind, **options)
    held = take(plain, ben)
    reply = signed_in(ben).post(f"/desk/{held.public_id}/submit/", form)
    assert reply.status_code == 400 and escape(sentence) in reply.content.decode()
    assert not Annotation.objects.exists()


def test_what_was_written_without_script_is_there_again_after_an_error(
    plain: Project, ben: Person, signed_in: Any
) -> None:
    plain.asks_reason = True
    plain.save()
    make_kind(plain, "demonstration")
    held = take(plain, ben)
    reply = signed_in(ben).post(f"/desk/{held.public_id}/submit/", {"text": "A long thought.", "reason": ""})
    assert reply.status_code == 400 and "A long thought.</textarea>" in reply.content.decode()


def test_a_task_whose_labels_are_gone_says_so_and_can_be_skipped(plain: Project, ben: Person, signed_in: Any) -> None:
    make_kind(plain, "spans", scheme="names")
    Project.objects.update(label_scheme={})
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    assert "were removed from the project" in page and 'data-kind=""' in page and 'data-act="skip"' in page


def test_labels_come_with_their_definitions_and_a_text_to_mark_as_it_is(
    plain: Project, ben: Person, signed_in: Any
) -> None:
    make_kind(plain, "spans", scheme="names", text=f"{TEXT} *Not* <b>rendered</b>")
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    assert "A particular person." in page
    assert escape("*Not* <b>rendered</b>") in page and "<em>Not</em>" not in page
