"""A client opens a corpus, adds files and documents, reads what was left out, and takes documents out again."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from feedback.models import Document, Job
from workers.execution import run_job

pytestmark = pytest.mark.database

CORPORA, UPLOADS, DOCUMENTS = "/api/v1/corpora/", "/api/v1/corpus-uploads/", "/api/v1/documents/"
TEXT = "The ferry left the harbour with a cargo of salt, and nobody waved."


def run_all():
    while queued := Job.objects.filter(status="queued").first():
        run_job(queued.pk)


def opened(client, **more):
    reply = client.post(CORPORA, {"project": "desk", "name": "Books"} | more, format="json")
    assert reply.status_code == 201, reply.content
    return reply.json()


def test_a_file_becomes_documents_and_a_report(project, ada, client_for):
    client = client_for(ada, "data")
    corpus = opened(client, hold_out="last_tenth")
    assert client.post(CORPORA, {"project": "desk", "name": "Books"}, format="json").status_code == 409
    rows = [{"text": TEXT, "licence": "CC0"}, {"text": "12 34 56"}, {"text": TEXT}]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    url = f"{CORPORA}{corpus['id']}/uploads/"

    def send():
        body = {"file": SimpleUploadedFile("r.jsonl", content), "source": "shelf", "cleaning": '{"mask": ["email"]}'}
        return client.post(url, body, format="multipart", HTTP_IDEMPOTENCY_KEY="once")

    first, again = send(), send()
    assert first.status_code == again.status_code == 202, first.content
    assert first.json()["id"] == again.json()["id"]
    run_all()
    told = client.get(f"{UPLOADS}{first.json()['id']}/").json()
    assert (told["status"], told["read"], told["new"]) == ("succeeded", 3, 1)
    assert told["left_out"] == {"duplicate": 1, "not_text": 1}
    refused = client.get(f"{UPLOADS}{told['id']}/rejected/")
    assert [json.loads(line)["line"] for line in refused.getvalue().splitlines()] == [2, 3]
    assert [one["id"] for one in client.get(url).json()["results"]] == [told["id"]]
    report = client.get(f"{CORPORA}{corpus['id']}/report/").json()
    assert (report["documents"], report["licences"][0]["name"]) == (1, "CC0")
    (row,) = [json.loads(line) for line in client.get(f"{CORPORA}{corpus['id']}/download/").getvalue().splitlines()]
    assert (row["text"], row["source"], row["kind"]) == (TEXT, "shelf", "article")
    assert client.get(f"{CORPORA}?project=desk").json()["results"][0]["documents"] == 1


def test_documents_in_a_body_taken_out_and_put_back(project, ada, client_for):
    client = client_for(ada, "data")
    corpus = opened(client)
    body = {"corpus": corpus["id"], "documents": [{"text": TEXT, "kind": "book"}]}
    assert client.post(DOCUMENTS, body, format="json").status_code == 202
    run_all()
    (listed,) = client.get(f"{DOCUMENTS}?corpus={corpus['id']}").json()["results"]
    assert (listed["excerpt"], listed["kind"], "text" in listed) == (TEXT, "book", False)
    assert client.get(f"{DOCUMENTS}{listed['id']}/").json()["text"] == TEXT
    named = {"corpus": corpus["id"], "documents": [listed["id"]]}
    assert client.post(f"{DOCUMENTS}remove/", named, format="json").status_code == 400
    taken = client.post(f"{DOCUMENTS}remove/", named | {"reason": "no licence"}, format="json")
    assert taken.json() == {"documents": 1}
    assert client.get(f"{DOCUMENTS}?corpus={corpus['id']}").json()["results"] == []
    (gone,) = client.get(f"{DOCUMENTS}?corpus={corpus['id']}&removed=true").json()["results"]
    assert gone["removed_reason"] == "no licence"
    assert client.post(f"{DOCUMENTS}restore/", named, format="json").json() == {"documents": 1}
    assert Document.objects.standing().count() == 1
    changed = client.patch(f"{CORPORA}{corpus['id']}/", {"name": "Shelf"}, format="json")
    assert changed.json()["name"] == "Shelf"


def test_what_is_wrong_is_told_by_its_field(project, ada, ben, client_for):
    client = client_for(ada, "data")
    corpus = opened(client)
    url = f"{CORPORA}{corpus['id']}/uploads/"
    file = {"file": SimpleUploadedFile("a.txt", TEXT.encode())}
    for body in (
        {},
        {"path": "nowhere"},
        file | {"cleaning": "[]"},
        file | {"cleaning": '{"mask": ["shoe size"]}'},
        file | {"cleaning": '{"thresholds": {"max_symbols": 7}}'},
        file | {"kind": "poem"},
        {"file": SimpleUploadedFile("a.exe", b"MZ")},
    ):
        reply = client.post(url, body, format="multipart")
        assert reply.status_code == 400, (body, reply.content)
        assert reply.json()["errors"][0]["attr"]
    assert client_for(ben).get(f"{CORPORA}{corpus['id']}/").status_code == 403
    assert not Job.objects.exists()
