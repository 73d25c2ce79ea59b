"""The desk's page and what its script asks of the service."""

import html
import json
import re
from typing import Any

import pytest
from django.test import Client

from feedback.models import Annotation, Assignment, Draft, Flag, Person, Project
from feedback.services.collection import assignment_queue
from tests.factories import PREFERS_A, make_prompt, make_response, make_task, take
from tests.pages import folded


def post(client: Client, path: str, body: dict[str, Any], key: str = "") -> Any:
    headers = {"Accept": "application/json", **({"Idempotency-Key": key} if key else {})}
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def cards(page: str) -> list[str]:
    return re.findall(r'data-card data-id="([0-9a-f-]+)"', folded(page))


def test_the_page_comes_with_the_task_and_the_next_one(project: Project, ben: Person, signed_in: Any) -> None:
    make_task(project)
    make_task(project)
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    shown, ahead = cards(page)
    states = {str(one.public_id): one.ahead for one in Assignment.objects.filter(annotator=ben)}
    assert states == {shown: False, ahead: True}


def test_nothing_on_the_page_tells_who_wrote_what(project: Project, ben: Person, signed_in: Any) -> None:
    prompt = make_prompt(project)
    responses = [make_response(prompt, model_name="secret-model"), make_response(prompt, model_name="other-model")]
    task = make_task(project, prompt, responses=responses)
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    for hidden in ("secret-model", "other-model", str(task.public_id), *(str(one.public_id) for one in responses)):
        assert hidden not in page


def test_model_text_is_never_trusted(project: Project, ben: Person, signed_in: Any) -> None:
    prompt = make_prompt(project)
    bad = "<script>alert(1)</script> ![x](https://evil.example/p.png) [go](javascript:alert(1)) <b onclick=x>b</b>"
    make_task(project, prompt, responses=[make_response(prompt, bad), make_response(prompt, "# Fine\n\n**good**")])
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    assert "<script>alert" not in page and '<img src="https' not in page
    assert 'href="javascript' not in page and "<b onclick" not in page
    assert "<strong>good</strong>" in page and "<h3>Fine</h3>" in page
    assert html.escape(bad) in page, "the plain view shows what was really written"


def test_an_empty_desk_says_why_and_that_no_worker_is_there(project: Project, ben: Person, signed_in: Any) -> None:
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    assert "No tasks right now" in page
    assert "There are no open tasks." in page
    assert "No model serves this project yet" in page


def test_a_paused_project_gives_nothing_out(project: Project, ben: Person, signed_in: Any) -> None:
    make_task(project)
    Project.objects.update(state="paused")
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    assert "Support desk is paused; no tasks are assigned." in page and cards(page) == []


def test_an_answer_brings_the_following_task(project: Project, ben: Person, signed_in: Any) -> None:
    for _ in range(3):
        make_task(project)
    client = signed_in(ben)
    shown, ahead = cards(client.get("/p/desk/desk/").content.decode())
    body = {"answer": PREFERS_A, "seconds": 0, "showing": ahead}
    reply = post(client, f"/desk/{shown}/submit/", body, "key-1").json()
    assert reply["counted"] is True and reply["late"] is False
    assert reply["progress"]["today"] == 1
    assert reply["next"]["id"] not in (shown, ahead)
    assert cards(reply["next"]["html"]) == [reply["next"]["id"]]
    assert Assignment.objects.get(public_id=ahead).shown_at is not None
    assert Annotation.objects.get().client == "web"


def test_sending_twice_counts_once(project: Project, ben: Person, signed_in: Any) -> None:
    make_task(project)
    client = signed_in(ben)
    (shown,) = cards(client.get("/p/desk/desk/").content.decode())
    first = post(client, f"/desk/{shown}/submit/", {"answer": PREFERS_A, "showing": None}, "key-1")
    again = post(client, f"/desk/{shown}/submit/", {"answer": PREFERS_A, "showing": "other"}, "key-1")
    assert first.status_code == again.status_code == 200
    assert Annotation.objects.count() == 1
    other_key = post(client, f"/desk/{shown}/submit/", {"answer": PREFERS_A}, "key-2")
    assert (other_key.status_code, other_key.json()["code"]) == (409, "already_submitted")
    assert Annotation.objects.count() == 1


def test_a_wrong_answer_is_told_by_field_and_nothing_is_kept(project: Project, ben: Person, signed_in: Any) -> None:
    make_task(project)
    client = signed_in(ben)
    (shown,) = cards(client.get("/p/desk/desk/").content.decode())
    reply = post(client, f"/desk/{shown}/submit/", {"answer": {"outcome": "prefer", "choice": "z"}}, "key-1")
    assert (reply.status_code, reply.json()["field"]) == (400, "choice")
    assert Annotation.objects.count() == 0


