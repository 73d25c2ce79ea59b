"""Which programs make up the service, and their command lines. The same entries run in containers (compose.yaml)."""

import http.client
import os
import sys
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from feedback import queue_names
from feedback.runtime import embedded_broker as embedded_broker_runtime
from feedback.runtime.supervisor import Program

# Of 2 cores, one thread for training and one for generation leave the web room; a machine with more may give more.
ONE_THREAD = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "OMP_WAIT_POLICY": "PASSIVE"}
# Django's checks are run once, by migrate; in every worker they would load all doors for nothing.
WORKER_ENVIRONMENT = {"CELERY_SKIP_CHECKS": "1"}


def embedded_broker() -> Program:
    """Raises BrokerUnavailable when no server can be run here."""
    binary = embedded_broker_runtime.server_binary()
    embedded_broker_runtime.prepare_socket_folder(settings.BROKER_SOCKET)
    return Program(
        name="broker",
        command=embedded_broker_runtime.server_command(binary, settings.BROKER_SOCKET, settings.DATA_DIR / "broker"),
        answers=lambda: embedded_broker_runtime.answers(settings.BROKER_SOCKET),
        stops_last=True,
    )


def web(listener: int, port: int) -> Program:
    """gunicorn on a socket the supervisor holds: while it is started again, connections wait instead of failing."""
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
    """A Celery worker for one queue. Its name is the queue and the host, so a successor takes over its row."""
    command = [
        *(sys.executable, "-m", "celery", "-A", "workers.celery", "worker"),
        *("--queues", queue_name, "--hostname", f"{queue_name}@%h", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle"),
    ]
    if queue_name == queue_names.DEFAULT:
        # Threads: its jobs wait for the database and for files, and a sweep must not queue behind two imports.
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
        # Long enough for a trainer to write its checkpoint and leave.
        stop_seconds=settings.CANCEL_GRACE_SECONDS + 7,
    )


def beat() -> Program:
    """The clock. It keeps nothing on disk: what is due is decided by rows."""
    return Program(
        "beat",
        [
            *(sys.executable, "-m", "celery", "-A", "workers.clock", "beat"),
            *("--scheduler", "celery.beat:Scheduler", "--max-interval", "5", "--pidfile", "", "--loglevel", "INFO"),
        ],
    )


def _answers_http(port: int) -> Callable[[], bool]:
    """Any reply will do: an error page too is a web server that answers."""

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
