"""Files come in and go out over REST."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from feedback.models import Job, Task
from workers.execution import run_job

pytestmark = pytest.mark.database

ROW = {"prompt": "Which one?", "responses": ["this", "that"]}
IMPORTS, EXPORTS = "/api/v1/imports/", "/api/v1/exports/"


def lines(*rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def upload(client, content: bytes, **more):
    file = SimpleUploadedFile("rows.jsonl", content)
    key = {"HTTP_IDEMPOTENCY_KEY": more.pop("key")} if "key" in more else {}
    body = {"project": "desk", "format": "touchstone", "file": file} | more
    return client.post(IMPORTS, body, format="multipart", **key)


def run_all():
    for job in Job.objects.filter(status="queued"):
        run_job(job.pk)


def test_a_file_comes_in_and_what_was_refused_can_be_fetched(project, ada, client_for):
    client = client_for(ada, "data")
    reply = upload(client, lines(ROW, {"prompt": 3}))
    assert reply.status_code == 202, reply.content
    assert reply.json()["status"] == "queued"
    assert "worker" in reply.json()["says"]
    run_all()
    told = client.get(f"{IMPORTS}{reply.json()['id']}/").json()
    assert (told["status"], told["read"], told["new"], told["rejected"]) == ("succeeded", 2, 1, 1)
    refused = client.get(f"{IMPORTS}{told['id']}/rejected/")
    (row,) = [json.loads(line) for line in refused.getvalue().splitlines()]
    assert (row["line"], row["field"], json.loads(row["text"])) == (2, "prompt", {"prompt": 3})
    assert [one["id"] for one in client.get(f"{IMPORTS}?project=desk").json()["results"]] == [told["id"]]


def test_what_came_in_goes_out(project, ada, client_for):
    client = client_for(ada, "data")
    upload(client, lines(ROW))
    run_all()
    made = client.post(EXPORTS, {"project": "desk", "format": "touchstone", "kind": "comparison"})
    assert made.status_code == 202, made.content
    address = f"{EXPORTS}{made.json()['id']}/"
    assert client.get(f"{address}file/").status_code == 409
    run_all()
    told = client.get(address).json()
    assert (told["status"], told["rows"], told["left_out"]) == ("succeeded", 1, {})
    reply = client.get(f"{address}file/")
    content = reply.getvalue()
    assert len(content) == told["bytes"] == int(reply["Content-Length"])
    assert json.loads(content)["responses"] == [{"text": "this"}, {"text": "that"}]
    assert "desk-touchstone-comparison.jsonl" in reply["Content-Disposition"]


def test_a_key_sends_a_file_once_and_no_other_under_its_name(project, ada, client_for):
    client = client_for(ada, "data")
    first = upload(client, lines(ROW), key="k")
    assert upload(client, lines(ROW), key="k").json()["id"] == first.json()["id"]
    assert upload(client, lines(ROW, ROW), key="k").status_code == 409
    assert Job.objects.filter(kind="import").count() == 1


def test_a_file_of_the_inbox(project, ada, client_for, settings):
    client = client_for(ada, "data")
    (settings.DATA_DIR / "inbox").mkdir(parents=True)
    (settings.DATA_DIR / "inbox" / "big.jsonl").write_bytes(lines(ROW))
    body = {"project": "desk", "format": "touchstone", "path": "big.jsonl"}
    assert client.post(IMPORTS, body).status_code == 202
    run_all()
    assert Task.objects.count() == 1
    assert client.post(IMPORTS, body | {"path": "../big.jsonl"}).status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [({"format": "guess"}, "format"), ({"file": ""}, "file"), ({"project": "nowhere"}, "project")],
)
def test_what_cannot_be_brought_in_is_told(project, ada, client_for, body, field):
    client = client_for(ada, "data")
    reply = upload(client, lines(ROW), **body)
    assert reply.status_code in (400, 404)
    assert reply.json()["errors"][0]["attr"] == field
    assert not Job.objects.exists()


def test_only_admins_with_the_scope(project, ada, ben, dan, client_for):
    made = upload(client_for(ada, "data"), lines(ROW)).json()["id"]
    assert upload(client_for(ada, "read"), lines(ROW)).status_code == 403
    assert upload(client_for(ben), lines(ROW)).status_code == 403
    assert upload(client_for(dan), lines(ROW)).status_code == 404
    for address in (f"{IMPORTS}{made}/", f"{IMPORTS}{made}/rejected/", f"{EXPORTS}{made}/", f"{EXPORTS}{made}/file/"):
        assert client_for(dan).get(address).status_code == 404
    assert client_for(ben).get(f"{IMPORTS}{made}/").status_code == 403
    assert client_for(ada).get(f"{EXPORTS}{made}/").status_code == 404  # it is an import


def test_a_table_of_other_columns_comes_in_by_a_mapping(project, ada, client_for):
    client = client_for(ada, "data")
    content = b"frage;antwort_a;antwort_b;sieger\nWarum?;Darum.;Eben.;antwort_b\nWie?;So.;Anders.;quer\n"
    mapping = {"columns": {"frage": "prompt", "antwort_a": "response_a", "antwort_b": "response_b", "sieger": "choice"}}
    body = {"format": "table", "mapping": json.dumps(mapping)}
    tried = upload(client, content, **body, dry_run="true").json()
    run_all()
    told = client.get(f"{IMPORTS}{tried['id']}/").json()
    assert (told["dry_run"], told["kinds"], told["annotations"], told["rejected"]) == (True, {"comparison": 1}, 1, 1)
    assert told["layout"]["delimiter"] == ";"
    assert not Task.objects.exists()
    made = upload(client, content, **body, repairs=json.dumps({"3": {"sieger": "tie"}})).json()
    run_all()
    told = client.get(f"{IMPORTS}{made['id']}/").json()
    assert (told["outcome"], told["kinds"], told["mapping"]["columns"]) == (
        "complete", {"comparison": 2}, mapping["columns"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "field", "words"),
    [
        ({"columns": {"q": "propmt"}}, "mapping.columns.q", "Did you mean 'prompt'"),
        ({"columns": {"q": "choice"}}, "mapping.columns", "the prompt or the text"),
        ({"columns": {"q": "prompt", "w": "label"}}, "mapping.scheme", "none yet"),
        ({"colums": {}}, "mapping.colums", "Did you mean 'columns'"),
        ([], "mapping", "object"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(project, ada, client_for, mapping, field, words):
    reply = upload(client_for(ada, "data"), b"q,w\n1?,2\n", format="table", mapping=json.dumps(mapping))
    assert reply.status_code == 400
    (error,) = reply.json()["errors"]
    assert (error["attr"], words in error["detail"]) == (field, True), error
    assert not Job.objects.exists()
