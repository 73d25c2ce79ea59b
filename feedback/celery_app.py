"""The Celery application and the names of the jobs it carries. No job code lives here.

The database row is the job; a message only announces it. A lost message does no harm, because housekeeping sends a
new one for every row that is still queued.
"""

import logging
import os

from celery import Celery
from django.db import transaction
from kombu.exceptions import OperationalError

from feedback.queue_names import CONTEST, DEFAULT, FORGOTTEN, GENERATE, QUEUES, RUN_JOB, SWEEP, TICK, TRAIN

__all__ = [
    "CONTEST",
    "DEFAULT",
    "FORGOTTEN",
    "GENERATE",
    "QUEUES",
    "RUN_JOB",
    "SWEEP",
    "TICK",
    "TRAIN",
    "app",
    "enqueue",
    "send_job",
]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")

log = logging.getLogger(__name__)

app = Celery("touchstone")
app.config_from_object("django.conf:settings", namespace="CELERY")

app.conf.task_default_queue = DEFAULT


def enqueue(name: str, *args: int, queue: str = DEFAULT) -> None:
    """Send job `name` after the surrounding transaction has committed. It never raises without a broker."""
    transaction.on_commit(lambda: send_job(name, *args, queue=queue))


def send_job(name: str, *args: int, queue: str = DEFAULT) -> bool:
    """Send job `name` now. Returns False if the broker does not answer; the row stays queued and is announced again."""
    try:
        app.send_task(name, args=args, queue=queue)
    except (OperationalError, OSError) as error:
        log.warning("the broker does not answer; %s%r will be announced again: %s", name, args, error)
        return False
    return True
