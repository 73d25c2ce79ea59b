"""One's own answers: listed, looked at again, revised; nobody else's."""

from typing import Any

from feedback.models import Annotation, Person, Project
from tests.factories import make_annotation, make_task

MINE = "/p/desk/mine/"


def test_an_answer_of_one_s_own_is_revised_from_the_list(project: Project, ben: Person, signed_in: Any) -> None:
    first = make_annotation(project, ben)
    make_task(project)
    client = signed_in(ben)
    page = client.get(MINE).content.decode()
    assert page.count("Revise<") == 1
    again = f"/p/desk/desk/?revise={first.assignment.public_id}"
    assert again in page
    desk = client.get(again).content.decode()
    assert f'data-id="{first.assignment.public_id}" data-kind="comparison" data-state="submitted"' in desk
    assert desk.count("data-card") == 2, "the next task lies behind it"
    reply = client.post(f"/desk/{first.assignment.public_id}/submit/", {"choice": "5"})
    assert reply.status_code == 302
    assert [row.payload["outcome"] for row in Annotation.objects.order_by("revision")] == ["prefer", "tie"]
    page = client.get(MINE).content.decode()
    assert page.count("Revise<") == 1 and "No difference" in page


def test_nobody_else_s_answer_lies_on_one_s_desk(project: Project, ben: Person, chloe: Person, signed_in: Any) -> None:
    hers = make_annotation(project, chloe)
    client = signed_in(ben)
    assert "No annotations yet" in client.get(MINE).content.decode()
    for key in (hers.assignment.public_id, hers.public_id, "nonsense"):
        assert client.get(f"/p/desk/desk/?revise={key}").status_code == 404


def test_the_training_round_and_withdrawn_answers_are_not_revised(
    project: Project, ben: Person, signed_in: Any
) -> None:
    shown, gone = make_annotation(project, ben), make_annotation(project, ben)
    type(shown.task).objects.filter(pk=shown.task_id).update(training_round=True, gold={"outcome": "tie"})
    Annotation.objects.filter(pk=gone.pk).update(withdrawn=True)
    client = signed_in(ben)
    assert "Revise<" not in client.get(MINE).content.decode()
    for one in (shown, gone):
        assert client.get(f"/p/desk/desk/?revise={one.assignment.public_id}").status_code == 404


def test_strangers_see_no_list(project: Project, dan: Person, signed_in: Any) -> None:
    assert signed_in(dan).get(MINE).status_code == 404
