"""How a run says how it goes: report() and should_stop(), tied to progress.jsonl and to transformers' Trainer."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict


class Sample(TypedDict):
    """A text made during training, as a line of progress.jsonl shows it."""

    prompt: str
    text: str
    reward: NotRequired[float]


Bounds = tuple[Mapping[str, float], Mapping[str, float]]  # least, greatest
Point = tuple[dict[str, float], Bounds | None]  # figures of a step, with their bounds where they are means

CURVE_POINTS = 400  # of one run at most; a longer run gives means over buckets of equally many steps


def finite(value: object) -> object:
    """A number as JSON can carry it: NaN and infinities become strings, tensors and numpy scalars plain numbers."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


class Reporter:
    """Appends to progress.jsonl, one whole line at a time. With no path it keeps silent (other ranks, notebooks)."""

    def __init__(self, path: Path | None, attempt: int = 1) -> None:
        self.path = path
        self.attempt = attempt
        self.board: Board | None = None
        if path is not None and path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
            # A kill -9 can leave half a line; end it, so that the next one stands alone.
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def write(self, kind: str, **values: object) -> None:
        if self.path is None:
            return
        line = json.dumps({"t": round(time.time(), 3), "attempt": self.attempt, "kind": kind, **values})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def state(self, text: str) -> None:
        """What the run is busy with, a few words in the present participle."""
        self.write("state", text=text)

    def metrics(self, step: int, of: int, metrics: Mapping[str, object], bounds: Bounds | None = None) -> None:
        """Figures after `step` of `of`; keys keep their meaning and unit from run to run.

        Args:
            bounds: where the figures are means over several steps, the least and the greatest of each.
        """
        figures = {key: finite(value) for key, value in metrics.items()}
        more = {"min": dict(bounds[0]), "max": dict(bounds[1])} if bounds else {}
        self.write("metrics", step=step, of=of, metrics=figures, **more)
        if self.path is not None:
            self.board = self.board or Board(self.path.parent / "tensorboard", step)
            self.board.add(step, figures)

    def step(self, step: int, of: int) -> None:
        """How far the run is. Written by the clock, so it is no point of a curve."""
        self.write("step", step=step, of=of)

    def samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Texts made at `step`, each {"prompt", "text"}, always of the same few prompts."""
        self.write("samples", step=step, samples=list(samples))

    def alarm(self, step: int, name: str, text: str) -> None:
        """Something a person should look at; `text` is a sentence."""
        self.write("alarm", step=step, name=name, text=text)


class Buckets:
    """The figures of each step, gathered into means over buckets of equal length, with least and greatest values.

    A bucket's length follows from the length of the run alone. Two runs of equal settings, seed and rows therefore give
    the same points, however busy the machine is and however often a run was resumed.

    Args:
        points: most buckets of a run, >= 1.
    """

    def __init__(self, points: int = CURVE_POINTS) -> None:
        self.points = points
        self.steps: list[dict[str, float]] = []

    def add(self, step: int, of: int, figures: Mapping[str, object]) -> Point | None:
        """Take the figures of one step; the point that it completes, if it does."""
        numbers = {}
        for key, value in figures.items():
            plain = finite(value)
            if isinstance(plain, int | float):
                numbers[key] = float(plain)
        self.steps.append(numbers)
        size = max(1, math.ceil(of / self.points))
        return self.close() if step % size == 0 or step >= of else None

    def close(self) -> Point | None:
        """The point of the steps gathered so far, means and bounds; None of no steps."""
        if not self.steps:
            return None
        series: dict[str, list[float]] = {}
        for figures in self.steps:
            for key, value in figures.items():
                series.setdefault(key, []).append(value)
        means: dict[str, float] = {}
        least: dict[str, float] = {}
        greatest: dict[str, float] = {}
        for key, values in series.items():
            means[key] = math.fsum(values) / len(values)
            least[key] = min(values)
            greatest[key] = max(values)
        bounds = None
        if len(self.steps) > 1:
            bounds = (least, greatest)
        self.steps = []
        return means, bounds


class Board:
    """TensorBoard's event files beside the run: `tensorboard --logdir RUN_FOLDER/tensorboard` shows its figures.

    Args:
        folder: for the files, one an attempt.
        step: the first one to come; what an earlier attempt wrote from there on is struck out.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.event = Event
        self.writer = EventFileWriter(str(folder))
        begun = SessionLog(status=SessionLog.START)
        self.writer.add_event(Event(wall_time=time.time(), step=step, session_log=begun))

    def add(self, step: int, figures: Mapping[str, object]) -> None:
        """Figures after `step`; what is no number is left out."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values: list[Summary.Value] = []
        for name, value in figures.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.append(Summary.Value(tag=name, simple_value=value))
        self.writer.add_event(self.event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self.writer.flush()


class Ticker:
    """True at most once every `seconds`, and at once the first time. Keeps progress lines frequent yet few."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self.last = -math.inf

    def due(self) -> bool:
        if self.clock() - self.last < self.seconds:
            return False
        self.last = self.clock()
        return True
