"""An answer is revised, taken back, flagged and reviewed; what was said before stays."""

import pytest

from feedback.models import Annotation, PreferencePair, Review
from tests.factories import PREFERS_A, make_annotation, make_snapshot

pytestmark = pytest.mark.database


@pytest.fixture
def annotation(project, ben):
    return make_annotation(project, ben)


def url(annotation, verb="") -> str:
    return f"/api/v1/annotations/{annotation.public_id}/{verb}"


def test_a_revision_is_another_row(project, ben, client_for, annotation):
    client = client_for(ben)
    reply = client.post(url(annotation, "revise/"), {"answer": {"outcome": "tie"}})
    assert reply.status_code == 201
    told = reply.json()
    assert (told["revision"], told["current"], told["answer"]["outcome"]) == (2, True, "tie")
    assert [one["answer"]["outcome"] for one in told["history"]] == ["prefer", "tie"]
    assert [one["current"] for one in told["history"]] == [False, True]
    first = Annotation.objects.get(pk=annotation.pk)
    assert first.payload["outcome"] == "prefer"
    assert PreferencePair.objects.get().closed_at is not None
    assert client.get(url(annotation)).json()["history"] == told["history"]


def test_taken_back_it_no_longer_counts(project, ben, chloe, client_for, next_task, annotation):
    told = client_for(ben).post(url(annotation, "withdraw/")).json()
    assert (told["withdrawn"], told["answer"], told["counted"]) == (True, None, False)
    assert PreferencePair.objects.standing().count() == 0
    assert next_task(client_for(chloe))["state"] == "held"
    again = client_for(ben).post(url(annotation, "withdraw/"))
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "conflict")


def test_nobody_changes_anothers_answer(project, ada, rosa, chloe, client_for, annotation):
    assert client_for(chloe).get(url(annotation)).status_code == 404
    assert client_for(chloe).post(url(annotation, "revise/"), {"answer": PREFERS_A}).status_code == 404
    for person in (ada, rosa):
        for verb, body in (("revise/", {"answer": PREFERS_A}), ("withdraw/", {})):
            assert client_for(person).post(url(annotation, verb), body).status_code == 403
    assert Annotation.objects.count() == 1


def test_a_reviewer_sends_back_and_the_slot_is_open_again(project, rosa, ben, client_for, annotation):
    reply = client_for(rosa).post(url(annotation, "review/"), {"decision": "send_back", "note": "Read it again."})
    assert (reply.status_code, reply.json()["decision"]) == (201, "send_back")
    annotation.assignment.refresh_from_db()
    assert (annotation.assignment.state, annotation.assignment.counted) == ("released", False)
    assert PreferencePair.objects.standing().count() == 0
    seen = client_for(ben).get(url(annotation)).json()
    assert [one["note"] for one in seen["reviews"]] == ["Read it again."]


def test_a_reviewer_corrects(project, rosa, client_for, annotation):
    client = client_for(rosa)
    assert client.post(url(annotation, "review/"), {"decision": "correct"}).json()["errors"][0]["attr"] == "answer"
    reply = client.post(url(annotation, "review/"), {"decision": "correct", "answer": {"outcome": "both_bad"}})
    assert reply.status_code == 201
    history = client.get(url(annotation)).json()["history"]
    assert [(one["annotator"]["username"], one["answer"]["outcome"]) for one in history] == [
        ("ben", "prefer"),
        ("rosa", "both_bad"),
    ]
    stale = client.post(url(annotation, "review/"), {"decision": "accept"})
    assert (stale.status_code, stale.json()["errors"][0]["code"]) == (409, "conflict")


def test_annotators_do_not_review_and_nobody_their_own(project, rosa, ben, client_for, annotation):
    assert client_for(ben).post(url(annotation, "review/"), {"decision": "accept"}).status_code == 403
    client_for(ben).post(url(annotation, "withdraw/"))
    own = make_annotation(project, rosa, task=annotation.task)
    assert client_for(rosa).post(url(own, "review/"), {"decision": "accept"}).status_code == 403
    assert Review.objects.count() == 0


def test_flags_are_seen_with_the_answer(project, ben, client_for, annotation):
    client = client_for(ben)
    assert client.post(url(annotation, "flag/"), {"reason": "It names a customer."}).status_code == 201
    assert client.post(url(annotation, "flag/"), {"reason": "  "}).status_code == 400
    assert [one["reason"] for one in client.get(url(annotation)).json()["flags"]] == ["It names a customer."]


def test_it_tells_which_snapshots_it_is_in(project, ada, ben, client_for, annotation):
    snapshot = make_snapshot(project, ada)
    assert client_for(ben).get(url(annotation)).json()["snapshots"] == [str(snapshot.public_id)]


def test_lists_show_reviewers_all_and_annotators_their_own(project, rosa, ben, chloe, client_for, annotation):
    def listed(person, more=""):
        return client_for(person).get(f"/api/v1/annotations/?project=desk{more}").json()["results"]

    assert [one["id"] for one in listed(rosa)] == [str(annotation.public_id)]
    assert len(listed(ben)) == 1
    assert listed(chloe) == []
    assert len(listed(rosa, f"&annotator={ben.public_id}")) == 1
    assert listed(rosa, f"&annotator={chloe.public_id}") == []
    assert listed(rosa, "&since=2999-01-01T00:00:00Z") == []
