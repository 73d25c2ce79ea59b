"""manage.py up: the whole service on one machine, until Ctrl-C.

What can be wrong is said in a sentence before anything starts: a data folder that cannot be written, another `up` on
the same folder, a taken port, no broker to run.
"""

import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command, get_commands
from django.db import DatabaseError, connection, connections
from django.db.utils import OperationalError

from feedback import programs
from feedback.broker import BrokerUnavailable
from feedback.queue import QUEUES
from feedback.supervisor import Supervisor

WEB_SECONDS, BROKER_SECONDS = 30.0, 15.0


class Command(BaseCommand):
    help = "Run the whole service on this machine: broker, web, workers and the clock. Ctrl-C stops all of it."
    requires_system_checks: list[str] = []  # migrate, which comes first, runs them

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--no-demo", action="store_true", help="do not seed the demo project on first start")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        os.umask(0o077)  # what the service writes is for nobody else on this machine
        self.credentials = settings.DATA_DIR / "credentials.txt"
        self.known_before = self.credentials.exists()
        with _only_one(settings.DATA_DIR), _listener(settings.BIND, settings.PORT) as listener:
            supervisor = Supervisor(programs.logs_folder(), Path(settings.BASE_DIR), self._line)
            # While the database is prepared, a stop is an interrupt like any other.
            signal.signal(signal.SIGTERM, _interrupt)
            try:
                # First, so that the demo's jobs can be knocked for.
                if settings.EMBEDDED_BROKER and not supervisor.start(programs.embedded_broker(), wait=BROKER_SECONDS):
                    self._line("The broker does not answer yet; work is queued in the database until it does.")
                self._prepare(demo=not options["no_demo"])
                self._run(supervisor, listener, began)
            except BrokerUnavailable as error:
                raise CommandError(str(error)) from None
            except KeyboardInterrupt:
                pass
            finally:
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
                self._line("Stopping…")
                supervisor.stop()
                _checkpoint()
                self._line("Stopped.")

    def _prepare(self, *, demo: bool) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {str(error).strip()}. See DATABASE_URL.") from None
        if settings.PRODUCTION:
            call_command("collectstatic", interactive=False, verbosity=0)
        else:
            with suppress(OSError):  # files are found where they lie; the folder only keeps WhiteNoise from warning
                Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
        if demo and not settings.PRODUCTION and "seed_demo" in get_commands():
            call_command("seed_demo")
        connections.close_all()

    def _run(self, supervisor: Supervisor, listener: socket.socket, began: float) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, supervisor.request_stop)
        if supervisor.start(programs.web(listener.fileno(), settings.PORT), wait=WEB_SECONDS):
            self._welcome(time.monotonic() - began)
        elif not supervisor.stopping:
            self._line(f"The web server does not answer yet; see {programs.logs_folder() / 'web.log'}.")
        for queue_name in QUEUES:
            supervisor.start(programs.worker(queue_name))
        supervisor.start(programs.beat())
        supervisor.watch()

    def _welcome(self, seconds: float) -> None:
        host = "localhost" if settings.BIND in ("127.0.0.1", "0.0.0.0", "::") else settings.BIND
        self._line("")
        self._line(f"Touchstone is ready after {seconds:.1f} s:  http://{host}:{settings.PORT}/")
        if self.known_before:
            self._line(f"How to sign in was told at the first start; it stands in {self.credentials}.")
        elif self.credentials.exists():  # told once: what a terminal shows ends up in logs
            self._line("")
            for line in self.credentials.read_text(encoding="utf-8").splitlines():
                self._line(f"  {line}".rstrip())
        self._line("")
        self._line(f"Logs are in {programs.logs_folder()}. Ctrl-C stops everything.")

    def _line(self, text: str) -> None:
        with suppress(OSError):  # the terminal may be gone; what it was told is no reason to stop badly
            self.stdout.write(text)
            self.stdout.flush()


def _checkpoint() -> None:
    """Bring SQLite's log into the database file, so that a copy of that file alone has everything."""
    if connection.vendor != "sqlite":
        return
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@contextmanager
def _only_one(folder: Path) -> Iterator[TextIO]:
    """Hold the folder's lock; the kernel lets go of it however this process ends."""
    path = folder / "run" / "up.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise CommandError(
            f"The data folder {folder} cannot be written ({error.strerror}). Set DATA_DIR to one that can."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CommandError(
                f"Touchstone already runs on {folder} (process {lock.read().strip() or 'unknown'}). "
                "Stop it first, or set DATA_DIR to another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


@contextmanager
def _listener(address: str, port: int) -> Iterator[socket.socket]:
    """Bind and listen here, so that a taken port is known first and a restart of the web server refuses nobody."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} on {address} cannot be used ({error.strerror}). "
                f"Stop what uses it, or choose another: PORT={port + 1} make run"
            ) from None
        listener.listen(2048)
        yield listener


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
