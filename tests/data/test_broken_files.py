"""Broken files, one a row: each bad line is told by its number in a sentence, and every good line is in."""
# ruff: noqa: E501  (a row is read best as one line)

import errno
import gzip
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from feedback.formats import reading, unpacking
from feedback.formats.corpora import documents
from feedback.models import Annotation, Person, Project, Prompt, Response
from tests.data.test_import import asked, brought_in, lines, pair, refusals
from workers.execution import run_job

pytestmark = pytest.mark.database

GOOD = lines({"prompt": "good"})
LAST = lines({"prompt": "last"})
HEADER = b"prompt,response_a,response_b\n"
SAID = {"annotator": "x", "answer": {"outcome": "tie"}}


def nested(depth: int) -> bytes:
    return b'{"prompt": "q", "metadata": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}\n"


# what, format, content, words of each refusal by line, prompts that are in
TABLE: list[tuple[str, str, bytes, dict[int, str], list[str]]] = [
    ("cut off in a line", "touchstone", GOOD + LAST[:-8], {2: "not valid JSON"}, ["good"]),
    ("Latin-1", "touchstone", GOOD + '{"prompt": "café"}\n'.encode("latin-1") + LAST, {2: "not UTF-8"}, ["good", "last"]),
    ("nested deep", "touchstone", GOOD + nested(100_000) + LAST, {2: "nested too deep"}, ["good", "last"]),
    ("NUL bytes", "touchstone", GOOD + b'{"prompt": "a\0b"}\n\0\0\n' + LAST, {2: "not valid JSON", 3: "not valid JSON"}, ["good", "last"]),
    ("NUL as an escape", "touchstone", GOOD + lines({"prompt": "a\0b"}) + LAST, {2: "NUL"}, ["good", "last"]),
    ("half a surrogate", "touchstone", b'{"prompt": "\\ud800"}\n{"prompt": "\\ud83d\\ude00"}\n', {1: "surrogate"}, ["😀"]),
    ("no numbers", "touchstone", b'{"prompt": "q", "metadata": {"a": NaN}}\n{"prompt": "q", "metadata": {"a": 1e999}}\n'
     + b'{"prompt": "q", "metadata": {"a": ' + b"9" * 5000 + b"}}\n" + LAST,
     {1: "NaN", 2: "too large", 3: "thousands of digits"}, ["last"]),
    ("a key twice", "touchstone", b'{"prompt": "one", "prompt": "two"}\n{"prompt": "q", "metadata": {"a": {"b": 1, "b": 1}}}\n' + LAST,
     {1: "'prompt' occurs 2 times", 2: "'b' occurs 2 times"}, ["last"]),
    ("mixed line ends and a BOM", "touchstone", b"\xef\xbb\xbf" + GOOD.strip() + b"\r\n\r\n" + LAST.strip(), {}, ["good", "last"]),
    ("CR alone", "touchstone", GOOD.strip() + b"\r" + LAST.strip() + b"\n", {1: "end in LF"}, []),
    ("two in a line", "touchstone", GOOD.strip() + GOOD + LAST, {1: "not valid JSON"}, ["last"]),
    ("a CSV called JSON", "touchstone", HEADER + b"q,a,b\n", {1: "not valid JSON", 2: "not valid JSON"}, []),
    ("one id, two contents", "touchstone", lines({"prompt": "1", "external_id": "i"}, {"prompt": "2", "external_id": "i"},
     {"prompt": "1", "external_id": "i"}), {2: "different content"}, ["1"]),
    ("a person twice", "touchstone", lines(pair(1, answers=[SAID, SAID])) + LAST, {1: "twice"}, ["last"]),
    ("time beyond a day", "touchstone", lines(pair(1, answers=[SAID | {"seconds": 1e9}])) + LAST, {1: (
        "at most a day"
    )}, ["last"]),
    ("wrong types", "touchstone", lines({"prompt": True}, {"prompt": []}, {"prompt": "q", "responses": "x"},
     {"prompt": "q", "priority": "9"}, {"prompt": "q", "priority": 99}, {"prompt": "q", "external_id": 7}, ["q"]) + LAST,
     {1: "true or false", 2: "at least one", 3: "a list", 4: "whole number", 5: "between 0 and 9", 6: "text", 7: "object"},
     ["last"]),
    ("an array's broken element", "touchstone", b'[{"prompt": "good"},\n{"prompt": },\n{"prompt": "last"}]', {2: "not valid JSON"},
     ["good", "last"]),
    ("behind an array", "touchstone", b'[{"prompt": "good"}]\n\n[{"prompt": "last"}]', {3: "after the end"}, ["good"]),
    ("CSV: line ends, a BOM", "touchstone-csv", b"\xef\xbb\xbf" + HEADER + b"good,a,b\r\nx,a,b\ry,a,b\nlast,a,b",
     {3: "carriage return"}, ["good", "last"]),
    ("CSV: an open quotation mark", "touchstone-csv", HEADER + b'good,a,b\n"open,a,b\n"two\nlines",a,b\nlast,a,b\n',
     {3: "never closed"}, ["good", "two\nlines", "last"]),
    ("CSV: cells, NUL, Latin-1", "touchstone-csv", HEADER + b"good,a,b\nx,a\ny\0,a,b\ncaf\xe9,a,b\nlast,a,b\n",
     {3: "2 cells", 4: "NUL", 5: "not UTF-8"}, ["good", "last"]),
    ("CSV: no number", "touchstone-csv", b"prompt,response_a,response_b,choice,seconds\nq,a,b,a,nan\nlast,a,b,b,2\n",
     {2: "a number"}, ["last"]),
    ("CSV: a key twice", "touchstone-csv", b'prompt,metadata\nq,"{""a"": 1, ""a"": 2}"\nlast,\n', {2: "'a' occurs 2 times"}, ["last"]),
    ("gzip, cut off", "touchstone", gzip.compress(GOOD + LAST)[:-9], {3: "cut off"}, ["good", "last"]),
    ("no gzip at all", "touchstone", b"\x1f\x8b" + b"nothing" * 9, {1: "damaged"}, []),
    ("no zip at all", "touchstone", b"PK\x03\x04" + b"nothing" * 9, {1: "cannot be read"}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "content", "told", "there"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_bad_lines_are_told_and_good_ones_are_in(
    project: Project, hana: Person, format: str, content: bytes, told: dict[int, str], there: list[str]
) -> None:
    job = brought_in(project, hana, content, format)
    assert (job.status, job.error) == ("succeeded", "")
    found = {line: error for line, _, error in refusals(job)} if job.result["rejected"] else {}
    assert found.keys() == told.keys(), found
    for line, words in told.items():
        assert words in found[line]
        assert found[line].endswith((".", ")"))
    assert [prompt.text for prompt in Prompt.objects.order_by("pk")] == there


WHOLE = [
    ("UTF-16", "touchstone", GOOD.decode().encode("utf-16"), "Save it as UTF-8"),
    (
        "cells between semicolons",
        "touchstone-csv",
        b"prompt;response_a\nq;a\n",
        "There is no column 'prompt;response_a'",
    ),
    ("JSON called a CSV", "touchstone-csv", GOOD, "There is no column"),
    ("a column twice", "touchstone-csv", b"prompt,prompt\nq,q\n", "'prompt' occurs twice"),
]


@pytest.mark.parametrize(("format", "content", "words"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_what_cannot_be_read_at_all_fails_with_a_sentence(
    project: Project, hana: Person, format: str, content: bytes, words: str
) -> None:
    job = brought_in(project, hana, content, format)
    assert (job.status, job.error_kind) == ("failed", "data")
    assert words in job.error
    assert not Prompt.objects.exists()


@pytest.mark.parametrize("packed", ["gz", "zip", "zip of a corpus"])
def test_a_full_disk_is_not_taken_for_the_end_of_the_file(tmp_path: Path, packed: str) -> None:
    """Otherwise what was read so far would be brought in, and the rest passed over for good."""
    file, text = tmp_path / "packed", b"word " * 500_000
    if packed == "gz":
        file.write_bytes(gzip.compress(text, 1))
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", text)
    with pytest.raises(OSError) as full:
        if packed == "zip of a corpus":
            documents.extract(file, "a.txt", Path("/dev/full"), limit=1 << 30)
        else:
            unpacking.unpack(file, Path("/dev/full"))
    assert full.value.errno == errno.ENOSPC


def test_formulas_of_spreadsheets_are_text(project: Project, hana: Person) -> None:
    content = b'prompt,response_a,response_b,choice\n=1+1,@SUM(A1),"=HYPERLINK(""http://x"")",a\n'
    job = brought_in(project, hana, content, "touchstone-csv")
    assert job.result["rejected"] == 0
    assert Prompt.objects.get().text == "=1+1"
    assert [one.text for one in Response.objects.order_by("pk")] == ["@SUM(A1)", '=HYPERLINK("http://x")']
    assert Annotation.objects.get().payload["outcome"] == "prefer"


@pytest.mark.parametrize(("around", "megabytes"), [("lines", 200), ("array", 40), ("table", 40)])
def test_a_line_of_200_mb_is_passed_over_without_being_held(
    project: Project, hana: Person, around: str, megabytes: int
) -> None:
    format, before, after = {
        "lines": ("touchstone", GOOD, b"\n" + LAST),
        "array": ("touchstone", b"[" + GOOD.strip() + b',\n{"prompt": "', b'"},\n' + LAST.strip() + b"]"),
        "table": ("touchstone-csv", HEADER + b"good,a,b\n", b"\nlast,a,b\n"),
    }[around]
    job = asked(project, hana, before, format)
    with (Path(settings.DATA_DIR) / job.payload["folder"] / "upload").open("ab") as file:
        for _ in range(megabytes):
            file.write(b"x" * 2**20)
        file.write(after)
    tracemalloc.start()
    run_job(job.pk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    job.refresh_from_db()
    told: list[Any] = [line for line, _, error in refusals(job) if "longer than 16 MB" in error]
    assert told == [{"lines": 2, "array": 2, "table": 3}[around]]
    assert [prompt.text for prompt in Prompt.objects.order_by("pk")] == ["good", "last"]
    assert peak < 4 * reading.MAX_RECORD
    assert json.dumps(job.result).count("x" * 100) == 0
