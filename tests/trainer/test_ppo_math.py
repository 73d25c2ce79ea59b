"""PPO's formulas, each against numbers worked by hand or a slow reference."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainer.ppo import arithmetic

GENERATOR_SEED = 11


def random_batch(rows: int = 6, length: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, values and a mask of random lengths, one of them 1 and one of them full."""
    generator = torch.Generator().manual_seed(GENERATOR_SEED)
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    lengths[0], lengths[1] = 1, length
    is_answer = torch.arange(length) < lengths.unsqueeze(1)
    rewards, values = torch.randn(2, rows, length, generator=generator, dtype=torch.float64)
    return rewards, values, is_answer


def slow_advantages(rewards: Tensor, values: Tensor, is_answer: Tensor, gamma: float, lam: float) -> Tensor:
    """A_t = Σ_k (γλ)^k δ_{t+k}, written out, O(T²)."""
    advantages = torch.zeros_like(rewards)
    for row in range(rewards.size(0)):
        length = int(is_answer[row].sum())
        value = [float(values[row, t]) for t in range(length)] + [0.0]
        delta = [float(rewards[row, t]) + gamma * value[t + 1] - value[t] for t in range(length)]
        for t in range(length):
            advantages[row, t] = sum((gamma * lam) ** k * delta[t + k] for k in range(length - t))
    return advantages


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (1.0, 1.0), (0.9, 0.5), (1.0, 0.0001)])
def test_10_gae_equals_the_slow_sum(gamma: float, lam: float) -> None:
    rewards, values, is_answer = random_batch()
    advantages, returns = arithmetic.generalized_advantages(rewards, values, is_answer, gamma=gamma, lam=lam)
    torch.testing.assert_close(advantages, slow_advantages(rewards, values, is_answer, gamma, lam))
    torch.testing.assert_close(returns, (advantages + values) * is_answer)


def test_10_gae_with_lambda_one_is_return_minus_value() -> None:
    rewards, values, is_answer = random_batch()
    advantages, returns = arithmetic.generalized_advantages(rewards, values, is_answer, gamma=1.0, lam=1.0)
    to_go = ((rewards * is_answer).flip(1).cumsum(1).flip(1)) * is_answer
    torch.testing.assert_close(returns, to_go)
    torch.testing.assert_close(advantages, (to_go - values) * is_answer)


def test_10_longer_padding_changes_no_advantage_even_when_it_holds_rubbish() -> None:
    rewards, values, is_answer = random_batch()
    plain, _ = arithmetic.generalized_advantages(rewards, values, is_answer)
    rubbish = torch.full((rewards.size(0), 5), 1e6, dtype=rewards.dtype)
    padded, returns = arithmetic.generalized_advantages(
        torch.cat([rewards, rubbish], 1),
        torch.cat([values, rubbish], 1),
        torch.cat([is_answer, torch.zeros_like(rubbish, dtype=torch.bool)], 1),
    )
    assert torch.equal(padded[:, :7], plain)
    assert not padded[:, 7:].any() and not returns[:, 7:].any()


def test_09_only_a_cut_completion_bootstraps_from_what_follows() -> None:
    rewards, values = torch.zeros(2, 3), torch.zeros(2, 3)
    is_answer = torch.tensor([[True, True, False], [True, True, True]])
    ended, _ = arithmetic.generalized_advantages(rewards, values, is_answer, lam=1.0)
    assert not ended.any()
    cut, _ = arithmetic.generalized_advantages(
        rewards, values, is_answer, lam=1.0, last_values=torch.tensor([0.0, 2.0])
    )
    assert cut.tolist() == [[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]]


def test_06_rewards_sum_to_score_minus_kl_and_the_score_stands_on_the_end() -> None:
    """Two completions by hand: β = 0.1, log-ratios (0.5, -0.2, 0.3) and (1, pad, pad), scores 2 and -3."""
    log_ratios = torch.tensor([[0.5, -0.2, 0.3], [1.0, 9.0, 9.0]])
    is_answer = torch.tensor([[True, True, True], [True, False, False]])
    rewards = arithmetic.token_rewards(torch.tensor([2.0, -3.0]), log_ratios, is_answer, 0.1)
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, 0.02, 1.97], [-3.1, 0.0, 0.0]]))
    torch.testing.assert_close(rewards.sum(1), torch.tensor([2.0 - 0.1 * 0.6, -3.0 - 0.1]))


def test_the_adapted_coefficient_by_hand() -> None:
    """Target 6: at 12 the error counts a fifth; at 6.6 a tenth; at 0 minus a fifth; nothing moves it from zero."""
    assert arithmetic.adapted_kl_coef(0.1, 12.0, 6.0, 0.1) == pytest.approx(0.102)
    assert arithmetic.adapted_kl_coef(0.1, 6.6, 6.0, 0.1) == pytest.approx(0.101)
    assert arithmetic.adapted_kl_coef(0.1, 0.0, 6.0, 0.5) == pytest.approx(0.09)
    assert arithmetic.adapted_kl_coef(0.0, 12.0, 6.0, 0.1) == 0


