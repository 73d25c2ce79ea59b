"""Ends this process when a job in it hangs: nothing else can stop a thread that does not return.

A pool's child is replaced by its parent, a worker by whoever keeps it running. The job counts as lost (cancelled, if
that was requested), and other jobs of the process go back to the queue without a loss.

Two watches. The beat of each job asks it for progress. And the interpreter's own timer, which needs no thread to run,
ends the process where one step (a regular expression, say) lets no other thread of Python in for JOB_STUCK_SECONDS; the
job is silent then, and housekeeping counts the loss.
"""

import faulthandler
import logging
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError

from feedback.errors import InvalidTransition
from feedback.services.platform import jobs

if TYPE_CHECKING:
    from workers.job_context import Work

log = logging.getLogger(__name__)

_at_work: list["Work"] = []
_lock = threading.Lock()


def begin(work: "Work") -> None:
    with _lock:
        _at_work.append(work)
        _wind()


def end(work: "Work") -> None:
    with _lock:
        _at_work.remove(work)
        if not _at_work:
            faulthandler.cancel_dump_traceback_later()


def look(work: "Work") -> None:
    """Called with each heartbeat. Ends the process if the job hangs."""
    why = work.hangs()
    if not why:
        with _lock:
            if work in _at_work:
                _wind()
        return
    log.error("job %s hangs: %s; what the threads of this process are at:", work.job.pk, why)
    faulthandler.dump_traceback(file=2)
    with suppress(DatabaseError):
        work.job.refresh_from_db(fields=["cancel_requested_at", "losses", "step", "steps"])
        jobs.lose(work.job, why)
    for other in list(_at_work):
        if other is not work:
            with suppress(DatabaseError, InvalidTransition):
                jobs.requeue(other.job, "Another job of the worker hung, so the worker was ended; this job continues.")
    end_process()


def end_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wind() -> None:
    """Restart the interpreter's timer, which ends the process when it runs out."""
    faulthandler.dump_traceback_later(settings.JOB_STUCK_SECONDS, exit=True, file=2)
