"""Health of the service: workers by queue, queue lengths, and the state of jobs.

All of it is read from rows that workers write themselves every few seconds, so it holds while the broker is away.
"""

import platform
import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import metadata
from operator import attrgetter
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone

from feedback import celery_app
from feedback.models import Job, WorkerProcess
from feedback.rules.data.import_outcome import COMPLETE, outcome_of
from feedback.rules.training import launches

COUNTED = 10_000
PURPOSE = {
    celery_app.DEFAULT: "snapshots, imports and housekeeping",
    celery_app.GENERATE: "responses of the serving model",
    celery_app.TRAIN: "training and evaluation",
}


@dataclass(frozen=True)
class WorkerNow:
    name: str
    queue: str
    host: str
    pid: int
    since: datetime
    seen_at: datetime
    alive: bool
    job: Job | None

    @classmethod
    def of(cls, row: WorkerProcess, limit: datetime) -> "WorkerNow":
        """`limit`: a worker is alive if it was seen since."""
        job = row.job
        if job is not None and job.status != Job.Status.RUNNING:
            job = None
        return cls(row.name, row.queue, row.host, row.pid, row.started_at, row.seen_at, row.seen_at >= limit, job)


@dataclass(frozen=True)
class QueueNow:
    """A queue with its workers; `queued` and `running` count Job rows, no further than `COUNTED`."""

    name: str
    purpose: str
    workers: list[WorkerNow]
    queued: int
    running: int
    oldest: datetime | None
    last_seen: datetime | None = None

    @property
    def alive(self) -> list[WorkerNow]:
        return list(filter(attrgetter("alive"), self.workers))

    @property
    def idle(self) -> list[WorkerNow]:
        return [worker for worker in self.alive if worker.job is None]


@dataclass(frozen=True)
class Life:
    """The state of a job now, beyond its status: `silent` is a running job without a heartbeat."""

    state: str
    sentence: str
    final: bool
    since: datetime
    share: float | None = None
    heartbeat_age: float | None = None
    cancelling: bool = False
    worker_missing: bool = False


def workers(now: datetime | None = None) -> list[WorkerNow]:
    """Workers with a heartbeat in the last hour, by queue and name."""
    now = now or timezone.now()
    heard = WorkerProcess.objects.filter(seen_at__gte=now - timedelta(hours=1))
    limit = now - timedelta(seconds=settings.SILENT_SECONDS)
    rows = heard.select_related("job__project", "job__run").order_by("queue", "name")
    return [WorkerNow.of(row, limit) for row in rows]


def queues(now: datetime | None = None) -> list[QueueNow]:
    """All queues of the service, with or without workers."""
    now = now or timezone.now()
    there = workers(now)
    return [_queue(name, there) for name in celery_app.QUEUES]


def queue_now(name: str, now: datetime | None = None) -> QueueNow:
    return _queue(name, workers(now))


def _queue(name: str, there: list[WorkerNow]) -> QueueNow:
    active = Job.objects.filter(queue=name)
    queued = active.filter(status=Job.Status.QUEUED)
    return QueueNow(
        name=name,
        purpose=PURPOSE.get(name, ""),
        workers=[worker for worker in there if worker.queue == name],
        queued=queued.order_by()[:COUNTED].count(),
        running=active.filter(status=Job.Status.RUNNING).order_by()[:COUNTED].count(),
        oldest=queued.order_by("pk").values_list("created_at", flat=True).first(),
        last_seen=WorkerProcess.objects.filter(queue=name)
        .order_by("-seen_at")
        .values_list("seen_at", flat=True)
        .first(),
    )


def life(job: Job, now: datetime | None = None, there: QueueNow | None = None) -> Life:
    """The job's state as a sentence that stays true when its worker has died. `there` saves a query when at hand."""
    now = now or timezone.now()
    if job.status == Job.Status.QUEUED:
        return _waiting(job, now, there or queue_now(job.queue, now))
    if job.status == Job.Status.RUNNING:
        return _running(job, now)
    since = job.finished_at or job.created_at
    took = ""
    if job.started_at:
        took = f" It took {span((since - job.started_at).total_seconds())}."
    if job.kind == Job.Kind.IMPORT and job.status == Job.Status.SUCCEEDED:
        outcome = outcome_of(job.result)
        state: str = job.status
        if outcome.state != COMPLETE:
            state = outcome.state
        return Life(state, f"{outcome.sentence}{took}", True, since, share=1.0)
    sentence = {
        Job.Status.SUCCEEDED: f"Succeeded.{took}",
        Job.Status.FAILED: "Failed. See the error below.",
        Job.Status.CANCELLED: "Canceled. It can be resumed.",
    }[Job.Status(job.status)]
    share = _share(job)
    if job.status == Job.Status.SUCCEEDED:
        share = 1.0
    return Life(job.status, sentence, True, since, share=share)


def _waiting(job: Job, now: datetime, there: QueueNow) -> Life:
    since = job.queued_at or job.created_at
    waited = span((now - since).total_seconds())
    again = seen = ""
    if job.attempt:
        again = f" Queued again after attempt {job.attempt}."
    if not there.alive:
        if there.last_seen:
            seen = f" The last worker was seen {span((now - there.last_seen).total_seconds())} ago."
        return Life(
            job.status,
            f"Waiting for {waited}: no worker serves the queue “{there.name}”.{seen} Start one; the "
            f"job then starts automatically.{again}",
            False,
            since,
            worker_missing=True,
        )
    if there.idle:
        return Life(job.status, f"Waiting for {waited}: next in the queue.{again}", False, since)
    return Life(
        job.status,
        f"Waiting for {waited}: the worker is busy with another job; {there.queued} waiting in this queue.{again}",
        False,
        since,
    )


