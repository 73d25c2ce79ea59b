"""run_job: the task that carries out jobs of every kind.

Claim, beat, dispatch, finish. Errors are sorted by whose they are: theirs (data, a setting) fail the job with a
sentence; the machine's put it back in the queue; ours fail it and propagate, so that the log has the traceback.

Safe to repeat: a second delivery finds the row no longer queued and returns. Every end is a compare-and-set on the
attempt, so what an older attempt brings is refused, its records with it.
"""

import logging
from collections.abc import Callable
from functools import partial

from django.db import InterfaceError, OperationalError, transaction

from feedback.celery_app import RUN_JOB, app
from feedback.errors import NO_ROOM, DomainError, InvalidTransition
from feedback.models import Job
from feedback.services.collection import task_supply
from feedback.services.platform import jobs
from feedback.services.training import pipelines as pipeline_services
from workers import heartbeat
from workers.handlers import (
    active_selection,
    corpora,
    external_models,
    generation,
    live_accuracy,
    look_scores,
    pipelines,
    preflight,
    probes,
    safety,
    screening,
    selection_replays,
    snapshots,
    transfers,
)
from workers.job_context import OUR_FAULT, Cancelled, JobFailed, Lost, Outcome, PutBack, Work, stopping

log = logging.getLogger(__name__)

HANDLERS: dict[str, Callable[[Work], Outcome]] = {
    Job.Kind.TRAINING: pipelines.carry_out,
    Job.Kind.GENERATION: generation.carry_out,
    Job.Kind.FREEZE: snapshots.freeze,
    Job.Kind.CORPUS: corpora.carry_out,
    Job.Kind.IMPORT: transfers.bring_in,
    Job.Kind.EXPORT: transfers.write_out,
    Job.Kind.SCORE: screening.carry_out,
    Job.Kind.LIVE_ACCURACY: live_accuracy.carry_out,
    Job.Kind.SAFETY: safety.carry_out,
    Job.Kind.ADOPT: external_models.carry_out,
    Job.Kind.PREFLIGHT: preflight.carry_out,
    Job.Kind.CHOICE: active_selection.carry_out,
    Job.Kind.REPLAY: selection_replays.carry_out,
    Job.Kind.LOOKS: look_scores.carry_out,
    Job.Kind.PROBE: probes.carry_out,
}
MAKE_ROOM = "Free disk space, then try again."


@app.task(name=RUN_JOB)
def run_job_task(job_id: int) -> None:
    run_job(job_id)


def run_job(job_id: int) -> None:
    """Carry out the job of this row, if it is still queued."""
    if stopping.is_set():
        return  # the row stays queued; the sweep knocks for it again
    job = jobs.claim(job_id, heartbeat.name())
    if job is None:
        return
    heartbeat.show_job(job)
    try:
        _carry_out(job)
    finally:
        heartbeat.show_job(None)
        _follow_up(job)


def _carry_out(job: Job) -> None:
    try:
        with Work(job, wait_aside=partial(_aside, job)) as work:
            if job.kind not in HANDLERS:
                raise JobFailed(Job.ErrorKind.CONFIG, f"No worker knows how to do jobs of kind {job.kind!r}.")
            outcome = HANDLERS[job.kind](work)
            work.beat()  # with the last step, which the page would never see otherwise
        _unless_lost(partial(_succeed, job, outcome), job)
    except Lost:
        log.warning("job %s was given to another attempt; leaving it", job.pk)
    except Cancelled:
        _unless_lost(partial(jobs.cancelled, job), job)
    except PutBack as reason:
        _unless_lost(partial(jobs.requeue, job, str(reason)), job)
    except JobFailed as failure:
        _unless_lost(partial(jobs.fail, job, failure.kind, failure.sentence, failure.remedy), job)
    except DomainError as error:
        _unless_lost(partial(jobs.fail, job, Job.ErrorKind.DATA, error.sentence), job)
    except (OperationalError, InterfaceError):
        # The database was away. The row still says running, and its beats have stopped: the sweep counts the loss and
        # queues it again, or fails it if that happens too often.
        log.exception("job %s lost its database", job.pk)
    except OSError as error:
        if error.errno not in NO_ROOM:
            _unless_lost(partial(jobs.fail, job, Job.ErrorKind.INTERNAL, OUR_FAULT), job)
            raise
        full = f"The disk is full: {error.strerror}."
        _unless_lost(partial(jobs.fail, job, Job.ErrorKind.DISK_FULL, full, MAKE_ROOM), job)
    except Exception:
        _unless_lost(partial(jobs.fail, job, Job.ErrorKind.INTERNAL, OUR_FAULT), job)
        raise


def _aside(standing: Job, job_id: int) -> None:
    """Carry out another job in the middle of this one, which continues however the other ends."""
    try:
        run_job(job_id)
    except Exception:
        log.exception("job %s failed while job %s stood still for it", job_id, standing.pk)
    finally:
        heartbeat.show_job(standing)


def _follow_up(job: Job) -> None:
    """Do what follows from the end of a job: advance the pipeline run, release what waited.

    This is not in the transaction that ends the job, so that a next stage that cannot start does not undo this one's
    model. If the process is killed before, the sweep does it.
    """
    job.refresh_from_db()
    if job.kind == Job.Kind.TRAINING:
        pipeline_services.advance_chain(job.run.chain)
    elif job.kind == Job.Kind.GENERATION and job.status in (Job.Status.FAILED, Job.Status.CANCELLED):
        task_supply.abandon(job)


def _succeed(job: Job, outcome: Outcome) -> None:
    """Record success and the outcome. If the job is no longer this attempt's, nothing is recorded."""
    with transaction.atomic():
        jobs.succeed(job, outcome.result)
        outcome.record()


def _unless_lost(move: Callable[[], None], job: Job) -> None:
    """Make the final move of the row, unless it belongs to another attempt by now."""
    try:
        move()
    except InvalidTransition:
        if jobs.still_mine(job):
            raise  # something else refused
        log.warning("job %s is another attempt's by now; what this one brought is refused", job.pk)
