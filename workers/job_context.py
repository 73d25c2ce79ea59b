"""What a handler is given: the job, its progress and heartbeat, and the reasons to stop."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from feedback.models import Job
from feedback.services.platform import jobs
from workers import watchdog

log = logging.getLogger(__name__)

OUR_FAULT = "An internal error occurred; the worker log has the details."

# Set when this worker was ordered to stop: work in progress is put back in the queue and goes on elsewhere or later.
stopping = threading.Event()


class Cancelled(Exception):
    """A person requested the job to be cancelled, and it has stopped."""


class Lost(Exception):
    """The row belongs to another attempt. Stop without changing it."""


class PutBack(Exception):
    """The job goes back to the queue, because of the machine or a shutdown of the worker. The text is the reason."""


class JobFailed(Exception):
    """The job cannot be done. Kind as in Job.ErrorKind, a sentence for a person, and what that person can do."""

    def __init__(self, kind: str, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.kind, self.sentence, self.remedy = kind, sentence, remedy


@dataclass(frozen=True)
class Outcome:
    """The result of a job. `record` writes rows in the transaction that marks the job as succeeded."""

    result: dict[str, Any] = field(default_factory=dict)
    record: Callable[[], object] = lambda: None


class Work:
    """One attempt at a job. As a context it keeps a thread that beats every BEAT_SECONDS.

    The beats come from a thread so that a long step (loading a model, hashing a file) does not look like silence. So
    that they prove something, that thread also watches the one that works: it says what it does, or checks, between
    steps. Where it has not for JOB_STUCK_SECONDS, or has not left CANCEL_SECONDS after it was instructed to, `watchdog`
    ends the process.
    """

    def __init__(self, job: Job, wait_aside: Callable[[int], None] | None = None) -> None:
        self.job = job
        self.step: int | None = None
        self.steps: int | None = None
        self.text: str | None = None
        self.cancel = threading.Event()
        self.lost = threading.Event()
        self._aside = wait_aside
        self._patience = float(settings.JOB_STUCK_SECONDS)
        self._stepped = time.monotonic()
        self._stop_requested_at: float | None = None  # when it was ordered to stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name=f"beat-{job.pk}", daemon=True)

    def say(self, text: str | None = None, *, step: int | None = None, steps: int | None = None) -> None:
        """Report progress; it is stored with the next heartbeat. Each call proves that the job does not hang."""
        self._stepped = time.monotonic()
        self.text = self.text if text is None else text
        self.step = self.step if step is None else step
        self.steps = self.steps if steps is None else steps

    def check(self) -> None:
        """Raise if there is a reason to stop. Call between steps.

        Raises:
            Lost, Cancelled, PutBack: in this order of weight.
        """
        self._stepped = time.monotonic()
        if self.lost.is_set():
            raise Lost
        if self.cancel.is_set():
            raise Cancelled
        if stopping.is_set():
            raise PutBack("The worker was stopped; the job continues when a worker is running again.")

    @contextmanager
    def long_step(self, seconds: float) -> Iterator[None]:
        """In this context one step may take so many seconds (or JOB_STUCK_SECONDS, if that is longer)."""
        self._patience, before = max(seconds, settings.JOB_STUCK_SECONDS), self._patience
        try:
            yield
        finally:
            self._patience, self._stepped = before, time.monotonic()

    def wait_aside(self, job_id: int) -> None:
        """In this context another job runs while this one pauses; the other one has its own watchdog."""
        if self._aside is not None:
            with self.long_step(math.inf):
                self._aside(job_id)

    def pause(self, seconds: float) -> None:
        """Sleep, and raise early if there is a reason to stop."""
        for _ in range(int(seconds * 10)):
            self.check()
            self._ended.wait(0.1)

    def beat(self) -> None:
        """Send a heartbeat. If the database is away, the next one tries again."""
        try:
            signal = jobs.beat(self.job, step=self.step, steps=self.steps, text=self.text)
        except DatabaseError as error:
            log.warning("job %s could not beat: %s", self.job.pk, error)
            connection.close()
            return
        if signal.cancel:
            self.cancel.set()
        if signal.lost:
            self.lost.set()
        if (signal.cancel or signal.lost) and self._stop_requested_at is None:
            self._stop_requested_at = time.monotonic()

    def hangs(self) -> str:
        """Why the process has to end, as the beginning of a sentence; empty while all is well."""
        now = time.monotonic()
        if self._stop_requested_at is not None and now - self._stop_requested_at > settings.CANCEL_SECONDS:
            return "The worker did not stop on request and was ended"
        if now - self._stepped > self._patience:
            return f"Its worker took no step for {now - self._stepped:.0f} s and was ended"
        return ""

    def __enter__(self) -> "Work":
        watchdog.begin(self)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        watchdog.end(self)
        self._thread.join()

    def _keep_beating(self) -> None:
        try:
            while not self._ended.wait(1.0 if self._stop_requested_at is not None else settings.BEAT_SECONDS):
                watchdog.look(self)
                self.beat()
        finally:
            connection.close()  # this thread's own
