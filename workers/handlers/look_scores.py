"""Look jobs: score the responses that a PPO run saved at its looks with the project's other reward versions.

Safe to repeat: the responses never change after the run has ended, and the scores of a version are kept as soon as they
are complete, once; another attempt goes on with the next version.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from django.conf import settings

from feedback.models import Job, ModelVersion, TrainingRun
from feedback.rules.training import looks as rules
from feedback.selectors.training import look_scores as selectors
from feedback.services.training import look_scores
from feedback.services.training.look_scores import Look
from workers.handlers.active_selection import loaded_model
from workers.handlers.generation import let_live_ones_by
from workers.job_context import JobFailed, Outcome, Work

if TYPE_CHECKING:
    from trainer.modeling.reward_model import RewardModel

GONE = "The responses that the run saved are not there any more."


@dataclass(frozen=True)
class SavedLook:
    """The responses of one look, as the trainer wrote them, with their KL in nats."""

    step: int
    prompts: list[tuple[dict[str, str], ...]]
    texts: list[str]
    kls: list[float]


def carry_out(work: Work) -> Outcome:
    """Score the looks of the job's run with every version that has not scored them."""
    run = TrainingRun.objects.select_related("project", "job").get(public_id=work.job.payload["run"])
    versions = selectors.unscored(run)
    saved = saved_looks(settings.DATA_DIR / run.folder / "looks")
    if versions and not saved:
        raise JobFailed(Job.ErrorKind.DATA, GONE, "Train the policy again; its responses are saved as it goes.")
    for place, version in enumerate(versions):
        _score(work, run, version, saved, place, len(versions))
    return Outcome({"versions": len(versions), "looks": len(saved)})


def saved_looks(folder: Path) -> list[SavedLook]:
    """The looks that are scored, in order; lines that are no responses are passed over."""
    files = {int(file.stem.removeprefix("step-")): file for file in folder.glob("step-*.jsonl")}
    return [_read(step, files[step]) for step in rules.spread(list(files))]


def _read(step: int, file: Path) -> SavedLook:
    look = SavedLook(step, [], [], [])
    with file.open(encoding="utf-8") as lines:
        for line in islice(lines, rules.MOST_RESPONSES):
            row = json.loads(line)
            look.prompts.append(tuple(row["prompt"]))
            look.texts.append(row["text"])
            look.kls.append(float(row["kl"]))
    return look


def _score(
    work: Work, run: TrainingRun, version: ModelVersion, saved: Sequence[SavedLook], place: int, count: int
) -> None:
    reward: RewardModel = loaded_model(work, version)
    found = []
    for number, look in enumerate(saved):
        work.check()
        let_live_ones_by(work)
        work.say(f"scoring with {version}", step=place * len(saved) + number, steps=count * len(saved))
        if look.texts:
            rewards = reward.score(look.prompts, look.texts).tolist()
            found.append(Look(look.step, fmean(rewards), fmean(look.kls), len(rewards)))
    look_scores.store(run, version, found)
