"""A small supervisor: it starts programs, restarts those that end, and leaves no process behind.

Why no library: honcho stops everything when one process ends. supervisor and circus need a daemon, a control port and
a configuration format, and neither uses the parent-death signal. Process groups, a back-off and one log file per
program are all that is needed.

Every program leads its own process group. So Ctrl-C in a terminal reaches only the supervisor, and a program is stopped
together with the processes that it started. The rest of a group is killed before the successor starts, so that two
trainers or two web servers never run at once.
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
STEADY_SECONDS = 20.0  # after running this long, the back-off starts anew
LOG_BYTES = 10 * 1024 * 1024
LOGS_EVERY = 10.0  # seconds between checks of the length of the logs


@dataclass(frozen=True)
class Program:
    """A program to run.

    Attributes:
        answers: whether it is ready; None if a running process is enough.
        stops_last: whether other programs need it while they stop.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    answers: Callable[[], bool] | None = None
    stop_seconds: float = 10.0
    stops_last: bool = False


@dataclass
class Running:
    """One program and its present process."""

    program: Program
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    start_again: float = 0.0  # when to start it (monotonic), if there is no process
    deaths: int = 0  # in a row


class Supervisor:
    """Starts programs, watches them, and stops them.

    Args:
        logs: folder for one log file per program.
        folder: working directory of every program.
        say: shows one line to the user.
    """

    def __init__(self, logs: Path, folder: Path, say: Callable[[str], None]) -> None:
        self.logs = logs
        self.folder = folder
        self.say = say
        self.running: list[Running] = []
        self.stopping = False
        self.logs_checked_at = 0.0

    def request_stop(self, *_: object) -> None:
        """Signal handler: `watch` ends at its next check."""
        self.stopping = True

    def start(self, program: Program, wait: float = 0.0) -> bool:
        """Start a program and wait up to `wait` seconds until it answers; True if it does, or has no check."""
        entry = Running(program)
        self.running.append(entry)
        self._spawn(entry)
        deadline = time.monotonic() + wait
        while program.answers is not None and not program.answers():
            if self.stopping or time.monotonic() >= deadline:
                return False
            self.check()
            time.sleep(0.05)
        return True

    def watch(self) -> None:
        """Restart programs that end, until a stop is requested."""
        while not self.stopping:
            self.check()
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Check every program once."""
        now = time.monotonic()
        if now >= self.logs_checked_at + LOGS_EVERY:
            self.logs_checked_at = now
            for entry in self.running:
                self._rotate(entry.program.name)
        for entry in self.running:
            if entry.process is None:
                if now >= entry.start_again and not self.stopping:
                    self._spawn(entry)
            elif (code := entry.process.poll()) is not None:
                self._after_death(entry, code, now)

    def stop(self) -> None:
        """Stop every program, those with `stops_last` after the others, and kill the rest of each process group."""
        self.stopping = True
        for last in (False, True):
            ending = [entry for entry in self.running if entry.process is not None and entry.program.stops_last == last]
            for entry in ending:
                assert entry.process is not None
                entry.process.terminate()  # only the leader, which stops its own children
            started = time.monotonic()
            for entry in ending:
                self._wait_or_kill(entry, started + entry.program.stop_seconds)

    def _wait_or_kill(self, entry: Running, deadline: float) -> None:
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
                # Running Python between fork and exec is safe here, because the supervisor has one thread.
                preexec_fn=lambda: die_with_parent(parent),
            )
        entry.started = time.monotonic()

    def _after_death(self, entry: Running, code: int, now: float) -> None:
        assert entry.process is not None
        _signal_group(entry.process.pid, signal.SIGKILL)  # the children that it left
        entry.process = None
        if now - entry.started >= STEADY_SECONDS:
            entry.deaths = 0
        entry.deaths += 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (entry.deaths - 1))
        entry.start_again = now + delay
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        log = self._log(entry.program.name)
        self.say(f"{entry.program.name} {how}; starting it again in {delay:.1f} s (its log: {log})")

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _rotate(self, name: str) -> None:
        """Rotate a long log; at most two files are kept.

        The program keeps writing to the file, which is truncated. Lines written at that moment may be lost.
        """
        path = self._log(name)
        with suppress(OSError):  # such as a full disk; the log is truncated all the same
            if path.stat().st_size <= LOG_BYTES:
                return
            with suppress(OSError):
                shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # the group has ended (macOS reports a missing permission)
        return
