"""Several trainings of one run that differ in their seed alone, of which the one with the lowest selection loss stays.

Each restart has a checkpoint folder of its own, `restart-N`, and reports its steps behind those of the restarts before.
When it has ended, `ended.json` in its folder says what it came to, so a run that was killed goes on with the restart
that it was in. Only the best weights so far stay on disk.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from trainer.json_types import JsonObject, RunRequest
from trainer.run.checkpoints import ENDED, RESTART, all_checkpoints, write_json
from trainer.run.context import RunContext
from trainer.run.progress import Bounds, Reporter, Sample
from trainer.run.seeds import stable_seed


@dataclass(frozen=True)
class Restart:
    """One training of several.

    Attributes:
        number: from 1. of: how many there are.
        context: the run's, with a seed, a checkpoint folder and a progress of its own.
        before: steps planned for the restarts before it.
    """

    number: int
    of: int
    context: RunContext
    before: int


@dataclass(frozen=True)
class Ended:
    """What a restart came to.

    Attributes:
        steps: done. best_step: of the kept weights; 0 where nothing could be measured and the last ones are kept.
        figures: of the selection split at that step.
    """

    number: int
    steps: int
    best_step: int
    figures: dict[str, float]

    @property
    def kept_step(self) -> int:
        """Step whose weights lie in the restart's `best-N` folder."""
        return self.best_step or self.steps


class RestartReporter(Reporter):
    """Progress of a restart within that of its run: steps go on where the restart before was planned to end.

    Args:
        whole: progress of the run. number, of: which restart of how many.
        before: steps planned for the restarts before. total: steps planned for all.
    """

    def __init__(self, whole: Reporter, number: int, of: int, before: int, total: int) -> None:
        super().__init__(None, whole.attempt)
        self.whole, self.path = whole, whole.path
        self.label = f"restart {number} of {of}"
        self.before, self.total = before, total

    def write(self, kind: str, **values: object) -> None:
        self.whole.write(kind, **values)

    def state(self, text: str) -> None:
        self.whole.state(f"{text} ({self.label})")

    def metrics(self, step: int, of: int, metrics: Mapping[str, object], bounds: Bounds | None = None) -> None:
        self.whole.metrics(self.before + step, self.total, metrics, bounds)

    def step(self, step: int, of: int) -> None:
        self.whole.step(self.before + step, self.total)

    def samples(self, step: int, samples: Sequence[Sample]) -> None:
        self.whole.samples(self.before + step, samples)

    def alarm(self, step: int, name: str, text: str) -> None:
        self.whole.alarm(self.before + step, name, text)


def seed_of(seed: int, number: int) -> int:
    """Seed of a restart; the first one trains as a run without restarts would."""
    return seed if number == 1 else stable_seed(seed, "restart", number)


def restarts_of(context: RunContext, steps: Sequence[int]) -> list[Restart]:
    """The restarts of a run, in order; one alone is the run itself.

    Args:
        steps: planned for each.
    """
    of = len(steps)
    if of == 1:
        return [Restart(1, 1, context, 0)]
    found: list[Restart] = []
    for number in range(1, of + 1):
        folder = context.checkpoints / f"{RESTART}{number}"
        if context.leads:
            folder.mkdir(parents=True, exist_ok=True)
        before = sum(steps[: number - 1])
        own = replace(
            context,
            run=cast("RunRequest", {**context.run, "seed": seed_of(context.seed, number)}),
            checkpoints=folder,
            report=RestartReporter(context.report, number, of, before, sum(steps)),
        )
        found.append(Restart(number, of, own, before))
    return found


def ended(restart: Restart) -> Ended | None:
    """What a restart came to; None of one that has not ended."""
    try:
        report: JsonObject = json.loads((restart.context.checkpoints / ENDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Ended(restart.number, report["steps"], report["best_step"], report["figures"])


def note_ended(restart: Restart, result: Ended) -> None:
    """Write down what a restart came to; its checkpoints to go on from are dropped."""
    folder = restart.context.checkpoints
    write_json(folder / ENDED, {"steps": result.steps, "best_step": result.best_step, "figures": dict(result.figures)})
    for path in all_checkpoints(folder):
        shutil.rmtree(path)


def best_of(results: Sequence[Ended], figure: str) -> Ended:
    """The one with the lowest figure, the first among equals; one that could not be measured comes last."""
    return min(results, key=lambda result: result.figures.get(figure, math.inf))


def drop_others(restarts: Sequence[Restart], best: Ended) -> None:
    """Remove the kept weights of every restart that has ended but the best."""
    for restart in restarts:
        if restart.number != best.number and ended(restart) is not None:
            for folder in kept_weights(restart.context.checkpoints):
                shutil.rmtree(folder)


def kept_weights(folder: Path) -> list[Path]:
    """Folders of the best weights of a restart."""
    return sorted(folder.glob("best-*"))
