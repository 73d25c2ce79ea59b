"""The programs of the service and their command lines. `compose.yaml` runs the same programs in containers."""

import http.client
import os
import sys
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from feedback import queue_names
from feedback.runtime import embedded_broker as embedded_broker_runtime
from feedback.runtime.supervisor import Program

# On 2 cores, one thread each for training and generation leaves CPU for the web server.
ONE_THREAD = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "OMP_WAIT_POLICY": "PASSIVE"}
# The checks of Django run once, in `migrate`. In each worker they would import all views for nothing.
WORKER_ENVIRONMENT = {"CELERY_SKIP_CHECKS": "1"}


def embedded_broker() -> Program:
    """The embedded broker.

    Raises:
        BrokerUnavailable: no server can be run on this machine.
    """
    binary = embedded_broker_runtime.server_binary()
    embedded_broker_runtime.prepare_socket_folder(settings.BROKER_SOCKET)
    return Program(
        name="broker",
        command=embedded_broker_runtime.server_command(binary, settings.BROKER_SOCKET, settings.DATA_DIR / "broker"),
        answers=lambda: embedded_broker_runtime.answers(settings.BROKER_SOCKET),
        stops_last=True,
    )


def web(listener: int, port: int) -> Program:
    """gunicorn on a socket that the supervisor holds: during a restart, connections wait instead of failing."""
    return Program(
        name="web",
        command=[
            *(sys.executable, "-m", "gunicorn", "--config", "python:feedback.runtime.gunicorn_config"),
            *("--bind", f"fd://{listener}"),
        ],
        pass_fds=(listener,),
        answers=_answers_http(port),
    )


def worker(queue_name: str) -> Program:
    """A Celery worker for one queue. Its name is that of queue and host, so that a successor takes over its row."""
    command = [
        *(sys.executable, "-m", "celery", "-A", "workers.celery", "worker"),
        *("--queues", queue_name, "--hostname", f"{queue_name}@%h", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle"),
    ]
    if queue_name == queue_names.DEFAULT:
        # Threads, because these jobs wait for the database and files, and housekeeping must not wait for two imports.
        return Program(
            queue_name,
            [*command, "--pool", "threads", "--concurrency", "4"],
            environment=WORKER_ENVIRONMENT,
            stop_seconds=15,
        )
    return Program(
        queue_name,
        [*command, "--pool", "prefork", "--concurrency", "1"],
        environment=WORKER_ENVIRONMENT | ONE_THREAD,
        # Long enough for a trainer to write its checkpoint.
        stop_seconds=settings.CANCEL_GRACE_SECONDS + 7,
    )


def beat() -> Program:
    """Celery beat, the clock. It keeps nothing on disk, because the database decides what is due."""
    return Program(
        "beat",
        [
            *(sys.executable, "-m", "celery", "-A", "workers.clock", "beat"),
            *("--scheduler", "celery.beat:Scheduler", "--max-interval", "5", "--pidfile", "", "--loglevel", "INFO"),
        ],
    )


def _answers_http(port: int) -> Callable[[], bool]:
    """Whether the web server answers. An error page is an answer, too."""

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return answers


def logs_folder() -> Path:
    folder = settings.DATA_DIR / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
