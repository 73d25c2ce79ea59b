"""A job whose thread does not come back is noticed, and its process ended; the row says so and others go on.

Each runs in a process of its own, on this test's database: it is the process that has to end.
"""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from feedback.models import Job, Person, Project
from feedback.services.platform import jobs
from tests.whole_service import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

PYTHON_LOOP = "while True: pass"
TEMPLATE_LOOP = """
from jinja2.sandbox import SandboxedEnvironment
text = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}hi"
SandboxedEnvironment().from_string(text).render()
"""
REGEX = "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')"  # holds the interpreter's lock: no other thread runs
SLEEP = "import time; time.sleep(600)"

WORKER = """
import django
django.setup()
from django.conf import settings
settings.BEAT_SECONDS, settings.JOB_STUCK_SECONDS, settings.CANCEL_SECONDS = 0.2, {stuck}, 1
from feedback import celery_app
celery_app.app.send_task = lambda *args, **options: None
import threading
from workers import execution
from workers.job_context import Outcome
def hang(work):
    work.say("at it", step=3, steps=9)
    exec({code!r})
    return Outcome()
def go_on(work):
    while True:
        work.pause(0.1)
execution.HANDLERS["export"], execution.HANDLERS["import"] = hang, go_on
for other in {others}:
    threading.Thread(target=execution.run_job, args=[other]).start()
execution.run_job({job})
"""


def worker(job: Job, code: str, stuck: float = 1.5, others: list[int] | None = None) -> "subprocess.Popen[str]":
    database = connection.settings_dict["NAME"]
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{database}", "DJANGO_SETTINGS_MODULE": "feedback.settings"}
    script = WORKER.format(job=job.pk, code=code, stuck=stuck, others=others or [])
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def job(project: Project, ada: Person) -> Job:
    return jobs.create(kind=Job.Kind.EXPORT, queue_name="default", project=project, by=ada)


@pytest.mark.parametrize("code", [PYTHON_LOOP, TEMPLATE_LOOP, SLEEP])
def test_a_job_that_takes_no_step_is_lost_and_its_process_ended(job: Job, code: str) -> None:
    with worker(job, code) as process:
        _, told = process.communicate(timeout=120)
    assert process.returncode == -9
    job.refresh_from_db()
    assert (job.status, job.losses, job.worker) == (Job.Status.QUEUED, 1, "")
    assert job.progress_text.startswith("Its worker took no step for")
    assert "at step 3 of 9" in job.progress_text
    assert "hang" in told  # where it hung is in the log


def test_one_that_lets_no_thread_run_is_ended_by_the_interpreters_own_timer(job: Job) -> None:
    with worker(job, REGEX) as process:
        process.communicate(timeout=120)
    assert process.returncode == 1
    job.refresh_from_db()
    assert job.status == Job.Status.RUNNING  # nothing could be written; it is silent, and the sweep counts the loss


def test_a_canceled_job_that_does_not_leave_is_ended_long_before_it_would_count_as_hung(job: Job) -> None:
    with worker(job, SLEEP, stuck=600) as process:
        wait_for(lambda: Job.objects.get(pk=job.pk).progress_text == "at it")
        jobs.request_cancel(by=None, job=Job.objects.get(pk=job.pk))
        process.communicate(timeout=120)
    assert process.returncode == -9
    job.refresh_from_db()
    assert (job.status, job.losses) == (Job.Status.CANCELLED, 0)


def test_other_jobs_of_the_process_go_back_to_the_queue_without_a_loss(job: Job, project: Project, ada: Person) -> None:
    other = jobs.create(kind=Job.Kind.IMPORT, queue_name="default", project=project, by=ada)
    with worker(job, SLEEP, others=[other.pk]) as process:
        process.communicate(timeout=120)
    other.refresh_from_db()
    assert (other.status, other.losses) == (Job.Status.QUEUED, 0)
    assert "Another job of the worker hung" in other.progress_text


def test_one_long_step_may_be_announced(job: Job) -> None:
    code = "import time\nwith work.long_step(60): time.sleep(3)"
    with worker(job, code) as process:
        process.communicate(timeout=120)
    assert process.returncode == 0
    job.refresh_from_db()
    assert (job.status, job.losses) == (Job.Status.SUCCEEDED, 0)


def wait_for(true: Any) -> None:
    import time

    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
