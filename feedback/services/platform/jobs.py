"""The state machine of all jobs. The row is the job; the broker only carries its key.

Every move is a compare-and-set on (status, attempt): whoever was slower, was taken for dead, or comes twice, moves
nothing. A worker whose attempt is no longer the row's has lost the job and must leave.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from feedback import celery_app
from feedback.errors import InvalidTransition
from feedback.models import Job, Person, Project
from feedback.rules.platform.sentences import findings_without_paths
from feedback.services.platform import events

Status = Job.Status
UNHEARD_SECONDS = 15  # a queued job is knocked for again after this long


@dataclass(frozen=True)
class Signal:
    """The reply to a heartbeat: continue, or stop because the job was canceled or lost."""

    cancel: bool = False
    lost: bool = False


def create(
    *,
    kind: str,
    queue_name: str,
    project: Project | None,
    by: Person | None,
    payload: Mapping[str, object] | None = None,
) -> Job:
    """Create a queued job. Its message is sent when the transaction has committed."""
    now = timezone.now()
    job = Job.objects.create(
        kind=kind,
        queue=queue_name,
        project=project,
        requested_by=by,
        payload=payload or {},
        queued_at=now,
        knocked_at=now,
    )
    celery_app.enqueue(celery_app.RUN_JOB, job.pk, queue=queue_name)
    return job


def claim(job_id: int, worker: str) -> Job | None:
    """Make a queued job running, or None when it is not queued (delivered twice, canceled, gone)."""
    now = timezone.now()
    claimed = Job.objects.filter(pk=job_id, status=Status.QUEUED).update(
        status=Status.RUNNING,
        attempt=F("attempt") + 1,
        worker=worker,
        heartbeat_at=now,
        started_at=now,
        finished_at=None,
        error_kind="",
        error="",
        remedy="",
    )
    if claimed:
        return Job.objects.select_related("project").get(pk=job_id)
    return None


def beat(job: Job, *, step: int | None = None, steps: int | None = None, text: str | None = None) -> Signal:
    """Record a heartbeat with the progress of the job."""
    changes: dict[str, object] = {"heartbeat_at": timezone.now()}
    if step is not None:
        changes["step"] = step
    if steps is not None:
        changes["steps"] = steps
    if text is not None:
        changes["progress_text"] = text[:300]
    if not _mine(job).update(**changes):
        return Signal(lost=True)
    return Signal(cancel=Job.objects.filter(pk=job.pk, cancel_requested_at__isnull=False).exists())


def keep(job: Job, result: Mapping[str, object]) -> None:
    """Store a checkpoint in the caller's transaction, so that it commits together with the rows it describes.

    Raises:
        InvalidTransition: the job is no longer this attempt's, so that the caller's rows must not be written either.
    """
    if not _mine(job).update(result=findings_without_paths(result)):
        raise InvalidTransition("Another worker has taken over this job.")


def still_mine(job: Job) -> bool:
    return _mine(job).exists()


def succeed(job: Job, result: Mapping[str, object] | None = None) -> None:
    """Raises InvalidTransition when the job is no longer this attempt's."""
    _finish(job, Status.SUCCEEDED, result=findings_without_paths(result or {}), progress_text="")


def fail(job: Job, kind: str, error: str, remedy: str = "") -> None:
    _finish(job, Status.FAILED, error_kind=kind, error=error, remedy=remedy)


def cancelled(job: Job) -> None:
    _finish(job, Status.CANCELLED)


def requeue(job: Job, why: str) -> None:
    """Put a job back to the queue, to resume from its checkpoint, because its worker shuts down."""
    back = {"status": Status.QUEUED, "progress_text": why[:300], "worker": "", "heartbeat_at": None}
    if not _mine(job).update(queued_at=timezone.now(), **back):
        raise InvalidTransition("Another worker has taken over this job.")
    celery_app.enqueue(celery_app.RUN_JOB, job.pk, queue=job.queue)


def request_cancel(*, by: Person | None, job: Job) -> Job:
    """Cancel a queued job at once, or request a running one to stop at its next heartbeat, within seconds.

    Raises:
        InvalidTransition: it has ended already.
    """
    now = timezone.now()
    with transaction.atomic():
        if Job.objects.filter(pk=job.pk, status=Status.QUEUED).update(
            status=Status.CANCELLED, cancel_requested_at=now, finished_at=now
        ) or Job.objects.filter(pk=job.pk, status=Status.RUNNING).update(cancel_requested_at=now):
            events.record("job.cancel_requested", job, actor=by)
        else:
            raise InvalidTransition("The job has already ended.")
    job.refresh_from_db()
    return job


