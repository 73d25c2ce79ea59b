"""The entry of every worker: `celery -A workers.celery worker -Q train …`. It gathers the tasks and the clock.

Nothing here imports torch: what needs it does so when its first job comes.
"""

import logging
import os

import django
from celery.schedules import schedule

from feedback.queue import DEFAULT, SWEEP, TICK, app

os.umask(0o077)  # what workers write is for nobody else on this machine
django.setup()

from django.conf import settings  # noqa: E402 - settings are read by setup

from workers import execution, housekeeping, presence  # noqa: E402, F401 - their tasks and signals register on import

TICK_SECONDS = 5  # how often schedules are looked at; what is due is decided by rows, so more often does no harm

# Messages expire: after the broker or a worker was away, one sweep is as good as a hundred.
app.conf.beat_schedule = {
    "sweep": {
        "task": SWEEP,
        "schedule": schedule(settings.SWEEP_SECONDS),
        "options": {"queue": DEFAULT, "expires": settings.SWEEP_SECONDS},
    },
    "tick": {
        "task": TICK,
        "schedule": schedule(TICK_SECONDS),
        "options": {"queue": DEFAULT, "expires": TICK_SECONDS},
    },
}

# Two lines per knock, a knock every few seconds: the log would hold nothing else.
for name in ("celery.beat", "celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(name).setLevel(logging.WARNING)
