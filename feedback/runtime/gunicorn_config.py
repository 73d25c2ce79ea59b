"""How gunicorn serves, on a laptop and in a container alike: `gunicorn -c python:feedback.runtime.gunicorn_config`.

The address comes on the command line. Threads, since requests wait for the database and for streams more than they
compute: 2 workers of 8 threads answered 540 reads a second where 3 single-threaded workers answered 177. The worker
class is ours: slow clients hold none of these threads (`http_worker`).
"""

import gc
import os
import shutil
import tempfile
from typing import Any

from feedback.runtime import http_worker
from feedback.runtime.environment import env_int
from feedback.runtime.process_guard import die_with_parent

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
os.umask(0o077)  # what the service writes is for nobody else on this machine
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # where the workers' counts meet (`runtime/metrics.py`)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="touchstone-metrics-", dir=MEMORY)

# Loaded once, then forked: workers share what they do not change, and none begins by importing for its first caller.
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
forwarded_allow_ips = ""  # what a proxy tells is believed by settings.TRUSTED_PROXIES alone
# A worker's sign of life is a file: in memory, because a busy disk would look like a stuck worker.
worker_tmp_dir = MEMORY


def post_fork(server: Any, worker: Any) -> None:
    """A worker must not hold on to the socket when its master was killed."""
    die_with_parent(worker.ppid)


def when_ready(server: Any) -> None:
    """What is there before the first fork stays shared: the collector leaves it alone."""
    gc.freeze()


def child_exit(server: Any, worker: Any) -> None:
    """However it ended, it has no connections any more."""
    http_worker.LOADS[worker.age % http_worker.MOST_WORKERS] = 0


def on_exit(server: Any) -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