def _running(job: Job, now: datetime) -> Life:
    since = job.started_at or job.created_at
    where = busy = ""
    if job.steps:
        where = f", step {job.step:,} of {job.steps:,}"
    if job.heartbeat_at is None:
        return Life("running", "Running; just started.", False, since, share=_share(job))
    age = max(0.0, (now - job.heartbeat_at).total_seconds())
    if age > settings.SILENT_SECONDS:
        return Life(
            "silent",
            f"No heartbeat for {span(age)}{where}. The job is queued again and resumes from its last checkpoint.",
            False,
            since,
            share=_share(job),
            heartbeat_age=age,
        )
    if job.cancel_requested_at is not None:
        since_cancel = span((now - job.cancel_requested_at).total_seconds())
        return Life(
            "running",
            f"Canceling, requested {since_cancel} ago: it saves a checkpoint and stops.",
            False,
            since,
            share=_share(job),
            heartbeat_age=age,
            cancelling=True,
        )
    if job.progress_text:
        busy = f": {job.progress_text}"
    sentence = f"Running{where}{busy}. Last heartbeat {span(age)} ago."
    return Life("running", sentence, False, since, share=_share(job), heartbeat_age=age)


def _share(job: Job) -> float | None:
    if job.steps:
        return min(1.0, job.step / job.steps)
    return None


def span(seconds: float) -> str:
    """A length of time as people say it: 3 s, 4 min, 2 h 5 min, 3 days."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        rest = int(seconds % 60)
        if minutes < 10 and rest:
            return f"{minutes} min {rest} s"
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        if minutes % 60:
            return f"{hours} h {minutes % 60} min"
        return f"{hours} h"
    return f"{hours // 24} days"


@dataclass(frozen=True)
class ServiceHealth:
    """Versions and settings that the service runs on."""

    versions: list[tuple[str, str]]
    disk_free: int
    disk_total: int
    database_bytes: int | None
    broker: str | None
    broker_where: str = field(default="")
    training: str = field(default="")

    @property
    def disk_used_share(self) -> float:
        if self.disk_total:
            return 1 - self.disk_free / self.disk_total
        return 0.0


def service_health() -> ServiceHealth:
    folder = Path(settings.DATA_DIR)
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return ServiceHealth(
        versions=_versions(),
        disk_free=usage.free,
        disk_total=usage.total,
        database_bytes=_database_bytes(),
        broker=broker_says(),
        broker_where="embedded" if settings.EMBEDDED_BROKER else "from REDIS_URL",
        training=launches.sentence_of(settings.TRAINER_LAUNCH, settings.TRAINER_PROCESSES),
    )


def broker_says() -> str | None:
    """The broker's version, or None if it does not reply within half a second."""
    client: Any = redis.Redis.from_url(settings.STREAM_URL, socket_timeout=0.5, socket_connect_timeout=0.5)
    try:
        info = client.info("server")
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()
    version = info.get("valkey_version") or info.get("redis_version")
    if "valkey_version" in info:
        return f"Valkey {version}"
    return f"Redis {version}"


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version())]
    for label, package in (
        ("Django", "Django"),
        ("Celery", "celery"),
        ("PyTorch", "torch"),
        ("Transformers", "transformers"),
        ("TRL", "trl"),
    ):
        try:
            found.append((label, metadata.version(package)))
        except metadata.PackageNotFoundError:
            found.append((label, "not installed"))
    database, statement = "PostgreSQL", "show server_version"
    if connection.vendor == "sqlite":
        database, statement = "SQLite", "select sqlite_version()"
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found.append((database, str(cursor.fetchone()[0])))
    return found


def _database_bytes() -> int | None:
    if connection.vendor == "sqlite":
        path = Path(str(connection.settings_dict["NAME"]))
        if path.exists():
            return path.stat().st_size
        return None
    with connection.cursor() as cursor:
        cursor.execute("select pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def active_jobs(projects: set[int], most: int = 30) -> list[tuple[Job, Life]]:
    """Jobs queued or running for these projects, those at work first, each with the truth about it."""
    rows = Job.objects.filter(status__in=Job.ACTIVE, project__in=projects).select_related("project", "run")
    there = {queue_row.name: queue_row for queue_row in queues()}
    at_work, queued = [], []
    for job in rows.order_by("pk")[:most]:
        found = (job, life(job, there=there.get(job.queue)))
        if job.status == Job.Status.QUEUED:
            queued.append(found)
        else:
            at_work.append(found)
    return at_work + queued


def failed_lately(projects: set[int], now: datetime, most: int = 10) -> list[Job]:
    """Jobs that failed within the last day, newest first."""
    rows = Job.objects.filter(status=Job.Status.FAILED, project__in=projects)
    rows = rows.filter(finished_at__gte=now - timedelta(days=1)).select_related("project", "run")
    return list(rows.order_by("-pk")[:most])
