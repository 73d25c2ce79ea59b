"""A job is carried out once, however often it is delivered, and every way it can end is told in its row."""

import errno
import fcntl
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from feedback import settings as defaults
from feedback.models import Chain, Evaluation, Event, Job, ModelVersion, Person, Project, RunPoint, TrainingRun
from feedback.rules.training import launches
from feedback.selectors.platform import health
from feedback.services.platform import jobs
from feedback.services.registry import model_versions
from feedback.services.training import pipelines as services
from tests import factories
from trainer.configs.stages import SFTConfig
from trainer.run import launch, microbatching
from workers import housekeeping
from workers.execution import HANDLERS, run_job
from workers.handlers import training
from workers.job_context import Outcome, Work, stopping

pytestmark = pytest.mark.database
Status = Job.Status


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(training, "TRAINER", (sys.executable, str(Path(__file__).with_name("stand_in_trainer.py"))))
    monkeypatch.setattr(training, "LOOK_SECONDS", 0.05)
    settings.CANCEL_GRACE_SECONDS = 3


@pytest.fixture
def run_with(project: Project, ada: Person) -> Any:
    def make(**config: Any) -> TrainingRun:
        return factories.make_run(project, ada, config=config)

    return make


def starts_of(run: TrainingRun, settings: Any) -> list[str]:
    path = settings.DATA_DIR / run.folder / "starts.txt"
    return path.read_text().split() if path.exists() else []


def test_a_run_becomes_a_model_and_ends_its_chain(run_with: Any, settings: Any) -> None:
    run = run_with(steps=4)
    run_job(run.job_id)
    run.refresh_from_db()
    assert run.job.status == Status.SUCCEEDED
    assert run.metrics == {"loss": 0.5}
    assert [point.step for point in run.points.all()] == [1, 2, 3, 4]
    assert run.points.get(step=2).metrics == {"loss": 0.5}
    assert run.model_version.path == f"{run.folder}/model"
    assert "trained" in run.job.log_tail
    assert run.chain.state == Chain.State.SUCCEEDED
    assert 0.02 < run.cpu_seconds < 60, "what its trainer spent, which starts an interpreter"


def test_a_job_delivered_twice_trains_once(run_with: Any, settings: Any) -> None:
    run = run_with()
    run_job(run.job_id)
    run_job(run.job_id)
    assert starts_of(run, settings) == ["1"]
    assert ModelVersion.objects.filter(run=run).count() == 1
    assert Job.objects.get(pk=run.job_id).attempt == 1


def test_a_job_that_is_gone_is_no_error(db: None) -> None:
    run_job(123456)


def test_the_result_of_an_older_attempt_in_the_folder_is_refused(run_with: Any) -> None:
    run = run_with(stale=True)
    run_job(run.job_id)
    run.refresh_from_db()
    assert run.job.status == Status.FAILED
    assert "attempt 0, and this is attempt 1" in run.job.error
    assert not ModelVersion.objects.filter(run=run).exists()


