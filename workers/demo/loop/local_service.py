"""A service in a folder of its own, run by `manage.py up`, and the CPU time of its parts. Linux only, for /proc."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
READY_SECONDS = 180.0
STOP_SECONDS = 60.0
SWEEP_SECONDS = 5  # of housekeeping, which keeps tasks in supply: programs answer quicker than people
TICKS = os.sysconf("SC_CLK_TCK")


class NotReady(Exception):
    """The service did not answer in time; the text holds the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LocalService:
    """A service on a free port of this machine, in a folder of its own.

    Args:
        folder: for its data; also where `up.log` is written.
        port: where it answers.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self._up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it without the demo, and wait until it answers.

        Raises:
            NotReady: it did not.
        """
        with (self.folder / "up.log").open("ab") as log:
            self._up = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--no-demo"],
                cwd=ROOT,
                env=os.environ
                | {"DATA_DIR": str(self.folder), "PORT": str(self.port), "SWEEP_SECONDS": str(SWEEP_SECONDS)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self._up.poll() is None:
            if self._answers():
                return
            time.sleep(0.5)
        raise NotReady((self.folder / "up.log").read_text(errors="replace")[-2000:])

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds by part so far, of processes that run and of their children that have ended."""
        found: dict[str, float] = defaultdict(float)
        if self._up is not None:
            for process in _family(self._up.pid):
                found[_part(process)] += _cpu(process)
        return {name: round(seconds, 1) for name, seconds in sorted(found.items())}

    def stop(self) -> None:
        """Stop it, as Ctrl-C does; what does not end in time is killed."""
        if self._up is None:
            return
        self._up.send_signal(signal.SIGINT)
        try:
            self._up.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._up.pid, signal.SIGKILL)
            self._up.wait()
        self._up = None


def _family(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children[int(fields[1])].append(int(entry.name))
    found, left = [], [root]
    while left:
        process = left.pop()
        found.append(process)
        left += children[process]
    return found


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty once the process has gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu(process: int) -> float:
    """CPU seconds of a process and of its children that have ended and were waited for."""
    fields = _stat(process)
    return sum(map(int, fields[11:15])) / TICKS if fields else 0.0


def _part(process: int) -> str:
    """What a process does for the service, by its command line."""
    try:
        line = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "gone"
    text = " ".join(line)
    if "valkey-server" in text or "redis-server" in text:
        return "broker"
    if "gunicorn" in text:
        return "web"
    if "--queues" in line:
        return f"worker of {line[line.index('--queues') + 1]}"
    if "celery" in text and " beat " in text:
        return "clock"
    if "-m trainer" in text:
        return "trainer at work"
    return "supervisor"
