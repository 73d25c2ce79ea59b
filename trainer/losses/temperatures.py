"""A temperature per annotator, learned with the reward model while too few votes are shared to estimate errors.

Annotator i votes by P = sigmoid(b_i x reward difference). Near 0 their votes say nothing; below 0 they count as their
opposites. A normal prior of mean 1 and standard deviation .5 holds each b_i near 1, and the mean of |b_i| over votes
is 1, since only the product with the rewards can be learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from trainer.data.columns import NOBODY

PRIOR_STD = 0.5
RATE = 0.03  # of learning, at its peak: an inverter goes from 1 below 0 in a fifth of 320 steps
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
