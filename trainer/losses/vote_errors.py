"""Votes that may be the wrong way round: what they cost in a loss, and what they say about a model.

An error e is the probability that a vote was cast the wrong way round beyond what careful people disagree. At e = 1/2 a
vote says nothing and has no gradient; above it, it counts as its opposite. No errors, None, is the plain loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def vote_loss(gap: Tensor, error: Tensor | None = None) -> Tensor:
    """-log((1 - e) sigmoid(gap) + e sigmoid(-gap)) of each vote, nats; where e is 0, -log sigmoid(gap) to the last bit.

    Args:
        gap: log-odds that the vote comes out as it did, any shape.
        error: e, in [0, 1), of a shape that broadcasts.

    With z = log((1 - e) / e) this is softplus(gap) - softplus(gap + z) - log e, finite for any gap. At e = 1/2, z is
    exactly 0, and the two gradients cancel to the last bit.
    """
    if error is None:
        return -nn.functional.logsigmoid(gap)
    gap = gap.to(torch.promote_types(gap.dtype, torch.float32))
    error = error.to(gap)
    is_doubted = error > 0
    doubt = torch.where(is_doubted, error, 0.5)  # where none is, a number whose logarithm is finite
    softplus = nn.functional.softplus
    doubted = softplus(gap) - softplus(gap - torch.logit(doubt)) - torch.log(doubt)
    return torch.where(is_doubted, doubted, -nn.functional.logsigmoid(gap))


def verdict_chance(log_odds: Tensor, error: Tensor | None = None) -> Tensor:
    """(1 - e) sigmoid(log_odds) + e sigmoid(-log_odds): the same mixture, for losses without a logarithm. In [0, 1]."""
    chance = torch.sigmoid(log_odds)
    if error is None:
        return chance
    error = error.to(chance)
    return error + (1 - 2 * error) * chance


def accuracy_without_errors(right: Tensor, error: Tensor | None = None, weight: Tensor | None = None) -> float:
    """How often votes without errors would agree, estimated from votes with errors; without errors, the mean of right.

    A vote agrees with probability e + (1 - 2 e) a, where a is the wanted value. Least squares over votes gives
    sum w (1 - 2 e) (right - e) / sum w (1 - 2 e)^2, in which votes of e = 1/2 have no part. Kept within 0 and 1.

    Args:
        right: 1 where the vote agrees with the model, 0 where not, 1/2 at a tie, shape (N,).
        error: e, shape (N,). weight: what each vote counts, shape (N,); None is 1.

    Returns:
        The estimate; 1/2 where no vote says anything.
    """
    if error is None and weight is None:
        return float(right.mean())
    weight = torch.ones_like(right) if weight is None else weight.to(right)
    if error is None:
        return float((right * weight).sum() / weight.sum())
    error = error.to(right)
    slope = 1 - 2 * error
    informed = float((weight * slope**2).sum())
    if informed == 0:
        return 0.5
    estimate = float((weight * slope * (right - error)).sum()) / informed
    return min(1.0, max(0.0, estimate))
