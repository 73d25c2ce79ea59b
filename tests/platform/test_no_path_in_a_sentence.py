"""Whatever went wrong, and wherever it is told: nobody reads where things lie on the server's disk."""

import pytest
from django.conf import settings
from django.db import models

from feedback import errors
from feedback.models import DatasetSnapshot, Event, Job, Person, Project, Response, RunAlarm
from feedback.models.sentences import SentenceLine, SentenceText
from feedback.services.platform import events, jobs
from feedback.services.registry import external_models
from tests.factories import make_prompt, make_response
from workers.execution import run_job

pytestmark = pytest.mark.database

TOLD = "model.safetensors in /srv/touchstone/data/models/desk/3 differs."
SHOWN = "model.safetensors in 3 differs."


def columns() -> set[tuple[type[models.Model], str]]:
    return {
        (model, field.name)
        for model in (Job, Response, DatasetSnapshot, RunAlarm)
        for field in model._meta.concrete_fields
        if isinstance(field, SentenceLine | SentenceText)
    }


def test_every_column_of_a_sentence_is_of_this_kind() -> None:
    """A column that is called like one holds sentences. A new one cannot be forgotten."""
    named = {
        (model, field.name)
        for model in Job._meta.apps.get_app_config("feedback").get_models()
        for field in model._meta.concrete_fields
        if field.name in ("error", "remedy", "progress_text", "log_tail") and not isinstance(field, models.IntegerField)
    }
    assert named | {(RunAlarm, "text")} == columns()


def test_a_row_made_changed_or_written_with_others_holds_none(project: Project) -> None:
    prompt = make_prompt(project)
    made = [Response(project=project, prompt=prompt, text=f"a {n}", error=TOLD) for n in range(2)]
    Response.objects.bulk_create(made)
    one = make_response(prompt)
    Response.objects.filter(pk=one.pk).update(error=TOLD)
    other = make_response(prompt)
    other.error = TOLD
    other.save()
    assert set(Response.objects.values_list("error", flat=True)) == {SHOWN}


def test_what_a_job_tells_while_it_runs_and_when_it_fails(project: Project, ada: Person) -> None:
    found = {"name": "schema", "sentence": TOLD, "remedy": f"Open the schedule. {TOLD}"}
    text = {"prompt": "Where is bash? In /usr/local/bin/bash."}
    rows = [jobs.create(kind=Job.Kind.PREFLIGHT, queue_name="default", project=project, by=ada) for _ in range(2)]
    failing, ending = (jobs.claim(row.pk, "default@host") for row in rows)
    assert failing is not None and ending is not None
    jobs.beat(failing, text=TOLD)
    failing.refresh_from_db()
    assert failing.progress_text == SHOWN
    jobs.fail(failing, Job.ErrorKind.INTERNAL, TOLD, f"Open the schedule. {TOLD}")
    assert (failing.error, failing.remedy) == (SHOWN, f"Open the schedule. {SHOWN}")
    jobs.succeed(ending, {"stages": [{"findings": [found], "examples": [text], "notes": [TOLD]}]})
    (stage,) = ending.result["stages"]
    assert stage["findings"] == [{"name": "schema", "sentence": SHOWN, "remedy": f"Open the schedule. {SHOWN}"}]
    assert stage["notes"] == [SHOWN]
    assert stage["examples"] == [text], "a text of the project is data, not a sentence of ours"


@pytest.mark.parametrize("kind", [errors.Invalid, errors.Conflict, errors.NotFound, errors.DiskFull])
def test_an_error_that_is_answered(kind: type[errors.DomainError]) -> None:
    error = kind(f"{TOLD} See /api/v1/models/ for others.")
    assert error.sentence == str(error) == f"{SHOWN} See /api/v1/models/ for others."


def test_an_event(project: Project, ada: Person) -> None:
    events.record("import.failed", project, actor=ada, project=project, why=TOLD)
    assert Event.objects.get(verb="import.failed").data == {"why": SHOWN}


def test_a_model_that_a_worker_does_not_find(project: Project, ada: Person) -> None:
    asked = f"{settings.DATA_DIR}/models/nowhere/at/all"
    job = external_models.request_model(by=ada, project=project, kind="policy", folder=asked)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.status == Job.Status.FAILED and job.error
    assert str(settings.DATA_DIR) not in job.error + job.remedy
