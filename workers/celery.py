"""The entry point of every worker: `celery -A workers.celery worker -Q train …`. It imports the tasks.

Nothing here imports torch: what needs it does so when its first job comes.
"""

import logging
import os

import django

from feedback.celery_app import app  # noqa: F401 - what Celery looks for here

os.umask(0o077)  # what workers write is for nobody else on this machine
django.setup()

from workers import execution, heartbeat, housekeeping  # noqa: E402, F401 - their tasks and signals register on import

# Two lines per message, a message every few seconds: the log would hold nothing else.
for name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(name).setLevel(logging.WARNING)
