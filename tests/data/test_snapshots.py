"""A snapshot is asked for, written by a worker, and downloaded in TRL's formats."""

import io
import json

import pytest
from pyarrow import parquet

from feedback.formats import parquet as formats_parquet
from feedback.models import DatasetSnapshot, Job, Prompt
from feedback.services.data import snapshots
from tests.factories import make_annotation, make_pair, make_prompt_in, make_response, make_snapshot

pytestmark = pytest.mark.database

URL = "/api/v1/snapshots/"


def rows(client, snapshot, **query) -> list:
    reply = client.get(f"{URL}{snapshot.public_id}/rows/", query)
    assert reply.status_code == 200, reply.content
    assert reply["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.getvalue().decode().splitlines()]


def test_asked_for_here_and_written_by_a_worker(project, ada, client_for):
    make_pair(project, ada)
    client = client_for(ada, "data")
    reply = client.post(URL, {"project": "desk", "policy": {"pairs": "consensus", "extras": False}})
    assert reply.status_code == 202
    told = reply.json()
    assert (told["state"], told["number"], told["content_hash"]) == ("draft", 1, "")
    assert (told["policy"]["pairs"], told["policy"]["extras"], told["policy"]["unsettled"]) == (
        "consensus",
        False,
        True,
    )
    assert Job.objects.get().kind == "freeze"
    early = client.get(f"{URL}{told['id']}/rows/?kind=preference")
    assert (early.status_code, early["Content-Type"]) == (409, "application/json")
    snapshots.freeze(DatasetSnapshot.objects.get())
    frozen = client.get(f"{URL}{told['id']}/").json()
    assert (frozen["state"], len(frozen["content_hash"])) == ("frozen", 64)
    assert sum(counts.get("preference", 0) for counts in frozen["counts"].values()) == 1
    assert client.get(f"{URL}?project=desk&state=frozen").json()["results"] == [frozen]


def test_each_kind_in_trls_format(project, ada, ben, client_for):
    prompt = make_prompt_in(project, "train", by=ben)
    response = make_response(prompt, "Written by hand.", author=ben)
    client_for(ada).post("/api/v1/feedback/", {"response": str(response.public_id), "thumbs": "up"})
    make_pair(project, ada, prompt=prompt.text, chosen="yes", rejected="")
    snapshot = make_snapshot(project, ada)
    client = client_for(ada)
    turn = [{"role": "assistant", "content": "Written by hand."}]
    messages = prompt.messages
    assert rows(client, snapshot, kind="demonstration") == [{"prompt": messages, "completion": turn}]
    assert rows(client, snapshot, kind="unpaired") == [{"prompt": messages, "completion": turn, "label": True}]
    assert rows(client, snapshot, kind="prompt") == [{"prompt": messages}]
    assert rows(client, snapshot, kind="preference") == [
        {
            "prompt": messages,
            "chosen": [{"role": "assistant", "content": "yes"}],
            "rejected": [{"role": "assistant", "content": ""}],
        }
    ]
    assert rows(client, snapshot, kind="preference", split="test") == []
    raw = rows(client, snapshot, format="raw")
    assert {one["row"]["kind"] for one in raw} == {"demonstration", "unpaired", "prompt", "preference"}
    assert all(len(one["hash"]) == 64 and one["count"] == 1 for one in raw)


def test_a_row_comes_as_often_as_it_occurs(project, ada, client_for):
    prompt = make_prompt_in(project, "train")
    for _ in range(3):
        make_pair(project, ada, prompt=prompt.text)
    snapshot = make_snapshot(project, ada)
    assert len(rows(client_for(ada), snapshot, kind="preference")) == 3
    assert [one["count"] for one in rows(client_for(ada), snapshot, kind="preference", format="raw")] == [3]


def test_every_split_can_be_downloaded_and_holds_its_own(project, ada, client_for):
    for split in ("train", "selection", "test"):
        prompt = make_prompt_in(project, split)
        make_pair(project, ada, prompt=prompt.text)
    snapshot = make_snapshot(project, ada)
    for split in ("train", "selection", "test"):
        (row,) = rows(client_for(ada), snapshot, kind="preference", split=split)
        assert {prompt.split for prompt in Prompt.objects.all() if prompt.messages == row["prompt"]} == {split}


def test_parquet_holds_the_same_rows_and_trls_columns_alone(project, ada, client_for):
    for number in range(3):
        make_pair(project, ada, prompt=f"Which, {number}?")
    snapshot = make_snapshot(project, ada)
    client, told = client_for(ada), []
    for split in ("train", "selection", "test"):
        query = {"kind": "preference", "split": split}
        reply = client.get(f"{URL}{snapshot.public_id}/rows/", {**query, "file_type": "parquet"})
        assert (reply.status_code, reply["Content-Type"]) == (200, "application/vnd.apache.parquet")
        assert reply["Content-Disposition"].endswith(f'-{split}-preference.parquet"')
        table = parquet.read_table(io.BytesIO(reply.getvalue()))
        assert table.column_names == ["prompt", "chosen", "rejected"]
        assert table.to_pylist() == rows(client, snapshot, **query)
        told += table.to_pylist()
    assert len(told) == 3


def test_parquet_comes_in_groups(monkeypatch):
    monkeypatch.setattr(formats_parquet, "GROUP", 10)
    given = [{"text": f"row {number}", "label": None if number % 2 else "a"} for number in range(95)]
    pieces = list(formats_parquet.chunks(iter(given), ("text", "label")))
    assert len(pieces) == 10
    file = parquet.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert file.num_row_groups == 10
    assert file.read().to_pylist() == given


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ("?kind=prompt&file_type=xlsx", "file_type"),
        ("", "kind"),
        ("?kind=sonnet", "kind"),
        ("?format=csv", "format"),
        ("?split=../../x&format=raw", "split"),
    ],
)
def test_a_wrong_question_is_told(project, ada, ben, client_for, query, attr):
    make_annotation(project, ben)
    snapshot = make_snapshot(project, ada)
    reply = client_for(ada).get(f"{URL}{snapshot.public_id}/rows/{query}")
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, attr)


