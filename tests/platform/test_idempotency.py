"""A client that sends twice is counted once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.errors import Conflict
from feedback.models import Annotation, ApiToken, IdempotencyRecord, Prompt, Thumb
from feedback.services.platform import idempotency
from tests.factories import PREFERS_A, make_prompt, make_response, make_task

pytestmark = pytest.mark.database


def test_submit_needs_a_key(project, ben, client_for, next_task):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    reply = client.post(f"/api/v1/assignments/{given['id']}/submit/", {"answer": PREFERS_A})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (400, "idempotency_key_required")
    assert Annotation.objects.count() == 0


def test_the_same_key_and_body_get_the_first_reply_again(project, ben, client_for, next_task, submit):
    make_task(project)
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    first = submit(client, given, PREFERS_A, key="one", next=True)
    again = submit(client, given, PREFERS_A, key="one", next=True)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert Annotation.objects.count() == 1


def test_the_same_key_with_another_body_is_refused(project, ben, client_for, next_task, submit):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    submit(client, given, PREFERS_A, key="one")
    other = submit(client, given, {"outcome": "tie"}, key="one")
    assert (other.status_code, other.json()["errors"][0]["code"]) == (409, "idempotency_conflict")
    assert Annotation.objects.get().payload["outcome"] == "prefer"


def test_a_new_key_on_an_answered_task_is_told_the_way_to_revise(project, ben, client_for, next_task, submit):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    annotation = submit(client, given, PREFERS_A, key="one").json()["annotation"]
    other = submit(client, given, {"outcome": "tie"}, key="two")
    assert (other.status_code, other.json()["errors"][0]["code"]) == (409, "already_submitted")
    assert other.json()["extra"] == {"annotation": annotation}
    assert Annotation.objects.count() == 1


def test_a_refusal_is_not_kept(project, ben, client_for, next_task, submit):
    make_task(project)
    client = client_for(ben)
    given = next_task(client)
    assert submit(client, given, {"outcome": "no idea"}, key="one").status_code == 400
    assert submit(client, given, PREFERS_A, key="one").status_code == 201


def test_every_post_honours_it(project, ben, client_for):
    client = client_for(ben)
    body = {"project": "desk", "text": "Hello"}
    replies = [client.post("/api/v1/prompts/", body, HTTP_IDEMPOTENCY_KEY="p") for _ in range(3)]
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert Prompt.objects.count() == 1
    response = make_response(Prompt.objects.get())
    thumb = {"response": str(response.public_id), "thumbs": "up"}
    for _ in range(2):
        assert client.post("/api/v1/feedback/", thumb, HTTP_IDEMPOTENCY_KEY="p").status_code == 201
    assert Thumb.objects.count() == 1


def test_nothing_to_do_is_told_the_same_way_again(project, ben, client_for):
    client = client_for(ben)
    replies = [client.post("/api/v1/tasks/next/", {"project": "desk"}, HTTP_IDEMPOTENCY_KEY="n") for _ in range(2)]
    assert [(reply.status_code, reply["X-Reason"], reply["Retry-After"]) for reply in replies] == [
        (204, "no_tasks", "15")
    ] * 2


def test_keys_of_different_people_do_not_meet(project, ben, chloe, client_for):
    body = {"project": "desk", "text": "Hello"}
    ids = {
        client_for(person).post("/api/v1/prompts/", body, HTTP_IDEMPOTENCY_KEY="same").json()["id"]
        for person in (ben, chloe)
    }
    assert len(ids) == 2


def test_a_request_still_at_work_is_told_to_come_again(project, ben, client_for):
    client = client_for(ben)
    body = {"project": "desk", "text": "Hello"}
    client.post("/api/v1/prompts/", body, HTTP_IDEMPOTENCY_KEY="k")
    IdempotencyRecord.objects.update(status=None, reply=None)
    reply = client.post("/api/v1/prompts/", body, HTTP_IDEMPOTENCY_KEY="k")
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (409, "conflict")
    assert Prompt.objects.count() == 1


def test_who_was_too_slow_leaves_the_claim_to_who_took_it_over(ben):
    """The first is at work for more than a minute, a repeat takes its claim over, and only then does the first fail."""

    def fail_late() -> tuple[int, None]:
        IdempotencyRecord.objects.update(created_at=timezone.now() + timedelta(seconds=61))  # as the repeat does
        raise Conflict("late")

    with pytest.raises(Conflict, match="late"):
        idempotency.once(person=ben, route="POST /", key="k", body={}, act=fail_late)
    assert IdempotencyRecord.objects.get().status is None, "the repeat is at work"


@pytest.mark.parametrize("key", ["x" * 201, "tab\there"])
def test_an_odd_key_is_refused(project, ben, client_for, key):
    make_prompt(project, by=ben)
    reply = client_for(ben).post("/api/v1/prompts/", {"project": "desk", "text": "a"}, HTTP_IDEMPOTENCY_KEY=key)
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "Idempotency-Key")


def test_a_secret_is_never_kept_for_a_repeat(project, ben, client_for):
    client = client_for(ben)
    body = {"name": "script", "scopes": ["read"]}
    first = client.post("/api/v1/tokens/", body, HTTP_IDEMPOTENCY_KEY="t").json()
    again = client.post("/api/v1/tokens/", body, HTTP_IDEMPOTENCY_KEY="t").json()
    assert first["secret"].startswith("ts_")
    assert again == first | {"secret": None}
    assert ApiToken.objects.filter(name="script").count() == 1
    assert first["secret"] not in str(list(IdempotencyRecord.objects.values_list("reply", flat=True)))
