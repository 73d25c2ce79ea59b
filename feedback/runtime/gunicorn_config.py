"""The configuration of gunicorn: `gunicorn -c python:feedback.runtime.gunicorn_config`.

The address is given on the command line. Workers have threads, because requests wait for the database and for streams
more than they compute: 2 workers with 8 threads answered 540 reads a second, 3 single-threaded workers 177. The worker
class is in `http_worker`: slow clients hold none of its threads.
"""

import gc
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from feedback.runtime import http_worker
from feedback.runtime.environment import env_int
from feedback.runtime.process_guard import die_with_parent

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

MEMORY_FOLDER: str | None = "/dev/shm"
if not os.access("/dev/shm", os.W_OK):
    MEMORY_FOLDER = None
os.umask(0o077)  # other users of this machine may not read what the service writes
if (
    "PROMETHEUS_MULTIPROC_DIR" not in os.environ
):  # the folder that workers share for their counters (`runtime/metrics.py`)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="touchstone-metrics-", dir=MEMORY_FOLDER)

# Loaded once, then forked: workers share unchanged memory, and the first request waits for no imports.
preload_app = True
wsgi_app = "feedback.wsgi:application"
worker_class = "feedback.runtime.http_worker.Worker"
workers = env_int("WEB_WORKERS", 2, low=1, high=64)
threads = env_int("WEB_THREADS", 16, low=1, high=256)
timeout = 60
graceful_timeout = 5
keepalive = 30
max_requests = 0
control_socket_disable = True
forwarded_allow_ips = ""  # headers of proxies are read by `caller_address` only
# The heartbeat of a worker is a file. It is kept in memory, because a busy disk would look like a stuck worker.
worker_tmp_dir = MEMORY_FOLDER


def post_fork(server: "Arbiter", worker: http_worker.Worker) -> None:
    """End the worker with its master, so that it does not keep the socket."""
    die_with_parent(worker.ppid)


def when_ready(server: "Arbiter") -> None:
    """Keep the memory from before the first fork shared: the garbage collector ignores it."""
    gc.freeze()


def child_exit(server: "Arbiter", worker: http_worker.Worker) -> None:
    """An ended worker has no connections, however it ended."""
    http_worker.LOADS[worker.age % http_worker.MOST_WORKERS] = 0


def on_exit(server: "Arbiter") -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
