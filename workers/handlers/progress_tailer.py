"""Tails the progress.jsonl and the log of a trainer and writes them as rows, at most once a second per run.

Read from the start at each attempt, since an earlier worker may have died between a line and its row; a row written
again is the same row.
"""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from django.db import DatabaseError

from feedback.models import TrainingRun
from feedback.services.training import pipelines
from workers.job_context import Work

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
LINES_PER_WRITE = 200  # keeps the transaction short however much there is to catch up with
LOG_BYTES = 20_000


class Follower:
    """The lines of a run's folder that were read and not written yet."""

    def __init__(self, run: TrainingRun, folder: Path, work: Work) -> None:
        self.run, self.folder, self.work = run, folder, work
        self.read_to = 0
        self.waiting: list[dict[str, Any]] = []
        self.log_size = -1
        self.last_write = 0.0

    def look(self) -> None:
        """Read new lines, and write them if the last write was more than a second ago."""
        self._read()
        if time.monotonic() - self.last_write >= WRITE_SECONDS:
            self._write()

    def finish(self) -> None:
        """Write all remaining lines, after the trainer has ended."""
        self._read()
        while self.waiting or self._log_grew():
            if not self._write():
                return

    def _read(self) -> None:
        try:
            with (self.folder / "progress.jsonl").open("rb") as file:
                file.seek(self.read_to)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]  # the trainer may be in the middle of a line
        self.read_to += len(whole)
        for line in whole.splitlines():
            try:
                entry = json.loads(line.replace(b"\\u0000", b""))  # PostgreSQL cannot store it
            except ValueError:
                continue  # half a line that a kill left behind; the trainer has ended it
            self.waiting.append(entry)
            if entry["kind"] in ("metrics", "step"):
                self.work.say(step=entry["step"], steps=entry["of"])
            elif entry["kind"] == "state":
                self.work.say(entry["text"])

    def _write(self) -> bool:
        """Write in one transaction. If the database is away, the same lines are written the next time."""
        part = self.waiting[:LINES_PER_WRITE]
        if not part and not self._log_grew():
            return True
        size, tail = self._log_tail()
        points, samples, alarms = [], [], []
        for entry in part:
            if entry["kind"] == "metrics":
                minima, maxima = entry.get("min", {}), entry.get("max", {})
                points.append(pipelines.Point(entry["step"], entry["t"], entry["metrics"], minima, maxima))
            elif entry["kind"] == "samples":
                samples.append((entry["step"], entry["samples"]))
            elif entry["kind"] == "alarm":
                alarms.append((entry["step"], entry["name"], entry["text"]))
        try:
            pipelines.record_points(self.run, points=points, samples=samples, alarms=alarms, log_tail=tail)
        except DatabaseError as error:
            log.warning("the progress of run %s waits: %s", self.run.pk, error)
            self.last_write = time.monotonic()
            return False
        del self.waiting[: len(part)]
        self.log_size = size
        self.last_write = time.monotonic()
        return True

    def _log_grew(self) -> bool:
        return self._log_path().is_file() and self._log_path().stat().st_size != self.log_size

    def _log_tail(self) -> tuple[int, str | None]:
        try:
            with self._log_path().open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LOG_BYTES))
                # NUL is the one character that PostgreSQL cannot store.
                return size, file.read().decode(errors="replace").replace("\x00", "\ufffd")
        except FileNotFoundError:
            return -1, None

    def _log_path(self) -> Path:
        return self.folder / "trainer.log"
