"""manage.py up: the whole service on one machine, until Ctrl-C.

Problems are reported in a sentence before anything starts: a data folder that cannot be written, another `up` on the
same folder, a port in use, or no broker to run.

It reads only the settings of Django, because it runs as long as the service, and all of Django would hold 70 MiB.
"""

import argparse
import fcntl
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from django.conf import settings

from feedback.queue_names import QUEUES
from feedback.runtime import processes
from feedback.runtime.embedded_broker import BrokerUnavailable
from feedback.runtime.process_guard import die_with_parent
from feedback.runtime.supervisor import Supervisor

WEB_SECONDS, BROKER_SECONDS = 30.0, 15.0


class CannotStart(Exception):
    """The reason in a sentence; empty if it was printed already."""


def main(arguments: Sequence[str]) -> int:
    """Run `manage.py up` with these arguments, and return its exit code."""
    parser = argparse.ArgumentParser("manage.py up", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--no-demo", action="store_true", help="do not seed the demo project on first start")
    options = parser.parse_args(arguments)
    try:
        LocalService(demo=not options.no_demo).run()
    except CannotStart as error:
        if str(error):
            sys.stderr.write(f"{error}\n")
        return 1
    return 0


class LocalService:
    """The service on this machine, from its preparation until all programs have stopped."""

    def __init__(self, *, demo: bool) -> None:
        self.demo = demo
        self.credentials = settings.DATA_DIR / "credentials.txt"
        self.known_before = self.credentials.exists()

    def run(self) -> None:
        """Prepare and run the service until it is stopped.

        Raises:
            CannotStart: it cannot run here.
        """
        began = time.monotonic()
        os.umask(0o077)  # other users of this machine may not read what the service writes
        with _only_one(settings.DATA_DIR), _listener(settings.BIND, settings.PORT) as listener:
            supervisor = Supervisor(processes.logs_folder(), Path(settings.BASE_DIR), _line)
            # While the database is prepared, SIGTERM acts like Ctrl-C.
            signal.signal(signal.SIGTERM, _interrupt)
            try:
                # First, so that the jobs of the demo can be sent.
                if settings.EMBEDDED_BROKER and not supervisor.start(processes.embedded_broker(), wait=BROKER_SECONDS):
                    _line("The broker does not respond yet; jobs wait in the database.")
                self._prepare()
                self._start_programs(supervisor, listener, began)
            except BrokerUnavailable as error:
                raise CannotStart(str(error)) from None
            except KeyboardInterrupt:
                pass
            finally:
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
                _line("Stopping…")
                supervisor.stop()
                _checkpoint()
                _line("Stopped.")

    def _prepare(self) -> None:
        """Run `manage.py prepare` in another process, which prints its errors and gets no Ctrl-C of the terminal."""
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "prepare"]
        if not self.demo:
            command.append("--no-demo")
        parent = os.getpid()
        child = subprocess.Popen(command, start_new_session=True, preexec_fn=lambda: die_with_parent(parent))
        try:
            code = child.wait()
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise
        if code:
            raise CannotStart

    def _start_programs(self, supervisor: Supervisor, listener: socket.socket, began: float) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, supervisor.request_stop)
        if supervisor.start(processes.web(listener.fileno(), settings.PORT), wait=WEB_SECONDS):
            self._welcome(time.monotonic() - began)
        elif not supervisor.stopping:
            _line(f"The web server does not respond yet; see {processes.logs_folder() / 'web.log'}.")
        for queue_name in QUEUES:
            supervisor.start(processes.worker(queue_name))
        supervisor.start(processes.beat())
        supervisor.watch()

    def _welcome(self, seconds: float) -> None:
        host = settings.BIND
        if host in ("127.0.0.1", "0.0.0.0", "::"):
            host = "localhost"
        _line("")
        _line(f"Touchstone is ready after {seconds:.1f} s:  http://{host}:{settings.PORT}/")
        if self.known_before:
            _line(f"Sign-in credentials are in {self.credentials}.")
        elif self.credentials.exists():  # printed once: what a terminal shows ends up in logs
            _line("")
            for line in self.credentials.read_text(encoding="utf-8").splitlines():
                _line(f"  {line}".rstrip())
        _line("")
        _line(f"Logs are in {processes.logs_folder()}. Ctrl-C stops everything.")


def _line(text: str) -> None:
    with suppress(OSError):  # the terminal may be closed, which must not prevent a clean stop
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _checkpoint() -> None:
    """Write the log of SQLite into the database file, so that a copy of that file is complete."""
    database = settings.DATABASES["default"]
    path = Path(str(database["NAME"]))
    if "sqlite" not in database["ENGINE"] or not path.exists():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=20)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _only_one(folder: Path) -> Iterator[TextIO]:
    """Hold the lock of the folder. The kernel releases it however this process ends."""
    path = folder / "run" / "up.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise CannotStart(
            f"The data folder {folder} cannot be written ({error.strerror}). Set DATA_DIR to one that can."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"Touchstone already runs on {folder} (process {lock.read().strip() or 'unknown'}). "
                "Stop it first, or set DATA_DIR to another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


@contextmanager
def _listener(address: str, port: int) -> Iterator[socket.socket]:
    """Listen on the port here, so that a port in use is reported early and a restart drops no connection."""
    family = socket.AF_INET
    if ":" in address:
        family = socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} on {address} cannot be used ({error.strerror}). "
                f"Stop what uses it, or choose another: PORT={port + 1} make run"
            ) from None
        listener.listen(2048)
        yield listener


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
