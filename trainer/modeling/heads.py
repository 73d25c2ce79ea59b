"""Several heads on one reward model's trunk: what keeps them apart, and what is made of their opinions.

Notation used for tensor shapes: B rows (pairs, where it says so), H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.losses.vote_errors import vote_loss
from trainer.run.seeds import stable_seed


def combined(rewards: Tensor, how: str, spread_coef: float) -> Tensor:
    """One reward from those of all heads. Commutes with centring and (positive) scaling.

    Args:
        rewards: (B, H).
        how: "mean", "min", or "lower": mean - spread_coef x spread.
        spread_coef: >= 0.

    Returns:
        Shape (B,).

    Source: Coste et al. 2024, section 3 (worst-case and uncertainty-weighted optimization; there the variance).
    """
    if how == "min":
        return rewards.min(dim=1).values
    if how == "lower":
        return rewards.mean(dim=1) - spread_coef * spread(rewards)
    return rewards.mean(dim=1)


def spread(rewards: Tensor) -> Tensor:
    """Standard deviation over the heads, denominator H, shape (B,) from (B, H); 0 of a single head."""
    return rewards.std(dim=1, unbiased=False)


def pair_counts(pairs: int, heads: int, *seed: object) -> Tensor:
    """How often each pair counts for each head, shape (pairs, H): a bootstrap of the pairs by Poisson draws of mean 1.

    Source: Oza and Russell 2001, online bagging.
    """
    generator = torch.Generator().manual_seed(stable_seed(*seed, "pairs"))
    return torch.poisson(torch.ones(pairs, heads), generator=generator)


def step_counts(heads: int, *seed: object) -> Tensor:
    """Which heads learn from one step, shape (H,): each sits out half of the time and counts double in the rest."""
    generator = torch.Generator().manual_seed(stable_seed(*seed, "batches") % 2**63)
    return 2.0 * torch.randint(2, (heads,), generator=generator)


def heads_loss(
    chosen: Tensor,
    rejected: Tensor,
    counts: Tensor,
    margin: Tensor | None = None,
    error: Tensor | None = None,
    temperature: Tensor | None = None,
) -> Tensor:
    """Mean over pairs and heads of count x -log sigmoid(r_chosen - r_rejected - margin), nats.

    Args:
        chosen, rejected: log-odds of each head, (B, H).
        counts: (B, H) or (H,), of mean 1, so that a batch may be cut in pieces of like size without changing the loss.
        margin: (B,), log-odds >= 0; None is none.
        error: (B,), see `vote_errors`; None is none. temperature: (B,), see `temperatures`; None is 1.
    """
    gap = chosen - rejected
    if temperature is not None:
        gap = temperature.unsqueeze(1) * gap
    if margin is not None:
        gap = gap - margin.unsqueeze(1)
    if error is not None:
        error = error.unsqueeze(1)
    return (counts * vote_loss(gap, error)).mean()
