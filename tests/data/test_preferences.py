"""Preferences given from elsewhere, read as pages and streamed in TRL's format."""

import json
import tracemalloc

import pytest

from feedback.api.data import preferences as door
from feedback.models import Annotation, Person, PreferencePair, Prompt
from tests.factories import make_annotation, make_pair

pytestmark = pytest.mark.database

URL = "/api/v1/preferences/"
NDJSON = "application/x-ndjson"


def given(**changes):
    return {
        "project": "desk",
        "prompt": [{"role": "user", "content": "My router is slow."}],
        "chosen": " Restart it. ",
        "rejected": "",
        "source": "elsewhere",
        "annotator": "worker 7",
    } | changes


def stream(client, query=""):
    reply = client.get(f"{URL}?project=desk{query}", HTTP_ACCEPT=NDJSON)
    assert (reply.status_code, reply["Content-Type"]) == (200, NDJSON), reply.getvalue()
    return [json.loads(line) for line in reply.getvalue().decode().splitlines()]


def test_one_goes_in_and_comes_out_word_for_word(project, ada, client_for):
    client = client_for(ada, "data")
    reply = client.post(URL, given(strength=3))
    assert reply.status_code == 201
    told = reply.json()
    assert (told["chosen"], told["rejected"], told["strength"]) == (" Restart it. ", "", 3)
    assert client.get(f"{URL}?project=desk").json()["results"] == [told]
    assert stream(client) == [
        {
            "prompt": [{"role": "user", "content": "My router is slow."}],
            "chosen": [{"role": "assistant", "content": " Restart it. "}],
            "rejected": [{"role": "assistant", "content": ""}],
        }
    ]


def test_it_was_given_by_an_imported_person_who_cannot_sign_in(project, ada, client_for):
    client = client_for(ada)
    for text in ("one", "two"):
        client.post(URL, given(chosen=text))
    person = Person.objects.get(external_name="worker 7")
    assert (person.username, person.source, person.has_usable_password()) == (None, "elsewhere", False)
    annotation = Annotation.objects.earliest("pk")
    assert (annotation.annotator, annotation.client) == (person, "import")
    seen = client.get(f"/api/v1/annotations/{annotation.public_id}/").json()
    assert seen["answer"] == {"outcome": "prefer", "strength": 2}
    assert seen["annotator"]["name"] == "worker 7"


def test_the_same_external_id_adds_nothing(project, ada, client_for):
    client = client_for(ada)
    statuses = [
        client.post(URL, given(external_id="r1", **changes)).status_code
        for changes in ({}, {}, {"chosen": "Wait."}, {"strength": 1})
    ]
    assert statuses == [201, 200, 409, 409]
    assert PreferencePair.objects.count() == 1


def test_a_list_is_answered_item_by_item(project, ada, client_for):
    client = client_for(ada)
    items = [
        given(external_id="a"),
        given(external_id="b", prompt=[{"role": "robot", "content": "x"}]),
        given(external_id="c", chosen="same", rejected="same"),
        "no object",
        given(external_id="a", chosen="other"),
        given(external_id="d"),
    ]
    reply = client.post(URL, items)
    assert reply.status_code == 207
    told = reply.json()
    assert [one["index"] for one in told] == [0, 1, 2, 3, 4, 5]
    assert [one["status"] for one in told] == [201, 400, 400, 400, 409, 201]
    assert told[1]["errors"][0]["attr"] == "prompt.0.role"
    assert told[2]["errors"][0]["attr"] == "2.rejected"
    assert told[4]["errors"][0]["code"] == "external_id_conflict"
    assert PreferencePair.objects.count() == 2
    again = client.post(URL, items).json()
    assert [one["status"] for one in again] == [200, 400, 400, 400, 409, 200]
    assert again[0]["id"] == told[0]["id"]
    assert PreferencePair.objects.count() == 2


@pytest.mark.parametrize("count", [0, 201])
def test_a_list_has_bounds(project, ada, client_for, count):
    reply = client_for(ada).post(URL, [given(external_id=str(number)) for number in range(count)])
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (400, "invalid")
    assert PreferencePair.objects.count() == 0


def test_a_project_that_is_not_theirs_is_refused_in_a_list_too(project, other_project, ada, client_for):
    reply = client_for(ada).post(URL, [given(), given(project="elsewhere")])
    assert [one["status"] for one in reply.json()] == [201, 404]
    assert PreferencePair.objects.count() == 1


def test_only_admins_read_and_give(project, rosa, ben, client_for):
    for person in (rosa, ben):
        client = client_for(person)
        assert client.post(URL, given()).status_code == 403
        assert client.get(f"{URL}?project=desk").status_code == 403
        assert client.get(f"{URL}?project=desk", HTTP_ACCEPT=NDJSON).status_code == 403
    assert Prompt.objects.count() == 0


def test_what_the_desk_said_is_there_too_and_gone_when_taken_back(project, ada, ben, client_for):
    annotation = make_annotation(project, ben)
    client = client_for(ada)
    assert len(stream(client)) == 1
    client_for(ben).post(f"/api/v1/annotations/{annotation.public_id}/withdraw/")
    assert stream(client) == []
    assert PreferencePair.objects.count() == 1


def test_streams_follow_the_filters(project, ada, client_for):
    client = client_for(ada)
    for number in range(30):
        make_pair(project, ada, prompt=f"number {number}")
    by_split = {split: stream(client, f"&split={split}") for split in ("train", "selection", "test")}
    assert sum(map(len, by_split.values())) == len(stream(client)) == 30
    assert len(by_split["train"]) == PreferencePair.objects.filter(prompt__split="train").count() > 0
    wrong = client.get(f"{URL}?project=desk&split=all", HTTP_ACCEPT=NDJSON)
    assert wrong.status_code == 400


def test_a_long_stream_is_read_in_pieces(project, ada, client_for, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(door, "CHUNK", 10)
    client = client_for(ada)
    for number in range(35):
        make_pair(project, ada, prompt=f"number {number}", chosen="x" * 20_000)
    pairs = PreferencePair.objects.select_related("prompt", "chosen", "rejected")
    tracemalloc.start()
    with django_assert_max_num_queries(4):
        count = sum(1 for _ in door.trl_rows(pairs))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 35
    assert peak < 20_000 * 35  # never all of it at once
    assert [one["prompt"][0]["content"] for one in stream(client)] == [f"number {n}" for n in range(35)]


@pytest.mark.parametrize("since", ["0670-09-17T12:04:54.687%2B17:52", "2026-01-01T00:00:00Z"])
def test_since_any_time_that_can_be_written(project, ada, client_for, since):
    make_pair(project, ada)
    assert len(client_for(ada).get(f"{URL}?project=desk&since={since}").json()["results"]) == 1


def test_since_a_time_before_all_years_is_refused(project, client_for, ada):
    reply = client_for(ada).get(f"{URL}?project=desk&since=0001-01-01T00:00:00%2B14:00")
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "since")