def test_the_last_answer_comes_back_filled_and_is_revised(project: Project, ben: Person, signed_in: Any) -> None:
    make_task(project)
    client = signed_in(ben)
    (shown,) = cards(client.get("/p/desk/desk/").content.decode())
    post(client, f"/desk/{shown}/submit/", {"answer": PREFERS_A}, "key-1")
    back = client.get("/p/desk/desk/undo/").json()
    assert back["id"] == shown
    assert html.escape(json.dumps("prefer")) in back["html"] and 'data-state="submitted"' in back["html"]
    reply = post(client, f"/desk/{shown}/revise/", {"answer": {"outcome": "tie"}}, "key-2")
    assert reply.json()["revision"] == 2
    assert [row.payload["outcome"] for row in Annotation.objects.order_by("revision")] == ["prefer", "tie"]


def test_without_an_answer_there_is_nothing_to_call_back(project: Project, ben: Person, signed_in: Any) -> None:
    reply = signed_in(ben).get("/p/desk/desk/undo/").json()
    assert reply["html"] == "" and "No annotation" in reply["sentence"]


def test_a_skip_frees_the_task_for_others(project: Project, ben: Person, chloe: Person, signed_in: Any) -> None:
    task = make_task(project, annotations_wanted=1)
    client = signed_in(ben)
    (shown,) = cards(client.get("/p/desk/desk/").content.decode())
    reply = post(client, f"/desk/{shown}/skip/", {"reason": "unclear", "showing": None})
    assert reply.status_code == 200 and reply.json()["next"] is None
    assert "No tasks right now" in reply.json()["nothing"]["html"]
    assert take(project, chloe).task_id == task.pk


def test_drafts_flags_time_and_release(project: Project, ben: Person, signed_in: Any) -> None:
    make_task(project)
    make_task(project)
    client = signed_in(ben)
    shown, ahead = cards(client.get("/p/desk/desk/").content.decode())
    assert post(client, f"/desk/{shown}/draft/", {"payload": {"choice": "3"}}).json() == {"kept": True}
    assert Draft.objects.get().payload == {"choice": "3"}
    assert html.escape('{"choice": "3"}') in client.get("/p/desk/desk/").content.decode()
    for _ in range(2):
        assert post(client, f"/desk/{shown}/flag/", {"reason": "cut off"}, "flag-1").status_code == 200
    assert Flag.objects.count() == 1
    assert post(client, "/desk/renew/", {"ids": [shown, ahead]}).json() == {"lost": []}
    assert client.post(f"/desk/{shown}/release/").status_code == 204
    assert Assignment.objects.get(public_id=shown).state == "held", "what is on the desk stays"
    assert client.post(f"/desk/{ahead}/release/").status_code == 204
    assert Assignment.objects.get(public_id=ahead).state == "released"
    assert post(client, "/desk/renew/", {"ids": [ahead]}).json() == {"lost": []}, "its place was still free"


@pytest.mark.parametrize("verb", ["submit", "revise", "skip", "flag", "draft", "release"])
def test_nobody_touches_somebody_elses_assignment(
    project: Project, ben: Person, chloe: Person, dan: Person, signed_in: Any, verb: str
) -> None:
    make_task(project)
    held = take(project, ben)
    for other in (chloe, dan):
        body = {"answer": PREFERS_A, "reason": "unclear", "payload": {}}
        reply = post(signed_in(other), f"/desk/{held.public_id}/{verb}/", body, "key")
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    held.refresh_from_db()
    assert held.state == "held" and Annotation.objects.count() == Flag.objects.count() == 0


def test_who_is_signed_out_is_told_so(project: Project, ben: Person, client: Client) -> None:
    make_task(project)
    held = take(project, ben)
    reply = post(client, f"/desk/{held.public_id}/submit/", {"answer": PREFERS_A}, "key")
    assert (reply.status_code, reply.json()["code"]) == (401, "signed_out")


def test_without_script_plain_forms_do(project: Project, ben: Person, signed_in: Any) -> None:
    make_task(project)
    make_task(project)
    client = signed_in(ben)
    shown, _ = cards(client.get("/p/desk/desk/").content.decode())
    assert client.post(f"/desk/{shown}/submit/", {"reason": ""}).status_code == 400
    reply = client.post(f"/desk/{shown}/submit/", {"choice": "8", "dimension-truthful": "same"})
    assert (reply.status_code, reply["Location"]) == (302, "/p/desk/desk/")
    payload = Annotation.objects.get().payload
    assert (payload["outcome"], payload["strength"], payload["dimensions"]) == ("prefer", 2, {"truthful": "same"})
    (following,) = cards(client.get("/p/desk/desk/").content.decode())
    assert client.post(f"/desk/{following}/skip/", {"reason": "other"}).status_code == 302
    assert Assignment.objects.get(public_id=following).state == "skipped"


def test_asking_for_more_while_one_is_shown_holds_at_most_four(project: Project, ben: Person, signed_in: Any) -> None:
    for _ in range(6):
        make_task(project)
    client = signed_in(ben)
    shown, ahead = cards(client.get("/p/desk/desk/").content.decode())
    have = [ahead]
    assert post(client, "/p/desk/desk/next/", {"showing": shown}).json()["next"]["id"] == ahead
    while following := post(client, "/p/desk/desk/next/", {"showing": shown, "have": have}).json()["next"]:
        have.append(following["id"])
    assert len(set(have)) == 3
    assert Assignment.objects.filter(annotator=ben, state="held").count() == assignment_queue.AT_MOST_HELD
