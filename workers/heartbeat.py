"""A worker records that it is alive, and its processes end with it.

The row is written by the worker itself, straight into the database: a page tells the truth about workers even when
the broker is away.
"""

import logging
import os
import signal
import socket
import threading
from typing import Any

from billiard import active_children
from celery import signals
from django.db import DatabaseError, connection
from django.utils import timezone

from feedback import celery_app
from feedback.models import Job, WorkerProcess
from feedback.runtime.process_guard import die_with_parent
from workers.job_context import stopping

log = logging.getLogger(__name__)

SEEN_EVERY_SECONDS = 5
STOP_SIGNAL = signal.SIGUSR2  # from the main process to its pool: put your work back and come to an end


class _Me:
    """This worker. Set before the pool forks, so that its children have it too."""

    name = ""
    pid = 0


def name() -> str:
    """The worker's name, such as train@host; outside of a worker, the host and process."""
    return _Me.name or f"{socket.gethostname()}:{os.getpid()}"


def show_job(job: Job | None) -> None:
    """Record the job that this worker carries out, for the pages. Of several at once the row shows the newest."""
    if _Me.name:
        WorkerProcess.objects.filter(name=_Me.name).update(job=job)


@signals.celeryd_after_setup.connect
def _remember_name(sender: str, **_: object) -> None:
    _Me.name, _Me.pid = sender, os.getpid()


@signals.worker_process_init.connect
def _tie_to_parent(**_: object) -> None:
    """Runs in a pool child right after the fork."""
    die_with_parent(_Me.pid)
    signal.signal(STOP_SIGNAL, lambda *_: stopping.set())


@signals.worker_ready.connect
def _start_heartbeat(sender: Any, **_: object) -> None:
    queues = ",".join(sorted(sender.app.amqp.queues.consume_from))[:16]
    threading.Thread(target=_keep_beating, args=(queues,), name="presence", daemon=True).start()
    if celery_app.DEFAULT in queues:
        celery_app.send_job(celery_app.SWEEP)  # jobs queued while no worker ran need not wait for the clock


@signals.worker_shutting_down.connect
def _stop_children(**_: object) -> None:
    """Signal running jobs to stop: a warm shutdown waits for them, and must not wait for a whole training run."""
    stopping.set()
    for child in active_children():
        try:
            os.kill(child.pid, STOP_SIGNAL)
        except ProcessLookupError:
            continue


@signals.worker_shutdown.connect
def _remove_row(**_: object) -> None:
    try:
        WorkerProcess.objects.filter(name=_Me.name, pid=os.getpid()).delete()
    except DatabaseError as error:
        log.warning("could not sign off: %s", error)


def _keep_beating(queues: str) -> None:
    started = timezone.now()
    while True:
        try:
            WorkerProcess.objects.update_or_create(
                name=_Me.name,
                defaults={
                    "queue": queues,
                    "pid": _Me.pid,
                    "host": socket.gethostname()[:200],
                    "started_at": started,
                    "seen_at": timezone.now(),
                },
            )
        except DatabaseError as error:
            log.warning("could not say that this worker is here: %s", error)
            connection.close()
        if stopping.wait(SEEN_EVERY_SECONDS):
            connection.close()
            return
