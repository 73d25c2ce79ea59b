"""Line separators, carriage returns and what desktops put into archives: what goes out comes back in, unchanged."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest
from django.test import Client
from rest_framework.test import APIClient

from feedback.models import Person, Project, Prompt, Response
from feedback.rules.data.import_outcome import outcome_of
from feedback.services.data import exports
from tests.data.test_import import asked, brought_in, lines, pair, refusals, written
from tests.factories import make_pair
from workers.execution import run_job

pytestmark = pytest.mark.database

ODD = ["one\u2028two", "one\u2029two", "one\x85two", "\u2028", "a\r\nb", "c\rd", "\re", "f\r", 'g\r"h",i\n']


@pytest.mark.parametrize("format", ["touchstone", "touchstone-csv"])
def test_any_line_end_in_a_text_comes_back_as_it_was(
    project: Project, other_project: Project, hana: Person, format: str
) -> None:
    rows = [{"prompt": f"{text}{n}", "responses": [text + "!", "x"]} for n, text in enumerate(ODD)]
    assert brought_in(project, hana, lines(*rows)).result["rejected"] == 0
    _, path = written(project, hana, format)
    text = path.read_bytes().decode()
    if format == "touchstone":
        told = [json.loads(line) for line in text.splitlines()]
        assert [row["prompt"][0]["content"] for row in told] == [row["prompt"] for row in rows]
    else:
        assert [row["response_b"] for row in csv.DictReader(io.StringIO(text, newline=""))] == ["x"] * len(rows)
    again = brought_in(other_project, hana, path.read_bytes(), format)
    assert (again.result["new"], again.result["rejected"]) == (len(rows), 0)
    there = Prompt.objects.filter(project=other_project).order_by("pk")
    assert [one.text for one in there] == [row["prompt"] for row in rows]
    responses = Response.objects.filter(project=other_project).exclude(text="x").order_by("pk")
    assert [one.text for one in responses] == [text + "!" for text in ODD]


def test_streams_of_rows_are_read_by_lines(project: Project, ada: Person, client_for: object) -> None:
    make_pair(project, ada, prompt="one\u2028two", chosen="x\u2029y", rejected="p\x85q")
    client: APIClient = client_for(ada, "read", "data")  # type: ignore[operator]
    reply = client.get("/api/v1/preferences/?project=desk", HTTP_ACCEPT="application/x-ndjson")
    (line,) = reply.getvalue().decode().splitlines()  # as httpx's iter_lines decodes a reply
    assert "one\u2028two" in json.dumps(json.loads(line), ensure_ascii=False)


def test_refused_lines_are_kept_as_one_line_each(project: Project, hana: Person) -> None:
    job = brought_in(project, hana, lines({"prompt": "q", "kind": "a\u2028b"}, {"prompt": "r", "kind": "c"}))
    assert [line for line, _, _ in refusals(job)] == [1, 2]


def packed(path: Path, **members: bytes) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__SLASH__", "/"), content)
    return path.read_bytes()


@pytest.mark.parametrize(
    "beside",
    [
        {"__MACOSX__SLASH__._rows.jsonl": b"\0\5\26\7"}, {".DS_Store": b"\0Bud1"}, {"data__SLASH__._rows.jsonl": b"x"},
        {"data__SLASH__": b""}, {"Thumbs.db": b"x", "desktop.ini": b"x"}, {"__MACOSX__SLASH__data__SLASH__rows": b"x"},
    ],
)  # fmt: skip
def test_what_a_desktop_packs_beside_a_file_is_passed_over(
    project: Project, hana: Person, tmp_path: Path, beside: dict[str, bytes]
) -> None:
    content = packed(tmp_path / "a.zip", **beside, **{"data__SLASH__rows.jsonl": lines(pair(1))})
    assert brought_in(project, hana, content).result["new"] == 1


def test_two_real_files_are_still_one_too_many(project: Project, hana: Person, tmp_path: Path) -> None:
    job = brought_in(project, hana, packed(tmp_path / "a.zip", a=lines(pair(1)), b=lines(pair(2))))
    assert "must contain one" in refusals(job)[0][2]


class TestWhatBecameOfAnImport:
    def test_refused_lines_are_said_on_page_list_and_rest(
        self, project: Project, ada: Person, signed_in: object, client_for: object
    ) -> None:
        job = asked(project, ada, lines(pair(1), *[{"prompt": n} for n in range(5)]))
        run_job(job.pk)
        client: Client = signed_in(ada)  # type: ignore[operator]
        page = client.get(f"/p/desk/data/imports/{job.public_id}/").content.decode()
        assert "Finished, 5 of 6 lines rejected." in page
        assert "badge-good" not in page.split('id="import"')[1].split("</p>")[0]
        listed = client.get("/p/desk/data/imports/").content.decode()
        assert "5 of 6 lines rejected" in listed
        assert "succeeded" not in listed
        told = client_for(ada, "data").get(f"/api/v1/imports/{job.public_id}/").json()  # type: ignore[operator]
        assert (told["status"], told["outcome"], told["rejected"]) == ("succeeded", "partial", 5)
        assert told["says"].startswith("Finished, 5 of 6 lines rejected.")

    def test_a_file_that_brings_nothing_in_does_not_succeed(
        self, project: Project, ada: Person, signed_in: object
    ) -> None:
        for content in (b"\n\n", lines({"prompt": 1})):
            job = asked(project, ada, content)
            run_job(job.pk)
            client: Client = signed_in(ada)  # type: ignore[operator]
            page = client.get(f"/p/desk/data/imports/{job.public_id}/").content.decode()
            assert "Finished. Nothing was imported" in page
            assert "succeeded" not in page.split('id="import"')[1].split("</section>")[0]

    @pytest.mark.parametrize(
        ("result", "state"),
        [
            ({"read": 2, "new": 2}, "complete"), ({"read": 2, "before": 2}, "complete"), ({}, "nothing"),
            ({"read": 2, "new": 1, "rejected": 1}, "partial"), ({"read": 2, "before": 1, "rejected": 1}, "partial"),
            ({"read": 1, "left_out": {"a draft": 1}}, "nothing"), ({"read": 1, "rejected": 1}, "nothing"),
        ],
    )  # fmt: skip
    def test_each_outcome_by_its_counts(self, result: dict[str, int], state: str) -> None:
        assert outcome_of(result).state == state


def test_an_export_is_one_row_a_line(project: Project, hana: Person) -> None:
    brought_in(project, hana, lines(pair(1, responses=["one\u2028two", "three"])))
    job, path = written(project, hana, "touchstone")
    assert exports.file_of(job) == path
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1
