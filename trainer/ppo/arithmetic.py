"""The arithmetic of PPO on tokens: pure functions, no model and no state.

Notation used for tensor shapes:
    - B: completions in the batch
    - C: length of the longest completion, in tokens; shorter ones are padded on the right

`is_answer` (B, C) is True on tokens the policy chose: everything up to and including the first end-of-sequence token.
Position t of every (B, C) tensor is about choosing token t: `log_probs[t]` is its log-probability given what came
before, `values[t]` predicts the return from before it was chosen. Logarithms are natural, so KL is in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

DUAL_CLIP = 3.0  # a token of negative advantage counts at most so much of it
LOG_RATIO_BOUND = 20.0  # nats; exp of 89 is no float32 any more


def same(total: Tensor) -> Tensor:
    """The sum over all processes when there is one process. The trainer passes its own all-reduce instead."""
    return total


def answer_mask(completion_ids: Tensor, eos_token_ids: list[int], lengths: Tensor) -> Tensor:
    """True on every token up to and including the first end-of-sequence token.

    Args:
        completion_ids: shape (B, C).
        eos_token_ids: ids that end a completion.
        lengths: tokens that were sampled, before any padding, shape (B,).

    Returns:
        Boolean mask, shape (B, C). What a sampler put after the end of the sequence is False.
    """
    is_eos = torch.isin(completion_ids, torch.tensor(eos_token_ids, device=completion_ids.device))
    ended_before = is_eos.long().cumsum(dim=1) - is_eos.long() > 0  # (B, C) an earlier token ended the sequence
    positions = torch.arange(completion_ids.size(1), device=completion_ids.device)
    return ~ended_before & (positions < lengths.unsqueeze(1))


def score_with_eos_rule(scores: Tensor, has_eos: Tensor, missing_eos_score: float) -> Tensor:
    """Give completions that never ended a fixed low score, whatever the reward model says of them.

    Args:
        scores: reward of each completion, shape (B,).
        has_eos: True where the completion ends by itself, shape (B,).
        missing_eos_score: the fixed score; choose it below what the reward model gives to bad but finished text.

    Returns:
        Scores, shape (B,).

    Source: Huang et al. 2024, "The N+ implementation details of RLHF with PPO", detail "EOS trick".
    """
    return torch.where(has_eos, scores, torch.full_like(scores, missing_eos_score))


def token_rewards(scores: Tensor, log_ratios: Tensor, is_answer: Tensor, kl_coef: float) -> Tensor:
    """Reward of each token: a KL penalty on every one, and the completion's score on its last.

    The penalty is the k1 estimator, log π_θ(token) - log π_ref(token), so that the rewards of a completion sum to
    score - kl_coef · Σ log_ratio. The score stands on the last answer token itself (the end of sequence), a position
    the policy chose and is trained on.

    Args:
        scores: shape (B,).
        log_ratios: log π_θ - log π_ref of the sampled tokens under the policy that sampled them, shape (B, C).
        is_answer: shape (B, C). A row without any answer token gets no reward at all.
        kl_coef: weight β of the penalty, >= 0.

    Returns:
        Rewards, shape (B, C), zero outside `is_answer`.

    Source: Ouyang et al. 2022, eq. 2, with the penalty spread over tokens as in Ziegler et al. 2019.
    """
    rewards = torch.where(is_answer, -kl_coef * log_ratios, torch.zeros_like(log_ratios))
    last = is_answer.long().sum(dim=1) - 1  # (B,)
    rows = torch.nonzero(last >= 0).squeeze(1)
    rewards[rows, last[rows]] += scores[rows]
    return rewards


def adapted_kl_coef(kl_coef: float, kl: float, target: float, gain: float) -> float:
    """The coefficient of the next iteration: larger while KL is above its target, smaller while below.

    e = clamp(kl / target - 1, -0.2, 0.2); the coefficient is multiplied by 1 + gain * e.

    Args:
        kl_coef: of this iteration, >= 0; 0 stays 0.
        kl: mean KL of this iteration's completions, nats per completion.
        target: nats per completion, > 0.
        gain: K_β, in (0, 1]; 0.1 in the paper.

    Source: Ziegler et al. 2019, section 2.2.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return kl_coef * (1 + gain * error)


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    is_answer: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    last_values: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation over the answer tokens of each completion.

    δ_t = r_t + γ V_{t+1} - V_t and A_t = Σ_k (γλ)^k δ_{t+k}, where the value after a completion's last token is 0
    unless `last_values` says otherwise. λ = 1 gives A_t = return - V_t.

    Args:
        rewards: shape (B, C).
        values: V_t, the prediction made before token t is chosen, shape (B, C).
        is_answer: shape (B, C); True on one run of tokens from the start of each row.
        gamma: discount, in [0, 1].
        lam: trace decay λ, in [0, 1].
        last_values: value of the state after the last token, shape (B,), for completions that were cut off and would
            have gone on. None means that every completion is over, which holds when cut ones get a fixed score.

    Returns:
        (advantages, returns), each (B, C) and zero outside `is_answer`; returns = advantages + values are what the
        critic learns. Longer padding changes nothing.

    Source: Schulman et al. 2016, eq. 11 to 16.
    """
    rewards, values = rewards * is_answer, values * is_answer
    advantages = torch.zeros_like(rewards)
    next_advantage = rewards.new_zeros(rewards.size(0))
    next_value = rewards.new_zeros(rewards.size(0)) if last_values is None else last_values
    for t in range(rewards.size(1) - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = delta + gamma * lam * next_advantage
        is_real = is_answer[:, t]
        # On padding both are carried on unchanged, so that the last real token sees what follows the completion.
        next_advantage = torch.where(is_real, advantage, next_advantage)
        next_value = torch.where(is_real, values[:, t], next_value)
        advantages[:, t] = torch.where(is_real, advantage, torch.zeros_like(advantage))
    return advantages, (advantages + values) * is_answer


def masked_mean(values: Tensor, is_counted: Tensor, total: Callable[[Tensor], Tensor] = same) -> Tensor:
    """Mean of the counted entries over all processes, scalar; 0 when nothing is counted.

    Args:
        values: any shape.
        is_counted: boolean, the same shape.
        total: sums a tensor over all processes.
    """
    counted = torch.where(is_counted, values, torch.zeros_like(values))
    sums = total(torch.stack([counted.sum(), is_counted.sum().to(values.dtype)]))
    return sums[0] / sums[1].clamp(min=1)


def masked_deviation(values: Tensor, is_counted: Tensor, total: Callable[[Tensor], Tensor] = same) -> Tensor:
    """Standard deviation over the entries that count, of all processes; denominator n. Arguments as `masked_mean`'s."""
    mean = masked_mean(values, is_counted, total)
    return masked_mean((values - mean) ** 2, is_counted, total).sqrt()


