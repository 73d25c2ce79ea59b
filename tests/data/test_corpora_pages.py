"""Corpora under Data: opened, added to, told in pictures; documents taken out with a reason and restored."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from feedback.models import Corpus, Document, Job, Person, Project
from workers.execution import run_job

ROWS = [
    {"text": "The ferry left the harbour with a cargo of <b>salt</b> and coal.", "source": "gazette", "licence": "CC0"},
    {"text": "The ferry left the harbour with a cargo of wool and wine, at noon.", "source": "<i>diary</i>"},
    {"text": "12 34 56 78 <script>alert(1)</script> 99 88 77 66 55 44 33 22 11 00 99 88 77 66 55 44 33 22 11"},
]


@pytest.fixture
def client(project: Project, ada: Person, signed_in: Any) -> Client:
    client: Client = signed_in(ada)
    return client


@pytest.fixture
def corpus(client: Client) -> Corpus:
    client.post("/p/desk/data/corpora/", {"name": "Books", "hold_out": "last_tenth"})
    return Corpus.objects.get()


def add(client: Client, corpus: Corpus, **more: Any) -> Any:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    file = SimpleUploadedFile("rows.jsonl", content)
    url = f"/p/desk/data/corpora/{corpus.public_id}/upload/"
    return client.post(url, {"file": file, "quality": "on", "near_duplicates": "on"} | more, follow=True)


def work() -> None:
    while job := Job.objects.filter(status="queued").first():
        run_job(job.pk)


def page(client: Client, path: str) -> str:
    reply = client.get(f"/p/desk/data/{path}")
    assert reply.status_code == 200, reply
    return reply.content.decode()


def test_empty_pages_say_what_to_do(client: Client, corpus: Corpus) -> None:
    Corpus.objects.all().delete()
    assert "No corpus yet" in page(client, "corpora/")
    client.post("/p/desk/data/corpora/", {"name": "Books"})
    key = Corpus.objects.get().public_id
    assert "Add files below" in page(client, f"corpora/{key}/")
    assert "No documents" in page(client, f"corpora/{key}/documents/")
    assert "No removed documents" in page(client, f"corpora/{key}/documents/?removed=1")


def test_a_file_is_read_and_told_in_pictures(client: Client, corpus: Corpus) -> None:
    assert corpus.hold_out == "last_tenth"
    told = add(client, corpus, mask=["email"], min_letters="0.5", languages="EN, de").content.decode()
    assert "received" in told and 'hx-trigger="every 2s"' in told
    assert "no worker serves" in page(client, f"corpora/{corpus.public_id}/")
    work()
    job = Job.objects.get(payload__do="upload")
    assert job.payload["cleaning"]["mask"] == ["email"] and job.payload["cleaning"]["thresholds"]["min_letters"] == 0.5
    assert job.payload["cleaning"]["languages"] == ["de", "en"]
    told = page(client, f"corpora/uploads/{job.public_id}/")
    assert "Too few letters" in told and "&lt;script&gt;" in told
    assert "<script>alert" not in told and "hx-trigger" not in told
    assert client.get(f"/p/desk/data/corpora/uploads/{job.public_id}/left-out/").getvalue().count(b"\n") == 1
    told = page(client, f"corpora/{corpus.public_id}/")
    for word in ("gazette", "&lt;i&gt;diary", "CC0", "Distinct words by words", "Documents by length"):
        assert word in told
    assert "hx-trigger" not in told and "<i>diary" not in told
    assert "Books" in page(client, "corpora/")


def test_documents_are_taken_out_with_a_reason_and_put_back(client: Client, corpus: Corpus) -> None:
    add(client, corpus)
    work()
    documents = f"corpora/{corpus.public_id}/documents/"
    listed = page(client, documents)
    assert "&lt;b&gt;salt" in listed and "rows.jsonl line 2" in listed
    first = Document.objects.order_by("pk")[0]
    key = str(first.public_id)
    assert client.post(f"/p/desk/data/{documents}", {"document": key, "reason": ""}).status_code == 400
    client.post(f"/p/desk/data/{documents}", {"document": key, "reason": "no licence"})
    first.refresh_from_db()
    assert first.removed_at is not None and first.removed_reason == "no licence"
    assert "line 1" not in page(client, documents)
    assert "no licence" in page(client, f"{documents}?removed=1")
    assert "no licence" in page(client, f"documents/{key}/")
    client.post(f"/p/desk/data/{documents}", {"document": key, "restore": "1"})
    assert Document.objects.standing().count() == 2
    work()
    corpus.refresh_from_db()
    assert corpus.report["documents"] == 2


def test_settings_and_mistakes(client: Client, corpus: Corpus, ben: Person, signed_in: Any) -> None:
    url = f"/p/desk/data/corpora/{corpus.public_id}/"
    client.post(f"{url}change/", {"name": "Shelf", "hold_out": "share"})
    corpus.refresh_from_db()
    assert (corpus.name, corpus.hold_out) == ("Shelf", "share")
    assert client.post(f"{url}upload/", {"path": "../x"}).status_code == 400
    assert client.post(f"{url}upload/", {}).status_code == 400
    assert client.post(f"{url}documents/", {"document": "x", "reason": "y"}).status_code == 400
    assert signed_in(ben).get(url).status_code == 403
    assert not Job.objects.exists()
