"""What a recipe is given, and what it hands back. `run(context: RunContext) -> StageResult` is every recipe's door."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer.json_types import Metrics, RunRequest
from trainer.run.progress import Reporter

ModelKind = Literal["tokenizer", "policy", "reward", "encoder", "classifier", "tagger"]


@dataclass(frozen=True)
class RunContext:
    """One run, as its recipe sees it.

    Attributes:
        folder: the run folder; a recipe may write further result files here (under a temporary name, renamed last).
        run: run.json, parsed.
        config: the stage's dataclass from `trainer.configs.stages`.
        inputs: name -> path, resolved; folders that came with a hash are verified already.
        report: where progress goes.
        should_stop: true once the run was ordered to stop; a recipe then checkpoints and raises StopRequested.
        checkpoints: folder for `step-N` checkpoints; exists.
        pieces: that each batch is cut into, more than 1 since memory ran out; see `trainer.run.microbatching`.
    """

    folder: Path
    run: RunRequest
    config: Any
    inputs: Mapping[str, Path]
    report: Reporter
    should_stop: Callable[[], bool]
    checkpoints: Path
    pieces: int = 1

    @property
    def seed(self) -> int:
        """The seed named in run.json, 0 when none is."""
        return int(self.run.get("seed", 0))

    @property
    def stage(self) -> str:
        return str(self.run["stage"])

    def working_copy(self, name: str) -> Path:
        """An empty folder inside the run folder for something that is renamed into place when complete.

        Each process has its own; only the leading one's gets its final name.
        """
        from trainer.run.checkpoints import fresh_folder

        rank = "" if self.leads else f".{os.environ['RANK']}"
        return fresh_folder(self.folder / f".{name}{rank}.partial")

    @property
    def leads(self) -> bool:
        """Whether this process writes into the run folder."""
        return self.report.path is not None or "RANK" not in os.environ


@dataclass(frozen=True)
class Fault:
    """Why a made model is not to be served.

    Attributes:
        name: steady, for programs. text: a sentence.
    """

    name: str
    text: str


@dataclass(frozen=True)
class StageResult:
    """What a recipe made.

    Attributes:
        metrics: figures for result.json; numbers, strings, lists and dicts of them.
        model: folder of the made model, still under a temporary name; the command writes its manifest and renames it to
        model/.
        kind: what the folder holds; needed when `model` is given.
        faults: why the model is not to be served; none of a sound one.
        config: what the stage ran with, filled in by the command.
    """

    metrics: Metrics = field(default_factory=dict)
    model: Path | None = None
    kind: ModelKind = "policy"
    faults: tuple[Fault, ...] = ()
    config: Any = None
