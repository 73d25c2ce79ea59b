"""An admin imports a file of somebody else's making by the wizard: look, map, check, repair, import."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from feedback.models import Annotation, ImportDraft, Job, Person, Project, Prompt, Task
from feedback.services.data import import_formats
from feedback.services.platform import projects
from workers.execution import run_job

PAGES = "/p/desk/data/imports/"
ROWS, BAD = 1000, 7


@pytest.fixture
def client(project: Project, ada: Person, signed_in: Any) -> Client:
    client: Client = signed_in(ada)
    return client


def thousand_rows() -> bytes:
    """Reviews with foreign names of columns; every 142nd has a word for its mood that nobody knows."""
    out = io.StringIO(newline="")
    table = csv.writer(out, delimiter=";")
    table.writerow(["Nr", "Kommentar", "Laune", "Prüfer"])
    for number in range(1, ROWS + 1):
        mood = ("gut", "schlecht")[number % 2]
        if number % 142 == 0:
            mood = "lila"
        table.writerow([f"k{number}", f"Die Tür klemmt zum {number}. Mal, müßig.", mood, "uwe"])
    return out.getvalue().encode("cp1252")


def begin(client: Client, content: bytes, name: str = "reviews.csv") -> str:
    reply = client.post(f"{PAGES}new/", {"file": SimpleUploadedFile(name, content)})
    assert reply.status_code == 302, reply.content.decode()
    return str(reply["Location"])


def run_all() -> None:
    for job in Job.objects.filter(status="queued"):
        run_job(job.pk)


def columns(**chosen: str) -> dict[str, str]:
    return {f"column-{place}": name for place, name in enumerate(chosen.values())}


def text_of(client: Client, place: str) -> str:
    """A page with every run of blanks as one."""
    return " ".join(client.get(place).content.decode().split())


SCHEME = {"kind": "classification", "labels": [{"name": "good"}, {"name": "bad"}]}


@pytest.mark.database
def test_a_thousand_rows_with_seven_bad_ones(client: Client, project: Project, ada: Person) -> None:
    projects.set_scheme(by=ada, project=project, name="mood", scheme=SCHEME)
    place = begin(client, thousand_rows())
    page = client.get(place).content.decode()
    assert "semicolon between cells" in page and "Windows, Western Europe" in page
    assert "Die Tür klemmt zum 1. Mal, müßig." in page
    assert "Die Tür klemmt zum 21. Mal" not in page, "twenty rows are shown"
    assert not Prompt.objects.exists() and not Job.objects.exists()

    given = columns(nr="external_id", text="prompt", mood="label", who="annotator")
    given |= {"format": "table", "scheme": "mood", "value-label-gut": "good", "value-label-schlecht": "bad"}
    checked = client.post(place, given)
    assert checked["Location"] == f"{place}check/"
    page = client.get(f"{place}check/").content.decode()
    assert 'hx-trigger="every 1s"' in page
    run_all()
    page = text_of(client, f"{place}check/")
    assert f"{BAD} of 1,000 rows would be" in page and "Import 993 rows" in page
    assert "hx-trigger" not in page
    assert page.count('value="lila"') == 2 * BAD, "the cell that is wrong can be edited, and what it was is known"
    assert not Prompt.objects.exists(), "a dry run writes nothing"

    repaired = {"was-143": "lila", "cell-143-Laune": "gut", "was-285": "lila", "cell-285-Laune": "lila"}
    client.post(f"{place}repair/", repaired)
    run_all()
    assert "6 of 1,000 rows would be" in text_of(client, f"{place}check/")

    done = client.post(f"{place}start/")
    assert client.post(f"{place}start/")["Location"] == done["Location"], "asked twice, it is imported once"
    run_all()
    page = client.get(done["Location"]).content.decode()
    assert 'class="badge badge-warn"' in page and "Download rejected rows" in page
    assert (Task.objects.count(), Annotation.objects.count()) == (994, 994)
    assert Annotation.objects.get(task__prompt__external_id="k142").payload["labels"] == ["good"]
    assert Job.objects.filter(kind="import", payload__dry_run__isnull=True).count() == 1

    rejected = client.get(f"{done['Location']}rejected/").getvalue()
    fixed = rejected.replace(b"lila", b"gut")
    place = begin(client, fixed, "rejected.csv")
    page = client.get(place).content.decode()
    assert "It says why the row was rejected before." in page
    given["column-4"] = "ignore"
    client.post(place, given)
    client.post(f"{place}start/")
    run_all()
    assert Task.objects.count() == 1000


def test_the_next_file_with_these_columns_is_read_alike(client: Client, project: Project) -> None:
    content = b"a;b\nWhat is up?;1\nAnd down?;2\n"
    place = begin(client, content)
    client.post(place, columns(a="prompt", b="group") | {"format": "table", "source": "survey"})
    client.post(f"{place}start/")
    run_all()
    assert Prompt.objects.get(group="1").source == "survey"
    place = begin(client, b"a;b\nA third one?;3\n")
    page = client.get(place).content.decode()
    assert "they are read as they were then" in page and "As in the last import of these columns." in page
    assert ImportDraft.objects.order_by("-id").first().mapping["columns"] == {"a": "prompt", "b": "group"}  # type: ignore[union-attr]


def test_labels_without_a_scheme_make_one(client: Client, project: Project) -> None:
    place = begin(client, b"text,department\nI want my money back,Billing & Tax\nIt is broken,Repair\nAgain,Repair\n")
    assert "a new one, of the labels in the file" in client.get(place).content.decode()
    given = columns(text="prompt", label="label") | {"format": "table", "scheme": "+new"}
    client.post(place, given)
    client.post(f"{place}start/")
    run_all()
    project.refresh_from_db()
    labels = [(label["name"], label["title"]) for label in project.label_scheme["department"]["labels"]]
    assert labels == [("billing-tax", "Billing & Tax"), ("repair", "Repair")]
    assert Annotation.objects.count() == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (columns(a="ignore", b="prompt", c="prompt"), "is chosen for 2 columns"),
        (columns(a="ignore", b="ignore", c="ignore"), "Choose the column that is the prompt"),
        (columns(a="ignore", b="prompt", c="label"), "Name a label scheme"),
        (columns(a="ignore", b="prompt", c="choice") | {"kind": "rating"}, "is no answer of the kind Rating"),
    ],
)
def test_a_mapping_that_does_not_fit_comes_back_as_it_was(client: Client, given: dict[str, str], words: str) -> None:
    place = begin(client, b"a,b,c\n1,Hello there,x\n")
    reply = client.post(place, given | {"format": "table"})
    page = reply.content.decode()
    assert (reply.status_code, words in page) == (400, True)
    assert not Job.objects.exists()


def test_pasted_rows_and_the_import_folder(client: Client, settings: Any) -> None:
    pasted = client.post(f"{PAGES}new/", {"text": "question\tnote\nHow high is it?\tx\n"})
    assert "tab between cells" in client.get(pasted["Location"]).content.decode()
    inbox = Path(settings.DATA_DIR) / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "big.csv").write_text("question,note\nHow deep is it?,x\n")
    assert "big.csv" in client.get(PAGES).content.decode()
    chosen = client.post(f"{PAGES}new/", {"path": "big.csv"})
    assert "How deep is it?" in client.get(chosen["Location"]).content.decode()
    assert client.post(f"{PAGES}new/", {"path": "../secret"}).status_code == 400
    assert client.post(f"{PAGES}new/", {}).status_code == 400


def test_a_file_can_be_read_in_another_way(client: Client) -> None:
    place = begin(client, b"question,note\nHow high is it?,x\n")
    told = {"action": "read", "container": "csv", "encoding": "utf-8", "delimiter": ",", "header": "no"}
    client.post(place, told)
    page = client.get(place).content.decode()
    assert "Column 1" in page and "without a header" in page


def test_a_draft_can_be_discarded(client: Client, settings: Any) -> None:
    place = begin(client, b"question,note\nHow high is it?,x\n")
    folder = Path(settings.DATA_DIR) / ImportDraft.objects.get().folder
    assert folder.is_dir()
    client.post(f"{place}discard/")
    assert not ImportDraft.objects.exists() and not folder.exists()
    assert client.get(place).status_code == 404


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\x03" * 50, b"PK\x03\x04 not a zip", b"PAR1 no"])
def test_what_is_no_table_is_told_and_leaves_nothing(client: Client, settings: Any, content: bytes) -> None:
    reply = client.post(f"{PAGES}new/", {"file": SimpleUploadedFile("x.bin", content)})
    assert reply.status_code == 400
    assert not ImportDraft.objects.exists()
    folder = Path(settings.DATA_DIR) / "imports"
    assert not folder.exists() or not list(folder.iterdir())


def test_every_sample_file_can_be_imported_as_it_is(client: Client, project: Project) -> None:
    assert client.get(f"{PAGES}formats/").status_code == 200
    tried: list[str] = []
    for form in import_formats.FORMATS:
        assert client.get(f"{PAGES}formats/{form.name}/").status_code == 200
        content = client.get(f"{PAGES}formats/{form.name}/sample/").content
        assert bool(content) == form.has_sample, form.name
        if not content:
            continue
        place = begin(client, content, f"sample.{form.ends}")
        draft = ImportDraft.objects.latest("id")
        reply = client.post(place, {"format": draft.format, "kind": "", "scheme": ""})
        assert reply.status_code == 302, (form.name, reply.content.decode())
        run_all()
        draft.refresh_from_db()
        assert draft.trial is not None
        assert (draft.trial.status, draft.trial.result["rejected"]) == ("succeeded", 0), (form.name, draft.trial.result)
        assert draft.trial.result["new"] > 0, form.name
        tried.append(form.name)
    assert len(tried) >= 12 and "xlsx" in tried, tried


def test_only_admins(client: Client, ben: Person, dan: Person, signed_in: Any) -> None:
    place = begin(client, b"question,note\nHow high is it?,x\n")
    for path in (place, f"{place}check/", f"{PAGES}formats/"):
        assert signed_in(ben).get(path).status_code == 403
        assert signed_in(dan).get(path).status_code == 404
    for verb in ("repair", "start", "discard"):
        assert signed_in(ben).post(f"{place}{verb}/").status_code == 403
    assert ImportDraft.objects.count() == 1