def test_08_a_better_score_raises_the_ends_advantage_by_as_much() -> None:
    rewards, values, is_answer = random_batch()
    scores, log_ratios = torch.zeros(6, dtype=rewards.dtype), torch.zeros_like(rewards)
    last = is_answer.sum(1) - 1
    made = []
    for score in (scores, scores + 1):
        given = arithmetic.token_rewards(score, log_ratios, is_answer, 0.0)
        made.append(arithmetic.generalized_advantages(given, values, is_answer, lam=1.0)[0])
    gain = made[1] - made[0]
    torch.testing.assert_close(gain[torch.arange(6), last], torch.ones(6, dtype=rewards.dtype))
    assert not gain[~is_answer].any()


def test_05_a_constant_added_to_the_reward_model_leaves_whitened_advantages() -> None:
    """With λ = 1, no KL and equal values a constant moves every advantage alike, and whitening takes it out."""
    is_answer = torch.ones(4, 3, dtype=torch.bool)
    scores = torch.tensor([0.3, -1.0, 2.0, 0.1])
    whitened = []
    for constant in (0.0, 5.0):
        rewards = arithmetic.token_rewards(scores + constant, torch.zeros(4, 3), is_answer, 0.0)
        advantages, _ = arithmetic.generalized_advantages(rewards, torch.zeros(4, 3), is_answer, lam=1.0)
        whitened.append(arithmetic.whiten(advantages, is_answer))
    torch.testing.assert_close(whitened[0], whitened[1], atol=1e-5, rtol=0)


def test_11_whitening_is_over_counted_tokens_of_the_whole_batch() -> None:
    _, values, is_answer = random_batch()
    whitened = arithmetic.whiten(values.masked_fill(~is_answer, 1e9), is_answer)
    kept = whitened[is_answer]
    assert float(kept.mean()) == pytest.approx(0, abs=1e-9)
    assert float(kept.var(unbiased=False)) == pytest.approx(1, abs=1e-6)
    assert not whitened[~is_answer].any()
    shifted = arithmetic.whiten(values, is_answer, shift_mean=False)[is_answer]
    assert float(shifted.mean()) == pytest.approx(float(values[is_answer].mean()))


def test_11_whitening_one_token_or_equal_ones_is_no_nan() -> None:
    assert arithmetic.whiten(torch.tensor([[3.0]]), torch.tensor([[True]])).tolist() == [[0.0]]
    assert not arithmetic.whiten(torch.full((2, 2), 7.0), torch.ones(2, 2, dtype=torch.bool)).any()


def whiten_total(totals: list[torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """What the processes come to together, a sum each time that it is asked."""
    replies = iter(totals)
    return lambda _: next(replies)


def test_11_whitening_uses_the_sums_of_all_processes() -> None:
    """Two processes hold half of the tokens each; both whiten as one process with all of them would."""
    values, counted = torch.tensor([[1.0, 2.0], [5.0, 8.0]]), torch.ones(2, 2, dtype=torch.bool)
    whole = arithmetic.whiten(values, counted)
    mean = 4.0
    totals = [torch.tensor([16.0, 4.0]), torch.tensor([float(((values - mean) ** 2).sum()), 4.0])]
    for row in range(2):
        total = whiten_total(totals)
        half = arithmetic.whiten(values[row : row + 1], counted[row : row + 1], total=total)
        torch.testing.assert_close(half, whole[row : row + 1])


def test_12_policy_loss_by_hand() -> None:
    """clip 0.2. Ratios 1.5, 1.5, 0.5, 0.5, 1.1 with advantages 1, -1, 1, -1, 2:
    max(-1.5, -1.2), max(1.5, 1.2), max(-0.5, -0.8), max(0.5, 0.8), -2.2 = -1.2, 1.5, -0.5, 0.8, -2.2; sum -1.6."""
    ratios = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1, 9.0]])
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 2.0, 5.0]])
    is_answer = torch.tensor([[True] * 5 + [False]])
    log_probs = ratios.log().requires_grad_()
    made = arithmetic.policy_loss(
        log_probs, torch.zeros(1, 6), advantages, is_answer, clip=0.2, tokens=torch.tensor(5.0)
    )
    assert float(made.loss.detach()) == pytest.approx(-1.6 / 5)
    assert int(made.clipped) == 2  # the first and the fourth
    made.loss.backward()
    assert log_probs.grad is not None
    assert log_probs.grad[0, 0] == 0 and log_probs.grad[0, 3] == 0 and log_probs.grad[0, 5] == 0
    assert float(log_probs.grad[0, 1]) == pytest.approx(1.5 / 5)
    expected_k3 = sum(r - 1 - math.log(r) for r in (1.5, 1.5, 0.5, 0.5, 1.1))
    assert float(made.approx_kl) == pytest.approx(expected_k3, rel=1e-5)