def retry(*, by: Person | None, job: Job) -> Job:
    """Queue a failed or canceled job again, in the same row. Training resumes from its last checkpoint."""
    with transaction.atomic():
        moved = Job.objects.filter(pk=job.pk, status__in=[Status.FAILED, Status.CANCELLED]).update(
            status=Status.QUEUED,
            losses=0,
            cancel_requested_at=None,
            finished_at=None,
            error="",
            error_kind="",
            remedy="",
            queued_at=timezone.now(),
            knocked_at=timezone.now(),
        )
        if not moved:
            raise InvalidTransition("Only a failed or canceled job can be retried.")
        events.record("job.retried", job, actor=by)
        celery_app.enqueue(celery_app.RUN_JOB, job.pk, queue=job.queue)
    job.refresh_from_db()
    return job


def sweep() -> dict[str, list[int]]:
    """Housekeeping: silent jobs are queued again or failed, and lost messages are sent again.

    Returns keys of the jobs: {"requeued", "failed", "cancelled", "knocked"}. Safe to run twice at once.
    """
    done: dict[str, list[int]] = {"requeued": [], "failed": [], "cancelled": [], "knocked": []}
    now = timezone.now()
    silent = now - timedelta(seconds=settings.SILENT_SECONDS)
    for job in Job.objects.filter(status=Status.RUNNING, heartbeat_at__lt=silent):
        row = Job.objects.filter(pk=job.pk, status=Status.RUNNING, attempt=job.attempt, heartbeat_at__lt=silent)
        if became := _lose(job, row, "The worker stopped responding"):
            done[became].append(job.pk)
    unheard = Q(knocked_at__lt=now - timedelta(seconds=UNHEARD_SECONDS)) | Q(knocked_at=None)
    for job in Job.objects.filter(unheard, status=Status.QUEUED)[:200]:
        if celery_app.send_job(celery_app.RUN_JOB, job.pk, queue=job.queue):
            Job.objects.filter(pk=job.pk).update(knocked_at=now)
            done["knocked"].append(job.pk)
    return done


def lose(job: Job, why: str) -> None:
    """Treat the job as one whose worker is lost, because its process is about to be killed. `why` begins a sentence."""
    _lose(job, _mine(job), why)


def _lose(job: Job, row: QuerySet[Job], why: str) -> str | None:
    """Move a job whose worker is lost: canceled if that was requested, failed if it happened too often, else queued.

    Returns what it became, or None when the row has moved meanwhile.
    """
    now = timezone.now()
    where = f"at step {job.step} of {job.steps}" if job.steps else "before its first step"
    if job.cancel_requested_at is not None:
        if row.update(status=Status.CANCELLED, finished_at=now):
            return "cancelled"
        return None
    if job.losses + 1 >= job.max_losses:
        failed = row.update(
            status=Status.FAILED,
            losses=F("losses") + 1,
            finished_at=now,
            error_kind=Job.ErrorKind.LOST_WORKER,
            error=f"{why} {where}, for the {job.losses + 1}th time.",
            remedy="Check the worker log and the machine's memory, then retry; the job resumes from its checkpoint.",
        )
        if failed:
            return "failed"
        return None
    queued = row.update(
        status=Status.QUEUED,
        losses=F("losses") + 1,
        worker="",
        heartbeat_at=None,
        queued_at=now,
        knocked_at=now,
        progress_text=f"{why} {where}; retrying (attempt {job.attempt + 1}).",
    )
    if not queued:
        return None
    celery_app.send_job(celery_app.RUN_JOB, job.pk, queue=job.queue)
    return "requeued"


def _mine(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(pk=job.pk, status=Status.RUNNING, attempt=job.attempt)


def _finish(job: Job, to: str, **changes: object) -> None:
    if not _mine(job).update(status=to, finished_at=timezone.now(), **changes):
        raise InvalidTransition("Another worker has taken over this job; the result is rejected.")
    job.refresh_from_db()
