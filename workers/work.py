"""What a job's code is told and may say: the job, a sign of life every few seconds, and the reasons to leave."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from feedback.models import Job
from feedback.services import jobs

log = logging.getLogger(__name__)

# Set when this worker was asked to stop: work in progress is put back in the queue and goes on elsewhere or later.
stopping = threading.Event()


class Cancelled(Exception):
    """A person asked for the job to be cancelled, and it has stopped."""


class Lost(Exception):
    """The row is no longer this attempt's: another has it. Leave without a word."""


class PutBack(Exception):
    """Not now: the machine's trouble, or the worker is leaving. The job goes back to the queue; the text says why."""


class JobFailed(Exception):
    """The job cannot be done. Kind as in Job.ErrorKind, a sentence for a person, and what that person can do."""

    def __init__(self, kind: str, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.kind, self.sentence, self.remedy = kind, sentence, remedy


@dataclass(frozen=True)
class Outcome:
    """What a job brought. `record` writes it, in the transaction that marks the job: both happen or neither does."""

    result: dict[str, Any] = field(default_factory=dict)
    record: Callable[[], object] = lambda: None


class Work:
    """One attempt at a job. As a context it keeps a thread that beats every BEAT_SECONDS.

    The beats come from a thread so that a long step (loading a model, hashing a file) does not look like silence.
    """

    def __init__(self, job: Job, aside: Callable[[int], None] | None = None) -> None:
        self.job = job
        self.aside = aside or (lambda job_id: None)  # carries out another job while this one stands still
        self.step: int | None = None
        self.steps: int | None = None
        self.text: str | None = None
        self.cancel = threading.Event()
        self.lost = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name=f"beat-{job.pk}", daemon=True)

    def say(self, text: str | None = None, *, step: int | None = None, steps: int | None = None) -> None:
        """What is being done; told with the next beat."""
        self.text = self.text if text is None else text
        self.step = self.step if step is None else step
        self.steps = self.steps if steps is None else steps

    def check(self) -> None:
        """Leave if there is a reason to. Call between steps.

        Raises:
            Lost, Cancelled, PutBack: in this order of weight.
        """
        if self.lost.is_set():
            raise Lost
        if self.cancel.is_set():
            raise Cancelled
        if stopping.is_set():
            raise PutBack("The worker was stopped; the job goes on when one is there again.")

    def pause(self, seconds: float) -> None:
        """Sleep, and leave early if there is a reason to."""
        for _ in range(int(seconds * 10)):
            self.check()
            self._ended.wait(0.1)

    def beat(self) -> None:
        """One sign of life. A database that is away for a moment is tried again at the next."""
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

    def __enter__(self) -> "Work":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _keep_beating(self) -> None:
        try:
            while not self._ended.wait(settings.BEAT_SECONDS):
                self.beat()
        finally:
            connection.close()  # this thread's own
