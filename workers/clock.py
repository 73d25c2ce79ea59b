"""The schedule of the clock: `celery -A workers.clock beat …`. It only knows names and times, so it loads no models."""

import logging
import os

from celery import Celery
from celery.schedules import schedule
from django.conf import settings

from feedback.queue_names import DEFAULT, SWEEP, TICK

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")
os.umask(0o077)  # what it writes is for nobody else on this machine

TICK_SECONDS = 5  # how often schedules are looked at; what is due is decided by rows, so more often does no harm

app = Celery("touchstone", fixups=[])  # Celery's own for Django would set all of Django up
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_default_queue = DEFAULT
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

# Two lines per message, a message every few seconds: the log would hold nothing else.
logging.getLogger("celery.beat").setLevel(logging.WARNING)
