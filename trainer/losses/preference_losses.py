"""The losses of DPO and KTO as pure functions, with a weight and an error for each row, which TRL's lack."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.losses.vote_errors import verdict_chance, vote_loss
from trainer.modeling.reward_model import weighted


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
    error: Tensor | None = None,
) -> Tensor:
    """-(1 - e) log sigmoid(beta (chosen - rejected)) - e log sigmoid(-beta (chosen - rejected)), mean, nats.

    Args:
        chosen, rejected: log pi / pi_ref of whole completions, nats, shape (B,).
        beta: > 0. label_smoothing: e, in [0, 0.5).
        weight: what each pair counts, of mean 1 over the data, shape (B,); None is 1.
        error: of each pair, shape (B,), which makes of -log sigmoid the `vote_loss`; None is none.

    Source: Rafailov et al. 2023, equation 7.
    """
    gap = beta * (chosen - rejected)
    smooth = vote_loss(gap, error) * (1 - label_smoothing) + vote_loss(-gap, error) * label_smoothing
    return weighted(smooth, weight).mean()


def kto_loss(
    log_ratio: Tensor,
    label: Tensor,
    kl: Tensor,
    beta: float,
    desirable: float = 1.0,
    undesirable: float = 1.0,
    weight: Tensor | None = None,
    error: Tensor | None = None,
) -> Tensor:
    """Mean of w (1 - sigmoid(± beta (log_ratio - kl))), + for good responses, - for bad ones, in [0, w].

    Args:
        log_ratio: log pi / pi_ref of whole completions, nats, shape (B,). label: true is good, shape (B,).
        kl: the reference point z0 >= 0, nats, scalar. desirable, undesirable: the weights w.
        weight: what each response counts besides, of mean 1 over the data, shape (B,); None is 1.
        error: e of each verdict, shape (B,): the sigmoid becomes (1 - e) sigmoid(x) + e sigmoid(-x), as in `vote_loss`
            but for the logarithm that this loss does not take. None is none.

    Source: Ethayarajh et al. 2024, equation 8.
    """
    sign = label.float() * 2 - 1
    of_side = torch.where(label.bool(), desirable, undesirable)
    return weighted(of_side * (1 - verdict_chance(sign * beta * (log_ratio - kl), error)), weight).mean()