def test_what_an_older_attempt_brings_is_refused_with_its_records(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for dead while it worked: the sweep gave the job to another, and the first one comes back."""
    recorded: list[str] = []

    def slow(work: Work) -> Outcome:
        Job.objects.filter(pk=work.job.pk).update(attempt=work.job.attempt + 1)  # another attempt has begun
        return Outcome({"by": "the first"}, lambda: recorded.append("the first"))

    monkeypatch.setitem(HANDLERS, Job.Kind.FREEZE, slow)
    job = jobs.create(kind=Job.Kind.FREEZE, queue_name="default", project=project, by=None)
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.result) == (Status.RUNNING, 2, {})
    assert recorded == []


@pytest.mark.parametrize("kind", ["data", "config", "out_of_memory", "disk_full", "diverged"])
def test_a_typed_failure_is_told_as_written_and_read_on_the_run_s_page(
    run_with: Any, kind: str, client: Client, ada: Person
) -> None:
    run = run_with(fail=kind)
    run_job(run.job_id)
    run.refresh_from_db()
    job = run.job
    told = (job.status, job.error_kind, job.error, job.remedy, job.step)
    assert told == (Status.FAILED, kind, "It cannot be done.", "Change it.", 1)
    assert run.chain.state == Chain.State.FAILED
    client.force_login(ada)
    page = client.get(f"/p/{run.project.slug}/train/runs/{run.public_id}/").content.decode()
    assert "It cannot be done." in page and "Change it." in page


def test_a_full_disk_in_the_worker_is_told_with_what_to_do(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(work: Work) -> Outcome:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(HANDLERS, Job.Kind.FREEZE, full)
    job = jobs.create(kind=Job.Kind.FREEZE, queue_name="default", project=project, by=None)
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, job.error_kind) == (Status.FAILED, Job.ErrorKind.DISK_FULL)
    assert job.error == "The disk is full: No space left on device."
    assert job.remedy == "Free disk space, then try again."


def test_a_trainer_that_could_not_even_write_its_result_is_known_by_the_disk(
    run_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "NO_ROOM", 2**63)
    monkeypatch.setattr(training, "one_child", lambda *_: training.FAILED)
    run = run_with()
    run_job(run.job_id)
    run.refresh_from_db()
    assert run.job.error_kind == Job.ErrorKind.DISK_FULL
    assert "Free disk space" in run.job.remedy


def test_a_trainer_the_kernel_ended_for_memory_goes_on_with_half_as_much_at_once(
    run_with: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = iter([7, 8, 8, 8])
    monkeypatch.setattr(training, "killed_for_memory", lambda: next(counted))
    monkeypatch.setattr(training, "parse", lambda stage, config: SFTConfig(batch_size=8))
    run = run_with(steps=6, die_at=3)
    run_job(run.job_id)
    run.refresh_from_db()
    assert run.job.status == Status.SUCCEEDED
    assert len(starts_of(run, settings)) == 2
    assert microbatching.micro_batches(settings.DATA_DIR / run.folder / "checkpoints") == 2
    (alarm,) = run.alarms.all()
    assert alarm.step == 3
    assert "Going on with 4 rows at once; a batch of 8 stays the same." in alarm.text


def test_several_processes_are_asked_for_by_this_worker_s_settings(settings: Any) -> None:
    assert training.several("sft") == []
    settings.TRAINER_LAUNCH, settings.TRAINER_PROCESSES = "torchrun", 2
    assert training.several("sft") == ["--launch", "torchrun", "--processes", "2"]
    assert training.several("evaluate") == training.several("tokenizer") == []
    assert set(launches.LAUNCHES) == {"", *launch.names()}
    assert launches.sentence_of("fsdp2", 8).endswith("8 processes; not tested on this hardware")
    assert "not run" not in launches.sentence_of("torchrun", 2)


def test_an_error_nobody_foresaw_fails_the_job_and_propagates(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(work: Work) -> Outcome:
        raise ZeroDivisionError("ours")

    monkeypatch.setitem(HANDLERS, Job.Kind.FREEZE, broken)
    job = jobs.create(kind=Job.Kind.FREEZE, queue_name="default", project=project, by=None)
    with pytest.raises(ZeroDivisionError):
        run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, job.error_kind) == (Status.FAILED, Job.ErrorKind.INTERNAL)
    assert "internal error" in job.error


def test_a_killed_trainer_goes_on_from_its_checkpoint(run_with: Any, settings: Any) -> None:
    run = run_with(steps=6, die_at=3)
    run_job(run.job_id)
    run.refresh_from_db()
    assert run.job.status == Status.SUCCEEDED
    assert len(starts_of(run, settings)) == 2
    assert [point.step for point in run.points.all()] == [1, 2, 3, 4, 5, 6]


def test_a_trainer_killed_again_and_again_fails_with_a_sentence(run_with: Any, settings: Any) -> None:
    run = run_with(die_always=True)
    run_job(run.job_id)
    job = Job.objects.get(pk=run.job_id)
    assert (job.status, job.error_kind) == (Status.FAILED, Job.ErrorKind.LOST_WORKER)
    assert "ended by SIGKILL at step 1 of 3, 3 times in a row" in job.error
    assert len(starts_of(run, settings)) == 3


@pytest.mark.django_db(transaction=True)
def test_cancelling_stops_the_trainer_after_its_checkpoint(run_with: Any, settings: Any, ada: Person) -> None:
    settings.BEAT_SECONDS = 0.1
    run = run_with(steps=1000, seconds=0.05)
    worker = threading.Thread(target=in_a_thread, args=(run.job_id,))
    worker.start()
    wait_until(lambda: RunPoint.objects.filter(run=run).exists())
    jobs.request_cancel(by=ada, job=Job.objects.get(pk=run.job_id))
    worker.join(10)
    run.refresh_from_db()
    assert run.job.status == Status.CANCELLED
    assert run.chain.state == Chain.State.CANCELLED
    assert 0 < int((settings.DATA_DIR / run.folder / "step.txt").read_text()) < 1000


@pytest.mark.django_db(transaction=True)
def test_a_trainer_that_does_not_hear_is_gone_within_ten_seconds(run_with: Any, settings: Any, ada: Person) -> None:
    assert defaults.BEAT_SECONDS + defaults.CANCEL_GRACE_SECONDS < 10  # seen at the next beat, killed after the grace
    settings.BEAT_SECONDS, settings.CANCEL_GRACE_SECONDS = 0.1, 0.3
    run = run_with(steps=1000, seconds=0.05, deaf=True)
    worker = threading.Thread(target=in_a_thread, args=(run.job_id,))
    worker.start()
    wait_until(lambda: RunPoint.objects.filter(run=run).exists())
    jobs.request_cancel(by=ada, job=Job.objects.get(pk=run.job_id))
    worker.join(10)
    run.refresh_from_db()
    assert run.job.status == Status.CANCELLED
    with (settings.DATA_DIR / run.folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its process has let go of it


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_stopped_puts_its_job_back(run_with: Any, settings: Any) -> None:
    settings.BEAT_SECONDS = 0.1
    run = run_with(steps=40, seconds=0.05)
    worker = threading.Thread(target=in_a_thread, args=(run.job_id,))
    worker.start()
    wait_until(lambda: RunPoint.objects.filter(run=run).exists())
    stopping.set()
    try:
        worker.join(10)
        job = Job.objects.get(pk=run.job_id)
        assert (job.status, job.losses) == (Status.QUEUED, 0)
        run_job(run.job_id)  # nothing is begun while leaving
        assert Job.objects.get(pk=run.job_id).status == Status.QUEUED
    finally:
        stopping.clear()
    run_job(run.job_id)
    run.refresh_from_db()
    assert (run.job.status, run.job.attempt) == (Status.SUCCEEDED, 2)
    assert starts_of(run, settings) == ["1", "2"]
    assert [point.step for point in run.points.all()] == list(range(1, 41))


def silent_job(project: Project, *, losses: int = 0, **columns: Any) -> Job:
    """Running, and not heard of for 31 seconds."""
    job = jobs.create(kind=Job.Kind.FREEZE, queue_name="default", project=project, by=None)
    claimed = jobs.claim(job.pk, "a worker that died")
    assert claimed is not None
    long_ago = timezone.now() - timedelta(seconds=31)
    Job.objects.filter(pk=job.pk).update(heartbeat_at=long_ago, losses=losses, step=140, steps=500, **columns)
    return claimed


def test_a_silent_worker_loses_its_job_to_the_queue(project: Project, knocks: list[Any]) -> None:
    job = silent_job(project)
    knocks.clear()
    housekeeping.sweep()
    job.refresh_from_db()
    assert (job.status, job.losses) == (Status.QUEUED, 1)
    assert job.progress_text == "The worker stopped responding at step 140 of 500; retrying (attempt 2)."
    assert ("workers.run_job", (job.pk,), "default") in knocks


def test_a_job_lost_too_often_fails_with_a_sentence(project: Project) -> None:
    job = silent_job(project, losses=4)
    housekeeping.sweep()
    job.refresh_from_db()
    assert (job.status, job.error_kind) == (Status.FAILED, Job.ErrorKind.LOST_WORKER)
    assert job.error == "The worker stopped responding at step 140 of 500, for the 5th time."
    assert "retry" in job.remedy


def test_a_job_that_beats_is_left_alone(project: Project) -> None:
    job = silent_job(project)
    assert not jobs.beat(job, step=141).lost
    housekeeping.sweep()
    job.refresh_from_db()
    assert (job.status, job.step) == (Status.RUNNING, 141)


def test_a_lost_worker_that_comes_back_learns_it_at_its_next_beat(project: Project) -> None:
    job = silent_job(project)
    housekeeping.sweep()
    with Work(job) as work:
        work.beat()
        assert work.lost.is_set()


def test_a_chain_left_between_two_runs_is_moved_on_by_the_sweep(run_with: Any) -> None:
    run = run_with()
    Job.objects.filter(pk=run.job_id).update(status=Status.FAILED)
    housekeeping.sweep()
    run.chain.refresh_from_db()
    assert run.chain.state == Chain.State.FAILED


def two_stages(run: TrainingRun, **columns: Any) -> Chain:
    """The run's chain with a stage to come after it."""
    Chain.objects.filter(pk=run.chain_id).update(stages=["sft", "evaluate"], **columns)
    return Chain.objects.get(pk=run.chain_id)


@pytest.mark.parametrize("when", ["before it ends", "after its end"])
def test_what_was_canceled_as_it_ended_is_followed_by_nothing(run_with: Any, ada: Person, when: str) -> None:
    run = run_with()
    chain = two_stages(run)
    job = jobs.claim(run.job_id, "worker")
    assert job is not None
    if when == "before it ends":
        services.cancel_chain(by=ada, chain=chain)
        jobs.succeed(job)
        housekeeping.sweep()
    else:  # and before the next stage began
        jobs.succeed(job)
        services.cancel_chain(by=ada, chain=chain)
    chain.refresh_from_db()
    assert (chain.state, chain.runs.count()) == (Chain.State.CANCELLED, 1)


def test_a_version_refused_before_its_chain_ended_waits_for_nobody_and_holds_nothing_up(
    run_with: Any, project: Project, ada: Person
) -> None:
    first = factories.make_model(project, ada, serve=True)
    better = factories.make_model(project, ada)
    run = run_with()
    Chain.objects.filter(pk=run.chain_id).update(promote=True)
    figures = {"reward_model_win_rate": {"low": 0.8}}
    told = Evaluation.objects.create(project=project, run=run, candidate=better, incumbent=first, metrics=figures)
    Job.objects.filter(pk=run.job_id).update(status=Status.SUCCEEDED)
    model_versions.decide(by=ada, model_version=better, state="rejected")
    housekeeping.sweep()
    run.chain.refresh_from_db()
    told.refresh_from_db()
    assert (run.chain.state, told.decision) == (Chain.State.SUCCEEDED, "rejected")
    assert not Event.objects.filter(verb="model.waits_for_decision").exists()
    assert model_versions.serving(project) == first


def test_a_chain_that_cannot_be_moved_on_leaves_the_others_their_turn(
    run_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = run_with(), run_with()
    Job.objects.update(status=Status.FAILED)
    move_on = services.advance_chain

    def advance(chain: Chain) -> None:
        if chain.pk == broken.chain_id:
            raise TypeError("a shape that nobody thought of")
        move_on(chain)

    monkeypatch.setattr(services, "advance_chain", advance)
    with pytest.raises(TypeError):
        housekeeping.sweep()
    sound.chain.refresh_from_db()
    assert sound.chain.state == Chain.State.FAILED


def test_an_unheard_knock_is_repeated(project: Project, knocks: list[Any]) -> None:
    job = jobs.create(kind=Job.Kind.FREEZE, queue_name="default", project=project, by=None)
    knocks.clear()
    housekeeping.sweep()
    assert knocks == []
    Job.objects.filter(pk=job.pk).update(knocked_at=timezone.now() - timedelta(seconds=16))
    housekeeping.sweep()
    housekeeping.sweep()
    assert knocks == [("workers.run_job", (job.pk,), "default")]


def in_a_thread(job_id: int) -> None:
    from django.db import connection

    try:
        run_job(job_id)
    finally:
        connection.close()


def wait_until(true: Any, seconds: float = 10) -> None:
    deadline = timezone.now() + timedelta(seconds=seconds)
    while not true():
        assert timezone.now() < deadline, "it did not come to pass in time"
        threading.Event().wait(0.05)


def test_how_long_a_job_waits_counts_from_when_it_was_queued(project: Project, knocks: list[Any]) -> None:
    """It is knocked for again every few seconds; that is not when it began to wait."""
    job = jobs.create(kind=Job.Kind.EXPORT, queue_name="default", project=project, by=None)
    long_ago = timezone.now() - timedelta(minutes=5)
    Job.objects.filter(pk=job.pk).update(queued_at=long_ago, knocked_at=long_ago)
    assert jobs.sweep()["knocked"] == [job.pk]
    job.refresh_from_db()
    assert health.life(job).sentence.startswith("Waiting for 5 min:")
    assert jobs.claim(job.pk, "a worker") is not None
    job.refresh_from_db()
    jobs.requeue(job, "for a reason")
    job.refresh_from_db()
    assert health.life(job).sentence.startswith("Waiting for 0 s:")  # it waits anew