@pytest.mark.parametrize(
    "policy",
    [
        {"pairs": "loudest"},
        {"unsettled": "maybe"},
        {"prompt_sources": 5},
        {"prompt_sources": [{}]},
        {"held_out_annotators": 0.6},
    ],
)
def test_a_wrong_policy_is_refused(project, ada, client_for, policy):
    reply = client_for(ada).post(URL, {"project": "desk", "policy": policy})
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["attr"].startswith("policy.")
    assert DatasetSnapshot.objects.count() == 0


def test_a_revoked_snapshot_has_no_rows(project, ada, client_for):
    make_pair(project, ada)
    snapshot = make_snapshot(project, ada)
    DatasetSnapshot.objects.update(state="revoked")
    reply = client_for(ada).get(f"{URL}{snapshot.public_id}/rows/?kind=preference")
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (409, "snapshot_revoked")


def test_only_admins(project, rosa, ben, client_for):
    for person in (rosa, ben):
        assert client_for(person).post(URL, {"project": "desk"}).status_code == 403
        assert client_for(person).get(f"{URL}?project=desk").status_code == 403
    assert DatasetSnapshot.objects.count() == 0


def test_what_was_left_out_is_told_with_its_reasons(project, ada, client_for, signed_in):
    make_pair(project, ada)
    broken = make_pair(project, ada)
    half = [{"role": "user", "content": "Go on"}, {"role": "assistant", "content": "Once upon"}]
    Prompt.objects.filter(pk=broken.prompt_id).update(messages=half)
    snapshot = make_snapshot(project, ada)
    told = client_for(ada).get(f"{URL}{snapshot.public_id}/").json()
    assert (told["left_out"], told["unfit"]) == ({"unfit": 2}, {"no_question": 2})
    page = signed_in(ada).get(f"/p/desk/data/snapshots/{snapshot.public_id}/").content.decode()
    assert "Excluded rows" in page
    assert "does not end with a user" in page
    draft = snapshots.request_snapshot(project=project, by=ada)
    told = client_for(ada).get(f"{URL}{draft.public_id}/").json()
    assert (told["left_out"], told["unfit"]) == ({}, {})
