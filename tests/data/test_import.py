"""Files become rows: the good lines are in, the bad ones are told by line, and a kill changes nothing."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from feedback.db import bulk_writer
from feedback.errors import Invalid
from feedback.formats import reading
from feedback.formats.annotations.items import Item, LeftOut
from feedback.formats.catalog import FORMATS
from feedback.models import (
    Annotation,
    Assignment,
    Job,
    Person,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Task,
    TaskResponse,
)
from feedback.services.collection import assignment_queue
from feedback.services.data import exports, import_batches, imports
from feedback.services.platform import projects
from tests.conftest import SHARED_DATA
from workers.execution import run_job

pytestmark = pytest.mark.database

FILES = [
    ("hh", "hh_helpful_base/train.jsonl"),
    ("openassistant", "openassistant/trees.jsonl"),
    ("openassistant", "openassistant/rankings.jsonl"),
    ("trl-prompt-only", "openassistant/prompts_250.jsonl"),
    ("pandalm", "pandalm_3annotators/pairs.jsonl"),
    ("llmbar", "llmbar/pairs.jsonl"),
    ("taskmaster", "taskmaster_reward/movie_tickets.jsonl"),
    ("self-instruct", "self_instruct/seed_tasks.jsonl"),
    ("self-instruct", "self_instruct/ranking_candidates.jsonl"),
    ("label-studio", "label_studio/pairwise_export.json"),
    ("label-studio", "label_studio/pairwise_tasks.json"),
]


@pytest.fixture
def project(hana: Person) -> Project:
    return projects.open_project(by=hana, name="Imports", slug="imports", annotations_per_task=2)


@pytest.fixture
def twin(hana: Person) -> Project:
    """Another project, to bring the same into."""
    return projects.open_project(by=hana, name="Twin", slug="twin", annotations_per_task=2)


def asked(project: Project, by: Person, content: bytes, format: str = "touchstone", **options: Any) -> Job:
    return imports.request_import(project=project, by=by, format=format, name="rows.jsonl", chunks=[content], **options)


def brought_in(project: Project, by: Person, content: bytes, format: str = "touchstone", **options: Any) -> Job:
    job = asked(project, by, content, format, **options)
    run_job(job.pk)
    job.refresh_from_db()
    return job


def written(project: Project, by: Person, format: str, **options: Any) -> tuple[Job, Path]:
    job = exports.request_export(project=project, by=by, format=format, **options)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.status == "succeeded", job.error
    return job, exports.file_of(job)


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def apart(rows: list[Any]) -> list[Any]:
    """Rows without what differs from project to project: when they came, and into which split."""
    for row in rows:
        row.pop("split")
        for answer in row.get("answers", []):
            answer.pop("submitted_at")
    return rows


def refusals(job: Job) -> list[tuple[int, str, str]]:
    return [(row["line"], row["field"], row["error"]) for row in rows_of(imports.rejected_file(job))]


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def pair(number: int, **more: Any) -> dict[str, Any]:
    return {"prompt": f"Question {number}?", "responses": [f"Yes {number}", f"No {number}"]} | more


def nothing_to_rank(row: Any) -> bool:
    responses = row.get("responses")
    return isinstance(responses, dict) and len(set(responses.values())) == 1


@pytest.mark.parametrize(("format", "name"), FILES)
def test_real_data_comes_out_as_it_went_in(project: Project, hana: Person, format: str, name: str) -> None:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"the real data set is not here: {name}")
    with path.open("rb") as file:
        read = reading.array if reading.container_of(file) == "array" else reading.lines
        original = [record.value for record in read(file)]
    told = {json.dumps(row): row for row in original}
    twice = len(original) - len(told)  # a row that stands in a file twice is brought in once, and counted
    alike = [row for row in told.values() if nothing_to_rank(row)]  # every model wrote the same: refused by line
    original = [row for row in told.values() if row not in alike]
    job = brought_in(project, hana, path.read_bytes(), format)
    assert (job.status, job.result["rejected"], job.result["before"]) == ("succeeded", len(alike), twice)
    _, out = written(project, hana, format)
    if format == "trl-prompt-only":  # plain text becomes a message
        original = [{"prompt": [{"role": "user", "content": row["prompt"]}]} for row in original]
    assert rows_of(out) == original
    _, own = written(project, hana, "touchstone")
    read_again = [item for row in rows_of(own) for item in FORMATS["touchstone"].read(row, None)]  # type: ignore[misc,arg-type]
    again = [item for item in read_again if isinstance(item, Item | LeftOut)]
    assert len(again) == len(read_again)
    assert list(FORMATS[format].write(again)) == original  # type: ignore[misc]
    assert Person.objects.filter(username=None).count() <= 3


class TestWhatIsWritten:
    def test_an_open_task_can_be_answered(self, project: Project, hana: Person) -> None:
        job = brought_in(project, hana, lines(pair(1, priority=3, metadata={"a": [1.5, None]})), source="wiki")
        assert job.result["tasks"] == 1
        held = assignment_queue.next_assignment(project=project, annotator=hana)
        assert isinstance(held, Assignment)
        task = held.task
        task.full_clean()
        assert (task.kind, task.annotations_wanted, task.priority, task.arm) == ("comparison", 2, 3, "given")
        assert [one.text for one in Response.objects.order_by("pk")] == ["Yes 1", "No 1"]
        prompt = Prompt.objects.get()
        assert (prompt.metadata, prompt.state, prompt.split != "") == ({"a": [1.5, None]}, "ready", True)

    def test_answers_settle_a_task_and_become_pairs(self, project: Project, hana: Person) -> None:
        answers = [
            {"annotator": "x", "answer": {"outcome": "prefer", "choice": "b", "strength": 3}, "shown": ["b", "a"]},
            {"annotator": "y", "answer": {"outcome": "tie"}, "seconds": 4.5},
        ]
        brought_in(project, hana, lines(pair(1, answers=answers)), source="wiki")
        task, one = Task.objects.get(), PreferencePair.objects.get()
        assert (task.state, task.free_slots, task.annotations_wanted) == ("settled", 0, 2)
        assert (one.chosen.text, one.rejected.text, one.strength) == ("No 1", "Yes 1", 3)
        assert one.annotation.assignment.current_id == one.annotation_id
        assert one.annotation.shown == [str(one.chosen.public_id), str(one.rejected.public_id)]
        assert set(Person.objects.filter(source="wiki").values_list("external_name", flat=True)) == {"x", "y"}
        _, path = written(project, hana, "touchstone")
        (row,) = rows_of(path)
        assert [(said["annotator"], said["answer"]["outcome"]) for said in row["answers"]] == [
            ("x", "prefer"), ("y", "tie"),
        ]  # fmt: skip
        job, path = written(project, hana, "hh")
        assert len(rows_of(path)) == 1
        assert job.result["left_out"] == {"an answer tie": 1}
        assert any("Strength" in note for note in job.result["notes"])

    def test_the_same_again_adds_nothing(self, project: Project, hana: Person) -> None:
        content = lines(pair(1), pair(2, external_id="two"))
        brought_in(project, hana, content)
        job = brought_in(project, hana, content)
        assert (job.result["new"], job.result["before"], Task.objects.count()) == (0, 2, 2)

    @pytest.mark.parametrize("format", ["touchstone", "touchstone-csv"])
    def test_a_training_round_is_carried_from_one_project_to_another(
        self, project: Project, twin: Project, hana: Person, format: str
    ) -> None:
        check = pair(1, gold={"outcome": "tie"}, explanation="-> both say “yes”", training_round=True)
        job = brought_in(project, hana, lines(check, pair(2, training_round=True), pair(3, explanation="Why?")))
        assert [(line, field) for line, field, _ in refusals(job)] == [(2, "training_round"), (3, "explanation")]
        _, path = written(project, hana, format)
        assert brought_in(twin, hana, path.read_bytes(), format).result["rejected"] == 0
        task = Task.objects.get(project=twin)
        assert task.gold is not None
        assert (task.gold["outcome"], task.explanation, task.training_round) == ("tie", "-> both say “yes”", True)

    def test_parquet_holds_the_same(self, project: Project, hana: Person) -> None:
        from pyarrow import parquet

        said = [{"annotator": "x", "answer": {"outcome": "prefer", "choice": "a", "strength": 1}}]
        brought_in(project, hana, lines(*(pair(number, answers=said) for number in range(20))))
        _, path = written(project, hana, "trl", file_type="parquet")
        _, plain = written(project, hana, "trl")
        assert [{k: v for k, v in row.items() if k != "_more"} for row in parquet.read_table(path).to_pylist()] == (
            rows_of(plain)
        )

    def test_csv_guards_formulas_and_reads_them_back(self, project: Project, twin: Project, hana: Person) -> None:
        texts = ["=1+1", "+1", "-1", "@x", "'=quoted", 'a\nb,"c"', "\tx"]
        brought_in(project, hana, lines(*({"prompt": text, "responses": ["=A1", ""]} for text in texts)))
        _, path = written(project, hana, "touchstone-csv")
        content = path.read_text()
        assert not any(
            cell.startswith(("=", "+", "-", "@")) for line in content.splitlines() for cell in line.split(",")
        )
        job = brought_in(twin, hana, path.read_bytes(), "touchstone-csv")
        assert job.result["rejected"] == 0
        assert [one.text for one in Prompt.objects.filter(project=twin).order_by("pk")] == texts
        assert set(Response.objects.filter(project=twin).values_list("text", flat=True)) == {"=A1", ""}


class TestBrokenFiles:
    def test_bad_lines_are_told_and_good_ones_are_in(self, project: Project, hana: Person) -> None:
        content = b"".join(
            [
                lines(pair(1)),
                b'{"prompt": "caf\xe9"}\n',
                b'{"prompt": "cut',
                b"\n[1]\n",
                lines({"prompt": 7}, pair(2, responses=["a", "a"]), pair(3, kind="guess"), {"prompt": "a\0b"}),
                lines(pair(4, external_id="x"), pair(5, external_id="x"), pair(6, answers=[{"answer": {}}])),
                lines(pair(7)),
            ]
        )
        job = brought_in(project, hana, content)
        assert job.status == "succeeded"
        assert Task.objects.count() == 3
        told = {line: (field, error) for line, field, error in refusals(job)}
        assert set(told) == {2, 3, 4, 5, 6, 7, 8, 10, 11}
        assert "not UTF-8" in told[2][1]
        assert "not valid JSON" in told[3][1]
        assert told[6][0] == "responses"
        assert told[7][0] == "kind"
        assert told[10][0] == "external_id"
        assert told[11][0] == "answers[0].answer.outcome"

    def test_packed_files(self, project: Project, hana: Person, tmp_path: Path) -> None:
        content = lines(*(pair(number) for number in range(300)))
        packed = gzip.compress(content)
        assert brought_in(project, hana, packed).result["new"] == 300
        cut = brought_in(project, hana, gzip.compress(content + lines(pair(301)) * 2000)[:-2000])
        assert "cut off" in refusals(cut)[-1][2]
        with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
            archive.writestr("a", content)
            archive.writestr("b", content)
        two = brought_in(project, hana, (tmp_path / "two.zip").read_bytes())
        assert "must contain one" in refusals(two)[0][2]

    def test_a_zip_bomb_is_stopped(self, project: Project, hana: Person) -> None:
        bomb = gzip.compress(lines(pair(1)) + b" " * (64 * 2**20))
        job = brought_in(project, hana, bomb)
        assert Task.objects.count() == 1
        assert any("unpacks to more than" in error for _, _, error in refusals(job))

    def test_a_cut_array_gives_what_came_before(self, project: Project, hana: Person) -> None:
        whole = json.dumps([{"data": {"prompt": f"q{n}", "answer1": "x", "answer2": 'y]}\\"'}} for n in range(5)])
        job = brought_in(project, hana, whole[:-20].encode(), "label-studio")
        assert Task.objects.count() == 4
        assert "cut off" in refusals(job)[0][2]

    def test_what_is_no_text_at_all_fails_with_a_sentence(self, project: Project, hana: Person) -> None:
        job = brought_in(project, hana, "prompt".encode("utf-16"))
        assert (job.status, job.error_kind) == ("failed", "data")
        assert "UTF-8" in job.error

    def test_nothing_outside_the_inbox_can_be_named(self, project: Project) -> None:
        shelf = Path(settings.DATA_DIR) / "inbox" / "shelf"
        shelf.mkdir(parents=True)
        (shelf / "circle").symlink_to(shelf / "circle")
        (shelf / "out").symlink_to("/etc/passwd")
        for name in ("../a", "/etc/passwd", "a\0b", "", "shelf", "shelf/circle", "shelf/out", "n" * 300):
            with pytest.raises(Invalid):
                imports.from_inbox(name)


def test_an_export_begun_again_leaves_nothing_of_the_killed_attempt(project: Project, hana: Person) -> None:
    job = exports.request_export(project=project, by=hana, format="touchstone")
    place = Path(settings.DATA_DIR) / exports.FOLDER / str(job.public_id)
    place.mkdir(parents=True)
    (place / ".desk-touchstone.jsonl.0").write_text("half a l")
    run_job(job.pk)
    job.refresh_from_db()
    assert list(place.iterdir()) == [exports.file_of(job)]


def test_what_breaks_while_it_is_read_ahead_takes_nothing_back(
    project: Project, hana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = lines(*(pair(number) for number in range(500)))
    job, records = asked(project, hana, content), import_batches._records

    def torn(*given: Any) -> Iterator[Any]:
        for number, record in enumerate(records(*given)):
            if number == 300:
                raise Invalid("The disk gave up here.")
            yield record

    with monkeypatch.context() as patched:
        patched.setattr(import_batches, "_records", torn)
        run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, job.error) == ("failed", "The disk gave up here.")
    there = Task.objects.filter(project=project).count()
    assert there == job.result["new"] == job.result["read"] > 0  # every batch that was full is in, and counted
    again = brought_in(project, hana, content)
    assert (again.result["new"], again.result["before"]) == (500 - there, there)


def test_a_key_that_points_at_nothing_is_refused_before_the_commit(project: Project) -> None:
    meanwhile: list[str] = []
    with pytest.raises(IntegrityError), transaction.atomic():
        bulk_writer.Writer(TaskResponse, ("task_id", "response_id", "position")).insert([(10**9, 10**9, 0)])
        bulk_writer.check_keys(meanwhile=lambda: meanwhile.append("read"))
        if connection.vendor == "sqlite":
            connection.check_constraints()  # what it does by itself at the commit
    assert meanwhile == (["read"] if connection.vendor == "postgresql" else [])
    assert not TaskResponse.objects.filter(response_id=10**9).exists()


@pytest.mark.parametrize("format", ["touchstone", "touchstone-csv", "label-studio"])
def test_killed_in_the_middle_it_goes_on_and_the_rows_are_the_same(
    project: Project, twin: Project, hana: Person, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    said = [{"annotator": "x", "answer": {"outcome": "prefer", "choice": "a", "strength": 2}}]
    rows: list[Any] = [pair(number, answers=said if number % 3 else []) for number in range(900)]
    if format == "label-studio":
        content = json.dumps([{"prompt": row["prompt"], "answer1": "a", "answer2": "b"} for row in rows]).encode()
    elif format == "touchstone-csv":
        told = "".join(f"{row['prompt']},a,b\n" if n % 7 else "x\n" for n, row in enumerate(rows))
        content = f"prompt,response_a,response_b\n{told}".encode()
    else:
        content = lines(*rows[:450], {"prompt": 1}, *rows[450:])
    whole = brought_in(project, hana, content, format)
    _, path = written(project, hana, "touchstone")
    expected, refused = apart(rows_of(path)), refusals(whole) if whole.result["rejected"] else []

    class Killed(BaseException):
        pass

    job, commits = asked(twin, hana, content, format), 0
    keep = imports.jobs.keep

    def keep_or_die(job: Job, result: dict[str, Any]) -> None:
        nonlocal commits
        commits += 1
        keep(job, result)
        if commits % 2 == 0:
            raise Killed  # rows are written, the transaction is not committed

    with monkeypatch.context() as patched:
        patched.setattr(imports.jobs, "keep", keep_or_die)
        for _ in range(30):
            try:
                run_job(job.pk)
            except Killed:
                Job.objects.filter(pk=job.pk).update(status="queued")
    job.refresh_from_db()
    assert job.status == "succeeded"
    _, path = written(twin, hana, "touchstone")
    assert apart(rows_of(path)) == expected
    assert (refusals(job) if job.result["rejected"] else []) == refused
    assert {name: job.result[name] for name in ("read", "new", "before", "rejected")} == {
        name: whole.result[name] for name in ("read", "new", "before", "rejected")
    }
    assert Annotation.objects.filter(project=twin).count() == sum(len(row.get("answers", [])) for row in expected)
