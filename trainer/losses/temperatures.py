"""A temperature per annotator, learned with the reward model while too few votes are shared to estimate errors.

Annotator i votes by P = sigmoid(b_i x reward difference). Near 0 their votes say nothing; below 0 they count as their
opposites. A normal prior of mean 1 and standard deviation .5 holds each b_i near 1, and the mean of |b_i| over votes
is 1, since only the product with the rewards can be learned.

Votes of the same snapshot that the reward model is measured on later, by an evaluation or before a policy is trained
against it, are as wrong as those it learned from. So it remembers its temperatures as errors (`vote_errors`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, cast

import torch
from torch import Tensor, nn

from trainer.data.columns import NOBODY
from trainer.data.snapshot import Preference, Snapshot
from trainer.run.checkpoints import MANIFEST, file_sha256

PRIOR_STD = 0.5
RATE = 0.03  # of learning, at its peak: an inverter goes from 1 below 0 in a fifth of 320 steps
LARGEST_ERROR = 0.98
ERRORS = "annotator_errors"  # in config.json of a reward model
NAME = "annotator_temperatures"  # of the module inside the model, for as long as it is trained


class Temperatures(nn.Module):
    """b of every annotator of a snapshot, (A,), by index.

    Args:
        annotators: index of the annotator of each vote that is trained on; NOBODY where it is nobody's own.
        others: of the votes that are only measured.
    """

    votes: Tensor

    def __init__(self, annotators: Sequence[int], others: Sequence[int] = ()) -> None:
        super().__init__()
        people = 1 + max([*annotators, *others])
        known = torch.tensor([one for one in annotators if one != NOBODY], dtype=torch.long)
        self.raw = nn.Parameter(torch.ones(people))
        self.register_buffer("votes", torch.bincount(known, minlength=people).float(), persistent=False)
        self.trained = len(annotators)

    def values(self) -> Tensor:
        """b of each annotator, shape (A,), with a mean of |b| over their votes of 1."""
        size = (self.votes * self.raw.abs()).sum() / self.votes.sum()
        return self.raw / size

    def forward(self, annotator: Tensor) -> Tensor:
        """b of the annotator of each vote, shape (N,); 1 where it is nobody's own."""
        values = self.values()[annotator.clamp(min=0).to(self.raw.device)]
        return torch.where(annotator.to(self.raw.device) == NOBODY, 1.0, values)

    def penalty(self) -> Tensor:
        """-log prior of all b, but for a constant, per vote: what is added to a loss that is a mean over votes."""
        return ((self.values() - 1) ** 2).sum() / (2 * PRIOR_STD**2) / self.trained

    def by_index(self) -> dict[str, float]:
        """b of each annotator for result.json."""
        return {str(index): round(value, 4) for index, value in enumerate(self.values().tolist())}


def temperatures_of(model: object) -> Temperatures | None:
    """Those that are learned with a model, None where there are none."""
    return cast("Temperatures | None", getattr(model, NAME, None))


def detach(model: nn.Module) -> Temperatures | None:
    """Take the temperatures out of a model, so that what is saved is the reward model alone."""
    found = temperatures_of(model)
    if found is not None:
        delattr(model, NAME)
    return found


class Remembered(TypedDict):
    """What a reward model remembers: errors by index of the annotator, which only this snapshot gives a meaning."""

    snapshot: str
    errors: dict[str, float]


def as_error(temperature: float) -> float:
    """The error of votes by sigmoid(b x log-odds) beside careful ones by sigmoid(log-odds), at log-odds of one.

    Returns:
        0 for b >= 1, 1/2 for b = 0, more for the opposite of what is thought; at most .98.
    """
    careful, own = _sigmoid(1.0), _sigmoid(temperature)
    return min(LARGEST_ERROR, max(0.0, (careful - own) / (2 * careful - 1)))


def remembered(found: Temperatures, snapshot: Snapshot) -> Remembered:
    """What to keep with the reward model."""
    errors = {index: round(as_error(value), 2) for index, value in found.by_index().items()}
    return {"snapshot": file_sha256(snapshot.path / MANIFEST), "errors": errors}


def with_errors(rows: Sequence[Preference], snapshot: Snapshot, reward_model: Path) -> list[Preference]:
    """The rows with the errors of their annotators, if the reward model learned from this very snapshot."""
    config = json.loads((reward_model / "config.json").read_text(encoding="utf-8"))
    kept: Remembered | None = config.get("touchstone", {}).get(ERRORS)
    if kept is None or kept["snapshot"] != file_sha256(snapshot.path / MANIFEST):
        return list(rows)
    return [replace(row, error=row.error or kept["errors"].get(str(row.annotator), 0.0)) for row in rows]


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