def whiten(
    values: Tensor, is_counted: Tensor, *, shift_mean: bool = True, total: Callable[[Tensor], Tensor] = same
) -> Tensor:
    """Scale the counted entries of the whole batch to standard deviation 1, and their mean to 0.

    Args:
        values: shape (B, C).
        is_counted: shape (B, C).
        shift_mean: False keeps the mean where it was.
        total: sums a tensor over all processes, so that all of them whiten with the same two numbers.

    Returns:
        Shape (B, C), zero where not counted. All entries equal (or only one) gives 0, or the mean if it is kept:
        never NaN.

    Source: Huang et al. 2024, detail "advantage whitening"; variance with denominator n, as there.
    """
    mean = masked_mean(values, is_counted, total)
    variance = masked_mean((values - mean) ** 2, is_counted, total)
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    if not shift_mean:
        whitened = whitened + mean
    return torch.where(is_counted, whitened, torch.zeros_like(whitened))


class PolicyLoss(NamedTuple):
    """Clipped policy loss of a micro-batch, and sums over its tokens for the log.

    Attributes:
        loss: scalar, with gradient.
        clipped: tokens whose gradient the clip removed, a count.
        approx_kl: Σ of k3 = ratio - 1 - log ratio, an estimate of KL(old ‖ new) that is never negative, nats.
        ratio_deviation: greatest |ratio - 1|.
    """

    loss: Tensor
    clipped: Tensor
    approx_kl: Tensor
    ratio_deviation: Tensor


def policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, is_answer: Tensor, *, clip: float, tokens: Tensor
) -> PolicyLoss:
    """PPO's pessimistic surrogate: the larger of the plain and the clipped loss, token by token.

    L = Σ max(-A · ratio, -A · clamp(ratio, 1 - clip, 1 + clip)) / tokens, ratio = exp(log π_new - log π_old). Where the
    clipped branch is chosen and constant, the gradient is exactly zero. Where A < 0 that maximum has no bound; it is
    held at -A · DUAL_CLIP, and the log-ratio within ±LOG_RATIO_BOUND, so that the loss stays finite.

    Args:
        log_probs: under the policy being trained, shape (B, C), with gradient.
        old_log_probs: under the policy that sampled, shape (B, C).
        advantages: shape (B, C).
        is_answer: shape (B, C).
        clip: ε, > 0.
        tokens: answer tokens of the whole minibatch, scalar. Dividing by the minibatch's count and not by the
            micro-batch's makes the gradient independent of how the minibatch was split.

    Source: Schulman et al. 2017, eq. 7; Ye et al. 2020, section 4.4 (dual clip).
    """
    log_ratios = torch.where(is_answer, log_probs - old_log_probs, torch.zeros_like(log_probs))
    log_ratios = log_ratios.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    ratios = log_ratios.exp()
    plain = -advantages * ratios
    clipped = -advantages * ratios.clamp(1 - clip, 1 + clip)
    per_token = torch.maximum(plain, clipped)
    bound = -advantages * DUAL_CLIP
    is_bounded = (advantages < 0) & (per_token > bound)
    per_token = torch.where(is_bounded, bound, per_token)
    with torch.no_grad():
        is_clipped = ((clipped > plain) | is_bounded) & is_answer
        k3 = torch.where(is_answer, ratios - 1 - log_ratios, torch.zeros_like(ratios))
    return PolicyLoss(
        loss=torch.where(is_answer, per_token, torch.zeros_like(per_token)).sum() / tokens,
        clipped=is_clipped.sum(),
        approx_kl=k3.sum(),
        ratio_deviation=(ratios.detach() - 1).abs().max() if ratios.numel() else ratios.new_zeros(()),
    )


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, is_answer: Tensor, *, clip: float, tokens: Tensor
) -> Tensor:
    """Half the squared error of the critic, the larger of plain and clipped, token by token.

    The clipped prediction may leave `old_values` by at most `clip`; taking the larger error stops the critic from
    gaining by moving further than that in one update.

    Args:
        values: predictions being trained, shape (B, C), with gradient.
        old_values: predictions at the time of sampling, shape (B, C).
        returns: targets, shape (B, C).
        is_answer: shape (B, C).
        clip: greatest step of a prediction, in units of reward, > 0.
        tokens: answer tokens of the whole minibatch, scalar.

    Returns:
        Scalar with gradient.

    Source: Ziegler et al. 2019, reference code; Huang et al. 2024, detail "value function clipping".
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    error = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return 0.5 * torch.where(is_answer, error, torch.zeros_like(error)).sum() / tokens


def explained_variance(
    values: Tensor, returns: Tensor, is_answer: Tensor, total: Callable[[Tensor], Tensor] = same
) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over answer tokens: 1 is a perfect critic, 0 one that knows the mean.

    Args:
        values, returns, is_answer: shape (B, C).
        total: sums a tensor over all processes.

    Returns:
        Scalar <= 1; 0 when the returns do not vary.
    """

    def variance(entries: Tensor) -> Tensor:
        mean = masked_mean(entries, is_answer, total)
        return masked_mean((entries - mean) ** 2, is_answer, total)

    spread = variance(returns)
    if float(spread) < 1e-12:
        return torch.zeros_like(spread)
    return 1 - variance(returns - values) / spread


def token_log_probs(logits: Tensor, token_ids: Tensor, temperature: float) -> Tensor:
    """Log-probability of each token under softmax(logits / temperature), the distribution it was sampled from.

    Args:
        logits: shape (B, C, vocabulary); position t predicts token t.
        token_ids: shape (B, C).
        temperature: as in sampling, > 0.

    Returns:
        Shape (B, C), float32.
    """
    scaled = logits.float() / temperature
    chosen = scaled.gather(-1, token_ids.unsqueeze(-1)).squeeze(-1)
    return chosen - torch.logsumexp(scaled, dim=-1)


def token_entropy(logits: Tensor, temperature: float) -> Tensor:
    """Entropy of softmax(logits / temperature) at each position, nats, shape (B, C) from (B, C, vocabulary)."""
    log_probs = torch.log_softmax(logits.float() / temperature, dim=-1)
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def prompt_order(prompts: int, first: int, count: int, seed_of: Callable[[int], int]) -> list[int]:
    """Which prompts stand at places first … first + count - 1 of an endless order of fresh shuffles.

    Args:
        prompts: how many there are, > 0.
        first: place of the first one requested, >= 0.
        count: how many places.
        seed_of: seed of the n-th shuffle. The order follows from place and seed alone, so a run that starts again in
            the middle sees the prompts it would have seen.

    Returns:
        `count` indices in [0, prompts); every prompt once in each shuffle.
    """
    order: list[int] = []
    for shuffle in range(first // prompts, (first + count - 1) // prompts + 1):
        generator = torch.Generator().manual_seed(seed_of(shuffle))
        order += torch.randperm(prompts, generator=generator).tolist()
    start = first % prompts
    return order[start : start + count]
