"""Imports and exports under Data: a form, what became of it, what was refused."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from feedback.models import Job, Person, Project, Task
from tests.furnish import worker
from workers.execution import run_job

CONTENT = b'{"prompt": "Which?", "responses": ["this", "that"]}\n{"prompt": "<script>alert(1)</script>", "kind": "x"}\n'


@pytest.fixture
def client(project: Project, ada: Person, signed_in: Any) -> Client:
    client: Client = signed_in(ada)
    return client


def send(client: Client) -> Any:
    file = SimpleUploadedFile("rows.jsonl", CONTENT)
    begun = client.post("/p/desk/data/imports/new/", {"file": file})["Location"]
    client.post(begun, {"format": "touchstone"})
    return client.post(f"{begun}start/", follow=True)


def test_pages_that_are_empty_say_what_to_do(client: Client) -> None:
    assert "No import yet" in client.get("/p/desk/data/imports/").content.decode()
    assert "No export yet" in client.get("/p/desk/data/exports/").content.decode()


def test_a_file_comes_in_and_refused_lines_are_shown(client: Client, db: None) -> None:
    page = send(client).content.decode()
    assert "Import of rows.jsonl" in page
    assert "No worker" in page or "no worker" in page
    assert 'hx-trigger="every 2s"' in page
    listed = client.get("/p/desk/data/imports/").content.decode()
    assert "no worker serves" in listed
    worker("default")
    assert "no worker serves" not in client.get("/p/desk/data/imports/").content.decode()
    Job.objects.filter(payload__dry_run=True).delete()
    job = Job.objects.get(kind="import")
    run_job(job.pk)
    page = client.get(f"/p/desk/data/imports/{job.public_id}/").content.decode()
    assert Task.objects.count() == 1
    assert "hx-trigger" not in page
    assert "It must be one of comparison" in page
    assert 'class="badge badge-warn"' in page and "life-partial" in page, "amber, not green or gray"
    assert "Correct these lines and import the file again" in page
    assert 'class="badge badge-warn"' in client.get("/p/desk/data/imports/").content.decode()
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    reply = client.get(f"/p/desk/data/imports/{job.public_id}/rejected/")
    assert reply.getvalue().count(b"\n") == 1


def test_an_export_can_be_fetched_and_says_what_it_lacks(client: Client) -> None:
    send(client)
    run_job(Job.objects.get(kind="import", payload__dry_run__isnull=True).pk)
    client.post("/p/desk/data/exports/new/", {"format": "hh", "file_type": "jsonl"})
    job = Job.objects.get(kind="export")
    run_job(job.pk)
    page = client.get("/p/desk/data/exports/").content.decode()
    assert "Strength, dimensions and reasons are not included." in page
    assert "1 × a comparison without an annotation" in page
    assert client.get(f"/p/desk/data/exports/{job.public_id}/file/").getvalue() == b""


def test_only_admins(project: Project, ada: Person, ben: Person, dan: Person, signed_in: Any) -> None:
    send(signed_in(ada))
    job = Job.objects.get(payload__dry_run__isnull=True)
    for path in ("imports/", "exports/", f"imports/{job.public_id}/"):
        assert signed_in(ben).get(f"/p/desk/data/{path}").status_code == 403
        assert signed_in(dan).get(f"/p/desk/data/{path}").status_code == 404
    assert signed_in(ada).get(f"/p/desk/data/exports/{job.public_id}/file/").status_code == 404