def test_12_a_bad_token_made_far_likelier_has_a_bounded_loss_and_no_gradient() -> None:
    """Dual clip: at ratio 5 a token of advantage -1 costs 3, not 5; at log-ratios of hundreds nothing is infinite."""
    log_probs = torch.tensor([[math.log(5.0), math.log(2.9), 300.0, -300.0]]).requires_grad_()
    advantages = torch.tensor([[-1.0, -1.0, -2.0, 4.0]])
    is_answer = torch.ones(1, 4, dtype=torch.bool)
    made = arithmetic.policy_loss(
        log_probs, torch.zeros(1, 4), advantages, is_answer, clip=0.2, tokens=torch.tensor(1.0)
    )
    assert float(made.loss.detach()) == pytest.approx(3.0 + 2.9 + 6.0, rel=1e-6)
    assert all(bool(torch.isfinite(figure)) for figure in (made.approx_kl, made.ratio_deviation))
    assert int(made.clipped) == 2  # the first and the third
    made.loss.backward()
    assert log_probs.grad is not None
    assert log_probs.grad[0].tolist() == pytest.approx([0.0, 2.9, 0.0, 0.0], abs=1e-6)


def test_12_value_loss_by_hand() -> None:
    """clip 0.2, old 0. Value 1 to return 1: plain 0, clipped (0.2 - 1)² = 0.64. Value 0.1 to return 1: 0.81 both."""
    loss = arithmetic.value_loss(
        torch.tensor([[1.0, 0.1, 50.0]]),
        torch.zeros(1, 3),
        torch.tensor([[1.0, 1.0, 0.0]]),
        torch.tensor([[True, True, False]]),
        clip=0.2,
        tokens=torch.tensor(2.0),
    )
    assert float(loss) == pytest.approx(0.5 * (0.64 + 0.81) / 2)


def test_19_losses_of_micro_batches_add_up_to_the_minibatchs() -> None:
    generator = torch.Generator().manual_seed(GENERATOR_SEED)
    new, old, advantages = torch.randn(3, 8, 5, generator=generator)
    is_answer = torch.arange(5) < torch.tensor([1, 5, 3, 2, 4, 5, 1, 2]).unsqueeze(1)
    tokens = is_answer.sum().float()

    def loss(rows: slice) -> Tensor:
        parts = (new[rows], old[rows], advantages[rows], is_answer[rows])
        return arithmetic.policy_loss(*parts, clip=0.2, tokens=tokens).loss

    torch.testing.assert_close(loss(slice(0, 8)), sum(loss(slice(i, i + 2)) for i in range(0, 8, 2)))


def test_14_what_follows_the_first_end_token_is_no_answer() -> None:
    ids = torch.tensor([[5, 1, 6, 1], [5, 6, 7, 0], [1, 1, 1, 1]])
    is_answer = arithmetic.answer_mask(ids, [1], torch.tensor([4, 3, 4]))
    assert is_answer.tolist() == [[True, True, False, False], [True, True, True, False], [True, False, False, False]]


def test_13_a_completion_without_end_gets_the_fixed_score() -> None:
    scores = arithmetic.score_with_eos_rule(torch.tensor([9.0, 9.0]), torch.tensor([True, False]), -3.0)
    assert scores.tolist() == [9.0, -3.0]


def test_07_log_probs_are_those_of_the_tempered_distribution() -> None:
    logits = torch.randn(2, 3, 11, generator=torch.Generator().manual_seed(GENERATOR_SEED))
    ids = torch.tensor([[0, 5, 10], [3, 3, 3]])
    expected = torch.log_softmax(logits / 0.7, dim=-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(arithmetic.token_log_probs(logits, ids, 0.7), expected)
    uniform = arithmetic.token_entropy(torch.zeros(1, 1, 8), 0.7)
    assert float(uniform) == pytest.approx(math.log(8))


def test_explained_variance_of_a_perfect_a_mean_and_a_wrong_critic() -> None:
    returns, counted = torch.tensor([[1.0, 2.0, 3.0, 99.0]]), torch.tensor([[True, True, True, False]])
    for values, expected in (([1.0, 2.0, 3.0, 0.0], 1.0), ([2.0, 2.0, 2.0, 0.0], 0.0), ([3.0, 2.0, 1.0, 0.0], -3.0)):
        assert float(arithmetic.explained_variance(torch.tensor([values]), returns, counted)) == pytest.approx(expected)


def test_prompt_order_follows_from_place_and_seed() -> None:
    whole = arithmetic.prompt_order(5, 0, 23, lambda n: n)
    assert sorted(whole[:5]) == sorted(whole[5:10]) == [0, 1, 2, 3, 4]
    assert arithmetic.prompt_order(5, 7, 9, lambda n: n) == whole[7:16]
