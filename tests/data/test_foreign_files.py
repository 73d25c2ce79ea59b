"""An admin brings in files of other people's making: each is understood, with one correction at most."""

from typing import Any

import pytest

from feedback.formats.catalog import TABLE
from feedback.models import Annotation, Job, Person, PreferencePair, Project, Prompt, Task, Thumb
from feedback.services.data import import_sources, imports
from feedback.services.platform import jobs, projects
from tests.data.foreign_files import FILES, ForeignFile, xlsx
from workers.execution import run_job

pytestmark = pytest.mark.database

SCHEMES = {
    "sentiment": {
        "kind": "classification",
        "labels": [{"name": "negative"}, {"name": "neutral"}, {"name": "positive"}],
    },
    "abuse": {"kind": "classification", "many": True, "labels": [{"name": "toxic"}, {"name": "insult"}]},
    "names": {"kind": "spans", "labels": [{"name": "per", "title": "PER"}, {"name": "loc", "title": "LOC"}]},
}


@pytest.fixture
def project(hana: Person) -> Project:
    return projects.open_project(by=hana, name="Foreign", slug="foreign", label_scheme=SCHEMES)


def by_name(name: str) -> ForeignFile:
    return next(file for file in FILES if file.name == name)


def bring_in(project: Project, by: Person, file: ForeignFile, **more: Any) -> Job:
    """Look at the file, correct the guess as the file says, and import it."""
    with imports.stored([file.content]) as (_, place):
        seen = import_sources.inspect(project, place, file.name)
    mapping = None
    if seen.format == TABLE:
        mapping = seen.guess.mapping.as_json()
        mapping["columns"] |= file.columns
        mapping |= file.changes
    job = imports.request_import(
        project=project, by=by, format=seen.format, name=file.name, chunks=[file.content], mapping=mapping, **more
    )
    run_job(job.pk)
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_comes_in_with_one_correction_at_most(project: Project, hana: Person, file: ForeignFile) -> None:
    assert file.corrections <= 1
    job = bring_in(project, hana, file)
    rows = sum(file.kinds.values())
    assert (job.status, job.error) == ("succeeded", "")
    assert (job.result["kinds"], job.result["answers"]) == (file.kinds, file.answers), job.result
    assert (job.result["read"], job.result["new"], job.result["rejected"]) == (rows, rows, 0)
    again = bring_in(project, hana, file)
    assert (again.result["new"], again.result["before"]) == (0, rows), "a file imported twice adds nothing"


def test_a_dry_run_counts_the_same_and_writes_nothing(project: Project, hana: Person) -> None:
    for file in FILES:
        job = bring_in(project, hana, file, dry_run=True)
        assert (job.status, job.result["kinds"], job.result["answers"]) == ("succeeded", file.kinds, file.answers)
    assert not Prompt.objects.exists() and not Task.objects.exists() and not Person.objects.filter(source="table")


def payloads(project: Project) -> dict[str, Any]:
    """The payload of each annotation, by the text of its prompt."""
    found = {}
    for annotation in Annotation.objects.filter(project=project).select_related("task__prompt"):
        found[annotation.task.prompt.text] = annotation.payload
    return found


def test_stars_become_sentiments(project: Project, hana: Person) -> None:
    bring_in(project, hana, by_name("reviews.csv"))
    labels = {text: payload["labels"] for text, payload in payloads(project).items()}
    assert labels == {
        "Broke after a day, sadly.": ["negative"], "It is all right.": ["neutral"], "Lovely!": ["positive"],
    }  # fmt: skip
    assert set(Prompt.objects.values_list("external_id", flat=True)) == {"r1", "r2", "r3"}


def test_the_winner_is_the_column_that_it_names(project: Project, hana: Person) -> None:
    bring_in(project, hana, by_name("side_by_side.csv"))
    won = {pair.prompt.text: pair.chosen.text for pair in PreferencePair.objects.all()}
    assert won == {"Why is the sky blue?": "Scattering.", "Who wrote Emma?": "Jane Austen."}
    assert payloads(project)["2+2?"]["outcome"] == "tie"


def test_text_of_old_windows_keeps_its_letters(project: Project, hana: Person) -> None:
    bring_in(project, hana, by_name("umfrage.csv"))
    assert {prompt.text for prompt in Prompt.objects.all()} == {"Schöne Tür, müßig gebaut", "Größe völlig daneben"}


def test_tags_of_tokens_become_spans(project: Project, hana: Person) -> None:
    bring_in(project, hana, by_name("ner.parquet"))
    spans = [(one["text"], one["label"]) for one in payloads(project)["Anna flew to New York"]["spans"]]
    assert spans == [("Anna", "per"), ("New York", "loc")]


def test_each_column_of_yes_and_no_is_a_label(project: Project, hana: Person) -> None:
    bring_in(project, hana, by_name("toxic.csv"))
    labels = {text: payload["labels"] for text, payload in payloads(project).items()}
    assert labels == {"You fool!": ["toxic", "insult"], "Nice day.": [], "Horrible rubbish": ["toxic"]}


def test_thumbs_are_thumbs_of_the_people_named(project: Project, hana: Person) -> None:
    bring_in(project, hana, by_name("thumbs.jsonl.gz"))
    assert {(thumb.response.text, thumb.up) for thumb in Thumb.objects.all()} == {("Gladly.", True), ("No.", False)}


def test_rejected_rows_are_told_by_line_and_can_be_repaired(project: Project, hana: Person) -> None:
    content = b"id,text,sentiment\n1,Fine.,positive\n2,Odd.,sideways\n3,,negative\n4,Bad.,negative\n"
    file = ForeignFile("r.csv", content, {}, 0)
    job = bring_in(project, hana, file, dry_run=True)
    assert (job.result["new"], job.result["rejected"]) == (2, 2)
    refused = imports.rejected_file(job).read_text(encoding="utf-8").splitlines()
    assert '"line":3' in refused[0] and "sideways" in refused[0] and '"cells"' in refused[0]
    assert '"line":4' in refused[1] and '"field":"text"' in refused[1]
    job = bring_in(project, hana, file, repairs={"3": {"sentiment": "neutral"}})
    assert (job.result["new"], job.result["rejected"]) == (3, 1)
    assert payloads(project)["Odd."]["labels"] == ["neutral"]


def test_a_kill_in_the_middle_of_a_spreadsheet_changes_nothing(project: Project, hana: Person) -> None:
    rows = [["question", "reply"], *([f"Question {n}?", f"Reply {n}"] for n in range(400))]
    file = ForeignFile("many.xlsx", xlsx(*rows), {}, 0)
    with imports.stored([file.content]) as (_, place):
        mapping = import_sources.inspect(project, place, file.name).guess.mapping.as_json()
    job = imports.request_import(
        project=project, by=hana, format="table", name=file.name, chunks=[file.content], mapping=mapping
    )
    claimed = jobs.claim(job.pk, "one")
    assert claimed is not None
    steps = imports.bring_in(claimed)
    next(steps)
    del steps
    there = Prompt.objects.count()
    assert 0 < there < 400
    Job.objects.filter(pk=job.pk).update(status="queued")
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, job.result["new"], job.result["rejected"]) == ("succeeded", 400, 0)
    assert Prompt.objects.count() == 400
