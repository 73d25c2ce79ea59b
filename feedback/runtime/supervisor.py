"""A small supervisor: starts programs, starts them again when they die, and leaves nothing behind.

Ours rather than a library's. honcho stops everything when one process ends; supervisor and circus bring a daemon, a
control port and a configuration format, and neither ties a child's life to its own with the kernel's help. What is
needed fits one page: process groups, a back-off, one log file each.

Every program leads a process group of its own, so that Ctrl-C in a terminal reaches the supervisor alone and a
program is stopped together with whatever it started. What is left of a group after its leader died is killed before
the successor starts: two trainers or two web servers never overlap.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from feedback.runtime.process_guard import die_with_parent

POLL_SECONDS = 0.2
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
STEADY_SECONDS = 20.0  # ran this long: its next death is a new trouble, not the same one again
LOG_BYTES = 10 * 1024 * 1024
LOGS_EVERY = 10.0  # seconds between looks at how long the logs are


@dataclass(frozen=True)
class Program:
    """What to run. `answers` says whether it is ready; None means that running is enough."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    answers: Callable[[], bool] | None = None
    stop_seconds: float = 10.0
    stops_last: bool = False  # others need it while they end


@dataclass
class Running:
    """One program and its present process."""

    program: Program
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    start_again: float = 0.0  # monotonic; when to start, while there is no process
    deaths: int = 0  # in a row


class Supervisor:
    """Starts programs, watches them, and stops them.

    Args:
        logs: folder for one log file per program.
        folder: working directory of every program.
        say: shows a person one line.
    """

    def __init__(self, logs: Path, folder: Path, say: Callable[[str], None]) -> None:
        self.logs = logs
        self.folder = folder
        self.say = say
        self.running: list[Running] = []
        self.stopping = False
        self.logs_looked_at = 0.0

    def request_stop(self, *_: object) -> None:
        """Signal handler: the watch ends at its next look."""
        self.stopping = True

    def start(self, program: Program, wait: float = 0.0) -> bool:
        """Start a program and wait up to `wait` seconds until it answers; true when it does (or cannot say)."""
        entry = Running(program)
        self.running.append(entry)
        self._spawn(entry)
        deadline = time.monotonic() + wait
        while program.answers is not None and not program.answers():
            if self.stopping or time.monotonic() >= deadline:
                return False
            self.look()
            time.sleep(0.05)
        return True

    def watch(self) -> None:
        """Start again what dies, until a stop is requested."""
        while not self.stopping:
            self.look()
            time.sleep(POLL_SECONDS)

    def look(self) -> None:
        """One look at every program."""
        now = time.monotonic()
        if now >= self.logs_looked_at + LOGS_EVERY:
            self.logs_looked_at = now
            for entry in self.running:
                self._shorten(entry.program.name)
        for entry in self.running:
            if entry.process is None:
                if now >= entry.start_again and not self.stopping:
                    self._spawn(entry)
            elif (code := entry.process.poll()) is not None:
                self._mourn(entry, code, now)

    def stop(self) -> None:
        """Let every program end, those that stop last after the others; then kill what is left of each group."""
        self.stopping = True
        for last in (False, True):
            ending = [e for e in self.running if e.process is not None and e.program.stops_last == last]
            for entry in ending:
                assert entry.process is not None
                entry.process.terminate()  # the leader alone: it knows how to end what it started
            began = time.monotonic()
            for entry in ending:
                self._see_out(entry, began + entry.program.stop_seconds)

    def _see_out(self, entry: Running, deadline: float) -> None:
        assert entry.process is not None
        try:
            entry.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.say(f"{entry.program.name} did not stop in {entry.program.stop_seconds:.0f} s and is killed")
        _signal_group(entry.process.pid, signal.SIGKILL)
        entry.process.wait()
        entry.process = None

    def _spawn(self, entry: Running) -> None:
        program, parent = entry.program, os.getpid()
        with self._log(program.name).open("ab") as log:
            entry.process = subprocess.Popen(
                list(program.command),
                cwd=self.folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=program.pass_fds,
                start_new_session=True,
                # The supervisor has one thread, so running Python between fork and exec is safe here.
                preexec_fn=lambda: die_with_parent(parent),
            )
        entry.started = time.monotonic()

    def _mourn(self, entry: Running, code: int, now: float) -> None:
        assert entry.process is not None
        _signal_group(entry.process.pid, signal.SIGKILL)  # children it left behind
        entry.process = None
        entry.deaths = 1 if now - entry.started >= STEADY_SECONDS else entry.deaths + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (entry.deaths - 1))
        entry.start_again = now + delay
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        log = self._log(entry.program.name)
        self.say(f"{entry.program.name} {how}; starting it again in {delay:.1f} s (its log: {log})")

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _shorten(self, name: str) -> None:
        """Rotate a long log, so that two files at most are kept. Its program writes on at the end of what is then
        empty; what it wrote at this very moment may be lost."""
        path = self._log(name)
        with suppress(OSError):  # a full disk, say: the log is emptied all the same
            if path.stat().st_size <= LOG_BYTES:
                return
            with suppress(OSError):
                shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # all gone already (macOS says permission)
        return
