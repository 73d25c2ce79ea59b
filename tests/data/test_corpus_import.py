"""Documents come into a corpus: what is unfit is left out with its reason, a kill changes nothing, and what evaluation
asks is never trained on."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from feedback.errors import Conflict, Invalid, NotFound
from feedback.formats.reading import MAX_RECORD
from feedback.models import Corpus, Document, Job, Person, Project
from feedback.selectors.data import training_rows
from feedback.services.data import corpora, corpus_import, snapshots
from feedback.services.platform import jobs, projects
from tests.factories import make_prompt
from workers.execution import run_job
from workers.handlers.corpora import parquet_rows

pytestmark = pytest.mark.database

STORY = " ".join(f"On day {n} the ferry left the harbour with {n * 7} people and a cargo of salt." for n in range(12))
PAGE = b"""<html><head><title>Brewing</title><script>track()</script></head><body><nav><a href=/>Home</a></nav>
<main><h1>How we brew</h1><p>The water has ninety-three degrees when it meets the coffee.</p></main>
<footer>Imprint and terms</footer></body></html>"""


@pytest.fixture
def project(hana: Person) -> Project:
    return projects.open_project(by=hana, name="Corpora", slug="corpora")


@pytest.fixture
def corpus(project: Project, hana: Person) -> Corpus:
    return corpora.open_corpus(project=project, by=hana, name="Books")


def asked(corpus: Corpus, by: Person, name: str, content: bytes, **options: Any) -> Job:
    return corpora.request_upload(corpus=corpus, by=by, name=name, chunks=[content], **options)


def done(job: Job) -> Job:
    run_job(job.pk)
    job.refresh_from_db()
    return job


def brought_in(corpus: Corpus, by: Person, name: str, content: bytes, **options: Any) -> Job:
    job = done(asked(corpus, by, name, content, **options))
    assert job.status == "succeeded", job.error
    return job


def zipped(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def refused(job: Job) -> list[tuple[str, int, str]]:
    rows = [json.loads(line) for line in corpora.rejected_file(job).read_text().splitlines()]
    return [(row["file"], row["line"], row["reason"]) for row in rows]


def texts(corpus: Corpus) -> list[str]:
    return list(Document.objects.standing().filter(corpus=corpus).order_by("pk").values_list("text", flat=True))


def table_of(path: Path) -> bytes:
    import pyarrow
    from pyarrow import parquet

    rows = [{"text": f"Row {n} of a table about the tides of the sea.", "source": "tides"} for n in range(3)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path.read_bytes()


def test_a_folder_of_every_kind_of_file(corpus: Corpus, hana: Person, tmp_path: Path) -> None:
    rows = (
        b'{"text": "A line of JSON says something about rain.", "kind": "conversation", "license": "MIT"}\n{"no": 1}\n'
    )
    files = {
        "a/book.txt": STORY.encode(),
        "a/notes.md": b"# Notes\r\n\r\nThe ferry was late, and nobody knew why.\r\n",
        "page.html": PAGE,
        "rows.jsonl": rows + b'{"text": "Fine words of another kind.", "kind": "poem"}\n',
        "rows.csv": b"text,source\nA cell tells of wind and weather.,almanac\n",
        "rows.parquet": table_of(tmp_path / "t.parquet"),
        "picture.png": b"\x89PNG",
        "../out.txt": b"It would leave its folder.",
        "inner.zip": zipped({"x.txt": b"x"}),
        "latin.txt": b"caf\xe9",
        "__MACOSX/._book.txt": b"junk",
    }
    job = brought_in(corpus, hana, "folder.zip", zipped(files), source="shelf", licence="CC0")
    assert job.result["left_out"] == {"unreadable": 6}
    assert {one[0] for one in refused(job)} == {
        "rows.jsonl", "picture.png", "../out.txt", "inner.zip", "latin.txt"
    }  # fmt: skip
    assert [one[1] for one in refused(job) if one[0] == "rows.jsonl"] == [2, 3]
    found = {d.name: (d.source, d.document_kind, d.licence) for d in Document.objects.filter(corpus=corpus)}
    assert found["a/book.txt"] == ("shelf", "book", "CC0")
    assert found["page.html"] == ("shelf", "website", "CC0")
    assert found["rows.jsonl line 1"] == ("shelf", "conversation", "MIT")
    assert found["rows.csv line 2"] == ("almanac", "article", "CC0")
    assert len([name for name in found if name.startswith("rows.parquet")]) == 3 == job.result["new"] - 5
    page = Document.objects.get(name="page.html").text
    assert page.startswith("How we brew") and "Imprint" not in page and "track" not in page
    assert Document.objects.get(name="a/notes.md").text == "# Notes\n\nThe ferry was late, and nobody knew why.\n"
    report = Job.objects.get(kind="corpus", payload__do="report")
    assert done(report).status == "succeeded"
    corpus.refresh_from_db()
    assert corpus.report["documents"] == 8 and corpus.reported_at is not None


def test_the_same_again_adds_nothing_and_near_duplicates_say_of_what(corpus: Corpus, hana: Person) -> None:
    near = STORY.replace("On day 7 the", "On day seven a")
    lines = "".join(
        json.dumps({"text": text}) + "\n" for text in (STORY, near, STORY + "\n", "Another one, not alike.")
    )
    first = brought_in(corpus, hana, "rows.jsonl", lines.encode())
    assert (first.result["new"], first.result["left_out"]) == (2, {"near_duplicate": 2})
    original = Document.objects.get(corpus=corpus, text=STORY)
    told = [json.loads(line) for line in corpora.rejected_file(first).read_text().splitlines()]
    assert {row["of"] for row in told} == {str(original.public_id)}
    again = brought_in(corpus, hana, "rows.jsonl", lines.encode())
    assert (again.result["new"], again.result["left_out"]) == (0, {"duplicate": 2, "near_duplicate": 2})
    plain = brought_in(corpus, hana, "rows.jsonl", lines.encode(), cleaning={"near_duplicates": False})
    assert plain.result["new"] == 2


def test_quality_personal_data_and_evaluation(project: Project, corpus: Corpus, hana: Person) -> None:
    split = ""
    number = 0
    while split != "test":
        number += 1
        prompt = make_prompt(project, f"Why does the number {number} train to the coast stop so often?", by=hana)
        split = prompt.split
    rows = [
        "buy this now\n" * 20,
        f"He asked: why does the number {number} train to the coast stop so often? Nobody answered.",
        "Write to rosa@example.org about the tides, or call +49 30 901820.",
        "x",
    ]
    content = "".join(json.dumps({"text": row}) + "\n" for row in rows).encode()
    job = brought_in(corpus, hana, "rows.jsonl", content, cleaning={"mask": True, "thresholds": {"min_characters": 5}})
    assert job.result["left_out"] == {"evaluation": 1, "repeated_lines": 1, "too_short": 1}
    assert job.result["masked"] == {"email": 1, "phone": 1}
    assert texts(corpus) == ["Write to [email] about the tides, or call [phone]."]
    left = [path.read_text() for path in (Path(settings.DATA_DIR) / "corpora").rglob("*") if path.is_file()]
    assert left and not any("rosa@example.org" in text for text in left)


def test_other_languages_are_left_out_when_asked(corpus: Corpus, hana: Person) -> None:
    rows = [
        "The ferry left the harbour with a cargo of salt and seven passengers.",
        "Die Fähre verließ den Hafen mit einer Ladung Salz und sieben Reisenden.",
        "Le bac quitta le port avec une cargaison de sel et sept voyageurs.",
        "Salz, sel, 12",
    ]
    content = "".join(json.dumps({"text": row}) + "\n" for row in rows).encode()
    job = brought_in(corpus, hana, "rows.jsonl", content, cleaning={"languages": ["fr", "en"]})
    assert job.result["left_out"] == {"language": 1}
    assert texts(corpus) == [rows[0], rows[2], rows[3]], "the last says too little"
    [left] = [json.loads(line) for line in corpora.rejected_file(job).read_text().splitlines()]
    assert (left["line"], left["reason"]) == (2, "language")
    assert left["detail"] == "It looks like German (de); accepted: English, French."
    assert brought_in(corpus, hana, "rows.jsonl", content).result["new"] == 1, "all languages, unless told otherwise"
    for wrong in (["xx"], "en", [["en"]]):
        with pytest.raises(Invalid, match="languages is a list of codes"):
            asked(corpus, hana, "rows.jsonl", content, cleaning={"languages": wrong})


def test_a_kill_in_the_middle_changes_nothing(
    project: Project, corpus: Corpus, hana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_import, "BATCH", 7)
    lines = [json.dumps({"text": f"Paragraph {n} is about the {n * n} stones of the old pier."}) for n in range(30)]
    lines[11] = "{broken"
    files = {"b.jsonl": "\n".join(lines).encode(), "a.txt": STORY.encode(), "c.csv": b"text\nLast words.\n"}
    whole = brought_in(corpus, hana, "f.zip", zipped(files))
    other = corpora.open_corpus(project=project, by=hana, name="Killed")
    job = asked(other, hana, "f.zip", zipped(files))
    for stop in (1, 2, 1):
        claimed = jobs.claim(job.pk, "w")
        assert claimed is not None
        reading = corpus_import.bring_in(claimed, parquet_rows)
        for _ in range(stop):
            next(reading)
        del reading  # as a kill leaves it: after a batch, and before the next
        Job.objects.filter(pk=job.pk).update(status="queued")
    done(job)
    assert job.status == "succeeded", job.error
    assert job.result == whole.result | {"unpacked": job.result["unpacked"]}
    assert texts(other) == texts(corpus)
    assert refused(job) == refused(whole) == [("b.jsonl", 12, "unreadable")]


def test_bombs_and_strange_files_are_refused(corpus: Corpus, hana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback.formats.unpacking.HARMLESS", 1000)
    bomb = zipped({"a.txt": b"0" * 3_000_000, "b.txt": b"The sea is calm today."})
    job = brought_in(corpus, hana, "bomb.zip", bomb)
    assert refused(job)[0] == ("a.txt", 1, "unreadable") and job.result["new"] == 0
    monkeypatch.undo()
    settings.DATA_DIR.mkdir(exist_ok=True)
    for name, content in (("none.exe", b"MZ"), ("empty.txt", b"")):
        with pytest.raises(Invalid):
            asked(corpus, hana, name, content)
    assert done(asked(corpus, hana, "no.zip", b"PK no zip")).status == "failed"
    deep = brought_in(corpus, hana, "deep.html", b"<div>" * 3000 + b"text")
    long = brought_in(corpus, hana, "long.txt", b"word " * (MAX_RECORD // 5 + 1))
    assert deep.result["left_out"] == long.result["left_out"] == {"unreadable": 1}


def test_a_folder_on_the_server(corpus: Corpus, hana: Person, tmp_path: Path) -> None:
    inbox = Path(settings.DATA_DIR) / "inbox" / "shelf"
    inbox.mkdir(parents=True)
    (inbox / "one.txt").write_text(STORY)
    (tmp_path / "secret.txt").write_text("A secret that lies outside.")
    (inbox / "link.txt").symlink_to(tmp_path / "secret.txt")
    job = done(corpora.request_upload(corpus=corpus, by=hana, name="shelf", path="shelf"))
    assert job.result["new"] == 1 and texts(corpus) == [STORY]
    for wrong in ("../..", "/etc", "nowhere", "", "a\0b", "shelf/link.txt"):
        with pytest.raises(Invalid):
            corpora.request_upload(corpus=corpus, by=hana, name="x", path=wrong)


def test_what_was_taken_out_stays_out_until_it_is_put_back(corpus: Corpus, hana: Person) -> None:
    brought_in(corpus, hana, "a.txt", STORY.encode())
    document = Document.objects.get(corpus=corpus)
    with pytest.raises(Invalid):
        corpora.remove_documents(corpus=corpus, by=hana, ids=[document.public_id], reason=" ")
    assert corpora.remove_documents(corpus=corpus, by=hana, ids=[document.public_id], reason="no licence") == 1
    assert texts(corpus) == []
    assert brought_in(corpus, hana, "a.txt", STORY.encode()).result["left_out"] == {"duplicate": 1}
    assert corpora.restore_documents(corpus=corpus, by=hana, ids=[document.public_id]) == 1
    assert texts(corpus) == [STORY]
    elsewhere = corpora.open_corpus(project=corpus.project, by=hana, name="Other")
    with pytest.raises(NotFound):
        corpora.remove_documents(corpus=elsewhere, by=hana, ids=[document.public_id], reason="not mine")
    with pytest.raises(Conflict):
        corpora.open_corpus(project=corpus.project, by=hana, name="Other")


def frozen(corpus: Corpus, by: Person) -> Iterator[tuple[str, str]]:
    snapshot = snapshots.request_snapshot(project=corpus.project, by=by, purpose="corpus", corpus=corpus, job=False)
    folder = snapshots.folder_of(snapshots.freeze(snapshot))
    for split in ("train", "selection"):
        for line in (folder / f"{split}.jsonl").read_text().splitlines():
            yield split, json.loads(line)["row"]["text"]


def test_the_last_tenth_is_held_out_exactly(corpus: Corpus, hana: Person) -> None:
    corpora.update_corpus(corpus=corpus, by=hana, hold_out="last_tenth")
    brought_in(corpus, hana, "a.txt", STORY.encode())
    [train], [held] = (
        [text for split, text in frozen(corpus, hana) if split == name] for name in ("train", "selection")
    )
    assert train == STORY[: len(STORY) * 9 // 10]
    assert train + held == STORY


def test_prompts_that_came_later_are_kept_out_at_the_freeze(project: Project, corpus: Corpus, hana: Person) -> None:
    rows = [f"Passage {n} wonders whether number {n * 31} is the oldest of all the boats." for n in range(40)]
    content = "".join(json.dumps({"text": row}) + "\n" for row in rows).encode()
    brought_in(corpus, hana, "rows.jsonl", content, cleaning={"near_duplicates": False})
    asked_later = [make_prompt(project, row, by=hana) for row in rows]
    held_out = {prompt.text for prompt in asked_later if prompt.split != "train"}
    told = {text for _, text in frozen(corpus, hana)}
    assert told == set(rows) - held_out and held_out
    manifest = project.snapshots.latest("pk").manifest
    assert manifest["left_out"] == {"evaluation": len(held_out)}


def test_one_in_twenty_is_held_out_otherwise(corpus: Corpus, hana: Person) -> None:
    from collections import Counter

    rows = "".join(json.dumps({"text": f"Number {n} is a boat of wood."}) + "\n" for n in range(60))
    brought_in(corpus, hana, "rows.jsonl", rows.encode(), cleaning={"near_duplicates": False})
    splits = Counter(row.split for row in training_rows.corpus_rows(corpus, "share", Counter()))
    assert sum(splits.values()) == 60 and splits["train"] > 45
