"""A client says up or down on a response it was given."""

import json

import pytest

from feedback.models import Response, Thumb
from feedback.services.data import snapshots
from tests.factories import make_prompt, make_response, make_snapshot

pytestmark = pytest.mark.database

URL = "/api/v1/feedback/"


@pytest.fixture
def response(project, ben):
    return make_response(make_prompt(project, by=ben))


def test_the_last_thumb_counts_and_the_history_stays(project, ben, client_for, response):
    client = client_for(ben, "submit")
    for thumbs, comment in (("up", ""), ("up", ""), ("down", "It was wrong.")):
        reply = client.post(URL, {"response": str(response.public_id), "thumbs": thumbs, "comment": comment})
        assert reply.status_code == 201
        assert reply.json()["thumbs"] == thumbs
    assert list(Thumb.objects.order_by("pk").values_list("up", "comment")) == [(True, ""), (False, "It was wrong.")]
    assert Thumb.objects.filter(token=None).count() == 0


def test_accepted_responses_are_imitated_where_a_snapshot_says_so(project, ada, ben, client_for, response):
    doubted = make_response(response.prompt)
    for one, person, thumbs in ((response, ben, "up"), (doubted, ben, "up"), (doubted, ada, "down")):
        client_for(person).post(URL, {"response": str(one.public_id), "thumbs": thumbs})
    split = response.prompt.split
    assert "demonstration" not in make_snapshot(project, ada).counts[split]
    snapshot = snapshots.freeze(snapshots.request_snapshot(project=project, by=ada, policy={"accepted": True}))
    assert snapshot.counts[split] == {"demonstration": 1, "prompt": 1, "unpaired": 3}
    rows = client_for(ada).get(f"/api/v1/snapshots/{snapshot.public_id}/rows/?kind=demonstration&split={split}")
    [line] = [json.loads(line) for line in rows.getvalue().splitlines()]
    assert line["completion"] == [{"role": "assistant", "content": response.text}], "nobody found it bad"


def test_thumbs_reach_a_snapshot(project, ada, ben, client_for, response):
    client_for(ben).post(URL, {"response": str(response.public_id), "thumbs": "down"})
    snapshot = make_snapshot(project, ada)
    split = response.prompt.split
    rows = client_for(ada).get(f"/api/v1/snapshots/{snapshot.public_id}/rows/?kind=unpaired&split={split}")
    lines = [json.loads(line) for line in rows.getvalue().splitlines()]
    assert lines == [
        {
            "prompt": response.prompt.messages,
            "completion": [{"role": "assistant", "content": response.text}],
            "label": False,
        }
    ]


def test_somebody_elses_response_cannot_be_rated(project, chloe, dan, client_for, response):
    for person in (chloe, dan):
        reply = client_for(person).post(URL, {"response": str(response.public_id), "thumbs": "up"})
        assert reply.status_code == 404
    assert Thumb.objects.count() == 0


def test_what_is_not_ready_cannot_be_rated(project, ben, client_for, response):
    Response.objects.update(state="running")
    reply = client_for(ben).post(URL, {"response": str(response.public_id), "thumbs": "up"})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (409, "conflict")
    assert Thumb.objects.count() == 0


@pytest.mark.parametrize(
    "body", [{"thumbs": "sideways"}, {"thumbs": True}, {}, {"thumbs": "up", "comment": "x" * 5001}]
)
def test_a_wrong_thumb_is_refused(project, ben, client_for, response, body):
    assert client_for(ben).post(URL, {"response": str(response.public_id)} | body).status_code == 400
    assert Thumb.objects.count() == 0
