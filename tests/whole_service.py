"""A whole service in a folder of its own, run by the real `manage.py up`, for tests that kill parts of it."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent

PATIENCE = 6  # a limit ends what hangs; how fast things are is for tests/bench


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], Any], seconds: float, what: str) -> Any:
    """Look every fifth of a second until `true()` is; what it was.

    Args:
        seconds: what it may take on a machine at rest; a busy one gets PATIENCE times as many.
    """
    deadline = time.monotonic() + seconds * PATIENCE
    while not (seen := true()):
        assert time.monotonic() < deadline, f"{what} did not come to pass within {seconds * PATIENCE:.0f} s"
        time.sleep(0.2)
    return seen


class House:
    """`manage.py up` on a data folder and a port of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        unset = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "GENERATION_URL"}
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in unset},
            "DATA_DIR": str(folder),
            "PORT": str(self.port),
            **environment,
        }
        self.up: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "up.log").open("ab") as log:
            self.up = subprocess.Popen(
                [sys.executable, "manage.py", "up", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def manage(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def processes(self) -> dict[str, psutil.Process]:
        """What `up` runs now, by name: broker, web, default, generate, train, beat, and trainer while one runs."""
        assert self.up is not None
        found = {}
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.up.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    line = process.cmdline()
                    name = name_of(line)
                    if name and name not in found:  # children are listed after their parents
                        found[name] = process
        return found

    def kill(self, name: str) -> int:
        """`kill -9` one process; its pid. One that is just being started again is waited for."""
        deadline = time.monotonic() + 20
        while name not in (there := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        process = there[name]
        process.kill()
        return process.pid

    def is_up(self) -> bool:
        everything = {"broker", "web", "default", "generate", "train", "beat"}
        return everything <= set(self.processes()) and self.answers() and self.workers_seen() == 3

    def answers(self, seconds: float = 5) -> bool:
        """Whether the service says that it is well, given so many seconds."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=seconds) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def workers_seen(self) -> int:
        """Workers whose present process has said that it is there."""
        pids = {process.pid for process in self.processes().values()}
        rows = self.query("SELECT pid FROM feedback_workerprocess WHERE seen_at > datetime('now', '-10 seconds')")
        return sum(row["pid"] in pids for row in rows)

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        database = sqlite3.connect(self.folder / "touchstone.sqlite3", timeout=20)
        try:
            database.row_factory = sqlite3.Row
            return database.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            database.close()

    def token(self) -> str:
        """The admin's, as told on first start."""
        return (self.folder / "credentials.txt").read_text().split()[-1]

    def get(self, path: str) -> Any:
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token()}"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def everyone(self) -> list[psutil.Process]:
        """Every process there is with this folder in its environment, whoever its parent is."""
        mine = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("DATA_DIR") == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    mine.append(process)
        return mine

    def stop(self, number: int = signal.SIGINT, seconds: float = 30) -> int:
        """As Ctrl-C does, to the supervisor alone. Its exit code."""
        assert self.up is not None
        self.up.send_signal(number)
        return self.up.wait(seconds)

    def log(self) -> str:
        return (self.folder / "up.log").read_text()

    def logs(self) -> str:
        """The ends of all logs, for the report of a failed test."""
        files = [self.folder / "up.log", *sorted((self.folder / "logs").glob("*.log"))]
        return "\n".join(f"--- {path.name}\n{path.read_text()[-1500:]}" for path in files if path.exists())


def name_of(line: list[str]) -> str | None:
    text = " ".join(line)
    if "valkey-server" in text or "redis-server" in text:
        return "broker"
    if "gunicorn" in text:
        return "web"
    if "celery" in text and " beat " in text:
        return "beat"
    if "--queues" in line:
        return line[line.index("--queues") + 1]
    return "trainer" if "-m trainer" in text else None


@contextmanager
def house(folder: Path, **environment: str) -> Iterator[House]:
    """A house that is torn down whatever happens, with its logs shown when a test fails in it."""
    made = House(folder, **environment)
    try:
        yield made
    except BaseException:
        print(made.logs())
        raise
    finally:
        for process in made.everyone():
            with suppress(psutil.Error):
                process.kill()
        if made.up is not None:
            made.up.wait(10)
