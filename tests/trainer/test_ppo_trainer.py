"""PPO on TRL's machinery: what a rollout holds, what an update does, and what it must never depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from trainer.configs.online import PPOConfig
from trainer.errors import RunDiverged
from trainer.modeling.loading import load_classifier, load_policy
from trainer.modeling.reward_model import RewardModel
from trainer.modeling.reward_scoring import Scores
from trainer.ppo import arithmetic
from trainer.ppo.critics import make_critic, remove_critic
from trainer.ppo.rollouts import Rollout, answer_log_probs, lay_out
from trainer.ppo.trainer import PPOTrainer

PROMPTS = [[10, 11, 12], [20, 21], [30, 31, 32, 33, 34], [40]]
SMALL = {"iterations": 2, "rollout_batch": 8, "max_new_tokens": 6, "micro_batch": 8, "learning_rate": 0.01}

Make = Callable[..., PPOTrainer]


def length_score(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([float(sum(ids) % 7) / 3 - 1 for ids in completions])


@pytest.fixture
def make(base_folder: Path, reward_folder: Path, tokenizer: Any, tmp_path: Path) -> Make:
    """make(score=…, config overrides…): a PPO trainer on the micro models."""

    def made(
        score: Any = length_score, seed: int = 0, after: Any = None, dropout: float = 0.0, **values: Any
    ) -> PPOTrainer:
        policy, reference = load_policy(base_folder, tokenizer), load_policy(base_folder, tokenizer)
        if dropout:
            for model in (policy, reference):
                model.config.attention_dropout = dropout
        reward = RewardModel(load_classifier(reward_folder, tokenizer), tokenizer, mean=0.1, std=0.7)
        config = PPOConfig(**{**SMALL, **values})
        return PPOTrainer(
            policy,
            reference,
            make_critic(config, policy, reward.requires_grad_(False)),
            lambda prompts, completions: Scores({"model": score(prompts, completions)}),
            tokenizer,
            PROMPTS,
            config,
            seed,
            tmp_path / "checkpoints",
            after or (lambda iteration, metrics: None),
        )

    return made


def parameters_hash(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def test_01_ratio_is_one_before_any_update_and_kl_zero(make: Make) -> None:
    seen: list[dict[str, float]] = []
    make(after=lambda _, metrics: seen.append(metrics), learning_rate=1e-12, iterations=3).train()
    for metrics in seen:
        assert metrics["first_ratio_deviation"] < 1e-4
        assert metrics["clip_fraction"] == 0
        assert metrics["approx_kl"] < 1e-8
        assert abs(metrics["kl"]) < 1e-4
    assert seen[0]["kl"] == 0


def test_the_first_minibatch_is_on_policy_and_later_ones_are_not(make: Make) -> None:
    seen: list[dict[str, float]] = []
    make(after=lambda _, metrics: seen.append(metrics), iterations=3).train()
    assert all(metrics["first_ratio_deviation"] < 1e-4 for metrics in seen)
    assert all(metrics["approx_kl"] > 0 for metrics in seen)
    assert seen[-1]["kl"] > 0


def test_06_the_reference_never_moves_and_the_policy_does(make: Make) -> None:
    trainer = make()
    before, policy = parameters_hash(trainer.reference), parameters_hash(trainer.policy)
    trainer.train()
    assert parameters_hash(trainer.reference) == before
    assert parameters_hash(trainer.policy) != policy


def test_06_kl_is_watched_without_a_penalty(make: Make) -> None:
    seen: list[dict[str, float]] = []
    make(after=lambda _, metrics: seen.append(metrics), kl_coef=0.0, iterations=3).train()
    assert seen[0]["kl"] == 0 and seen[2]["kl"] != 0
    assert seen[2]["reward"] == pytest.approx(seen[2]["score"])


def test_the_coefficient_follows_kl_and_enters_the_reward(make: Make) -> None:
    seen: list[dict[str, float]] = []
    make(after=lambda _, figures: seen.append(dict(figures)), iterations=4, kl_target=1e-3, kl_gain=0.5).train()
    assert [one["kl_coef"] for one in seen[:2]] == pytest.approx([0.1, 0.1 * 0.9])  # KL 0 is under the target
    for before, one in pairwise(seen):
        expected = arithmetic.adapted_kl_coef(before["kl_coef"], before["kl"], 1e-3, 0.5)
        assert one["kl_coef"] == expected
        assert one["reward"] == pytest.approx(one["score"] - expected * one["kl"], abs=1e-5)
    assert seen[3]["kl_coef"] != seen[1]["kl_coef"]


@pytest.mark.parametrize("critic", ["top", "separate", "shared"])
def test_16_the_critic_explains_most_of_the_variance_after_ten_iterations(
    make: Make, monkeypatch: pytest.MonkeyPatch, critic: str
) -> None:
    """Scores that follow from the prompt, which every state holds."""
    monkeypatch.setattr("trainer.ppo.arithmetic.score_with_eos_rule", lambda scores, *_: scores)
    seen: list[dict[str, float]] = []
    make(
        score=lambda prompts, completions: torch.tensor([len(ids) - 2.75 for ids in prompts]),
        after=lambda _, figures: seen.append(figures),
        critic=critic,
        iterations=11,
        rollout_batch=32,
        micro_batch=32,
    ).train()
    assert seen[0]["explained_variance"] < 0.2
    assert seen[10]["explained_variance"] > 0.5


def test_no_figure_of_a_completion_depends_on_its_siblings(make: Make) -> None:
    """The same completions with all other rows replaced: log-probs, values, scores and plain advantages stay."""
    trainer = make()
    seeds = list(range(8))
    mixed = trainer.collect([PROMPTS[n % 4] for n in range(8)], seeds)
    alone = trainer.collect([PROMPTS[0]], seeds[:1])
    siblings = trainer.collect([PROMPTS[0]] * 4, [0, 91, 92, 93])
    length = int(alone.is_answer[0].sum())
    for other in (mixed, siblings):
        assert other.completion(0) == alone.completion(0)
        assert float(other.scores[0]) == float(alone.scores[0])
        for name in ("log_probs", "ref_log_probs", "values", "entropy"):
            torch.testing.assert_close(
                getattr(other, name)[0, :length], getattr(alone, name)[0, :length], atol=1e-5, rtol=1e-5
            )


def test_whitening_is_the_only_thing_rows_share(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One completion's score changes; before whitening no advantage of another row may move."""
    monkeypatch.setattr("trainer.ppo.arithmetic.whiten", lambda advantages, *_, **__: advantages)
    monkeypatch.setattr("trainer.ppo.arithmetic.score_with_eos_rule", lambda scores, *_: scores)

    def changed(prompts: Any, completions: Any) -> Tensor:
        scores = length_score(prompts, completions)
        scores[0] += 5
        return scores

    one, other = make().training_rollout(0), make(score=changed).training_rollout(0)
    assert not torch.equal(one.advantages[0], other.advantages[0])
    assert torch.equal(one.advantages[1:], other.advantages[1:])


def test_02_a_row_reads_the_same_alone_and_padded_on_either_side(make: Make, tokenizer: Any) -> None:
    """Policy, reference and critic."""
    trainer = make()
    prompt, completion = PROMPTS[1], [50, 51, tokenizer.eos_token_id]

    def figures(prompts: list[list[int]], completions: list[list[int]]) -> tuple[Tensor, Tensor]:
        rollout = lay_out(
            prompts,
            completions,
            torch.zeros(len(prompts)),
            pad_id=tokenizer.pad_token_id,
            eos_ids=[tokenizer.eos_token_id],
            missing_eos_score=0.0,
        )
        inputs, length = rollout.inputs(torch.arange(len(prompts)))
        with torch.no_grad():
            log_probs, values, _ = trainer.policy(**inputs, answer_length=length)
        return log_probs[0, :3], values[0, :3]

    alone = figures([prompt], [completion])
    for more_prompts, more_completions in (
        ([[60] * 15], [[61, 62]]),  # padded on the left
        ([[60]], [[61] * 20]),  # padded on the right
        ([[60] * 15], [[61] * 20]),
    ):
        padded = figures([prompt, *more_prompts], [completion, *more_completions])
        for one, other in zip(alone, padded, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_07_log_probs_are_those_the_sampler_drew_from(make: Make) -> None:
    """At temperature 0.7 the log-prob of each sampled token is that of the tempered softmax."""
    trainer = make(temperature=0.7)
    rollout = trainer.collect([PROMPTS[0]], [3])
    ids = rollout.completion(0)
    with torch.no_grad():
        logits = trainer.policy(input_ids=torch.tensor([PROMPTS[0] + ids])).logits[0, len(PROMPTS[0]) - 1 : -1]
    expected = torch.log_softmax(logits / 0.7, dim=-1)[torch.arange(len(ids)), torch.tensor(ids)]
    torch.testing.assert_close(rollout.log_probs[0, : len(ids)], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("critic", ["top", "separate"])
def test_09_and_16_values_stand_before_the_token_and_start_as_the_reward_model(
    make: Make, reward_folder: Path, tokenizer: Any, critic: str
) -> None:
    """V_t is the normalized reward model's reading of everything before token t."""
    trainer = make(critic=critic)
    rollout = trainer.collect([PROMPTS[0]], [3])
    reward: Any = load_classifier(reward_folder, tokenizer)
    ids = rollout.completion(0)
    for t in range(len(ids)):
        prefix = torch.tensor([PROMPTS[0] + ids[:t]])
        with torch.no_grad():
            raw = reward.score(reward.base_model(prefix).last_hidden_state[:, -1])
        assert float(rollout.values[0, t]) == pytest.approx((float(raw) - 0.1) / 0.7, abs=1e-4)


def test_09_a_critic_on_the_policys_trunk_reads_its_states_and_learns(
    make: Make, base_folder: Path, tokenizer: Any
) -> None:
    """It knows nothing at first; then its value is its head on the policy's state before the token, and errs less."""
    seen: list[dict[str, float]] = []
    trainer = make(critic="shared", iterations=12, after=lambda iteration, metrics: seen.append(metrics))
    assert not trainer.collect([PROMPTS[0]], [3]).values.any()
    trainer.train()
    assert seen[-1]["value_loss"] < seen[0]["value_loss"]

    rollout = trainer.collect([PROMPTS[0]], [3])
    head = trainer.critic.head
    remove_critic(trainer.policy)
    for t in range(len(rollout.completion(0))):
        prefix = torch.tensor([PROMPTS[0] + rollout.completion(0)[:t]])
        with torch.no_grad():
            expected = head(trainer.policy.base_model(prefix).last_hidden_state[:, -1])
        assert float(rollout.values[0, t]) == pytest.approx(float(expected), abs=1e-4)
    assert trainer.policy.state_dict().keys() == load_policy(base_folder, tokenizer).state_dict().keys()


def test_09_the_top_critic_learns_in_its_layers_alone_from_states_read_once(make: Make) -> None:
    """Layers below, and the reward model that scores, stay as they are; what was held is what is read anew."""
    trainer = make(critic="top", iterations=3)
    critic: Any = trainer.critic
    (whole,) = critic.whole
    before, names = parameters_hash(whole), [name for name, _ in critic.named_parameters()]
    assert {name.split(".")[2] for name in names if "layers" in name} == {"0"}  # one of two
    assert "head.weight" in names and not any("embed" in name for name in names)
    trainer.train()
    assert parameters_hash(whole) == before
    learned, first = critic.trunk.layers[0].state_dict(), whole.layers[-1].state_dict()
    assert all(not torch.equal(learned[name], first[name]) for name in first)

    rollout = trainer.collect(PROMPTS, [1, 2, 3, 4])
    for rows in (torch.tensor([0, 3]), torch.tensor([2]), torch.arange(4)):
        inputs, length = rollout.inputs(rows)
        held = rollout.kept_states(rows, inputs["input_ids"].size(1))
        with torch.no_grad():
            values, anew = critic(length, held, **inputs), critic(length, **inputs)
        is_answer = rollout.is_answer[rows, :length]
        torch.testing.assert_close(values[is_answer], anew[is_answer], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(values[is_answer], rollout.values[rows, :length][is_answer], atol=1e-5, rtol=1e-5)


def test_14_tokens_after_the_end_change_nothing(tokenizer: Any) -> None:
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id

    def laid_out(tail: list[int]) -> Rollout:
        return lay_out([[5, 6]], [[7, end, *tail]], torch.zeros(1), pad_id=pad, eos_ids=[end], missing_eos_score=-3.0)

    clean, dirty = laid_out([]), laid_out([8, 9, end])
    assert clean.completion(0) == dirty.completion(0) == [7, end]
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            clean.inputs(torch.tensor([0]))[0].values(), dirty.inputs(torch.tensor([0]))[0].values(), strict=True
        )
    )


def test_13_a_completion_that_never_ends_is_scored_low_whatever_the_model_says(make: Make, tokenizer: Any) -> None:
    trainer = make(score=lambda prompts, completions: torch.full((len(prompts),), 100.0), missing_eos_penalty=2.5)
    rollout = trainer.collect([PROMPTS[n % 4] for n in range(32)], list(range(32)))
    assert not rollout.has_eos.all()
    for row in range(32):
        ended = tokenizer.eos_token_id in rollout.completion(row)
        assert bool(rollout.has_eos[row]) == ended
        assert float(rollout.scores[row]) == (100.0 if ended else -2.5)


def test_13_a_reward_for_length_does_not_end_the_ends(make: Make, tokenizer: Any) -> None:
    """A reward model that loves length, yet the policy learns to end, since only then it counts."""
    seen: list[dict[str, float]] = []
    make(
        score=lambda prompts, completions: torch.tensor([len(ids) / 12 for ids in completions]),
        after=lambda _, metrics: seen.append(metrics),
        iterations=40,
        rollout_batch=48,
        micro_batch=48,
        max_new_tokens=12,
        kl_coef=0.0,
    ).train()
    assert seen[0]["eos_rate"] < 0.3
    assert seen[-1]["eos_rate"] > 0.9


def test_15_dropout_is_off_in_training(make: Make) -> None:
    """Two forwards in train() mode are bit-equal though the config asks for dropout."""
    trainer = make(dropout=0.5)
    trainer.policy.train()
    rollout = trainer.collect([PROMPTS[0]], [3])
    inputs, length = rollout.inputs(torch.tensor([0]))
    one, other = (trainer.policy(**inputs, answer_length=length) for _ in range(2))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_18_padding_changes_no_logged_figure(make: Make) -> None:
    """Fifty more pads on every row."""
    trainer = make()
    rollout = trainer.collect([PROMPTS[n % 4] for n in range(8)], list(range(8)))
    plain = trainer.describe(rollout)
    for name in ("log_probs", "ref_log_probs", "values", "entropy", "is_answer", "completion_ids"):
        value = getattr(rollout, name)
        rubbish = torch.zeros(8, 50, dtype=value.dtype)
        setattr(rollout, name, torch.cat([value, rubbish], dim=1))
    assert trainer.describe(rollout) == pytest.approx(plain, abs=1e-6)


def test_19_gradients_do_not_depend_on_the_split_into_micro_batches(make: Make) -> None:
    """A minibatch of 8 at once, or four times 2."""
    grads = []
    for size in (8, 2):
        trainer = make(micro_batch=size, minibatches=1)
        rollout = trainer.training_rollout(0)
        trainer.rollout = rollout
        trainer.policy.zero_grad()
        for part in range(trainer.args.gradient_accumulation_steps):
            inputs = trainer._prepare_inputs({"step": part}) if part else trainer._prepare_inputs({"step": 0})
            trainer._compute_loss(trainer.policy, inputs).backward()
        grads.append([p.grad.clone() for p in trainer.policy.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) == len(list(trainer.policy.parameters()))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_17_the_optimizer_is_as_the_papers_set_it(make: Make) -> None:
    trainer = make(value_learning_rate=0.002)
    optimizer = trainer.create_optimizer()
    policy, critic = optimizer.param_groups
    assert (policy["eps"], policy["weight_decay"], policy["lr"], critic["lr"]) == (1e-5, 0.0, 0.01, 0.002)
    counted = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert counted == sum(p.numel() for p in trainer.policy.parameters())
    trainer.train()
    assert trainer.optimizer is not None and trainer.optimizer.param_groups[0]["lr"] == 0
    for name, rate in (("separate", 0.01), ("top", 0.05), ("shared", 0.2)):
        groups = make(critic=name).create_optimizer().param_groups
        assert [group["lr"] for group in groups] == [0.01, pytest.approx(rate)]


def test_17_gradients_are_clipped(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    trainer = make(max_grad_norm=1e-3)
    step = torch.optim.AdamW.step

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        for group in self.param_groups:
            norms.append(float(torch.stack([p.grad.norm() for p in group["params"] if p.grad is not None]).norm()))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    trainer.train()
    assert len(norms) == 2 * trainer.state.global_step
    assert max(norms) <= 1.001e-3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_22_a_score_that_is_no_number_ends_the_run_with_its_rows(make: Make, bad: float) -> None:

    def score(prompts: Sequence[Any], completions: Sequence[Any]) -> Tensor:
        scores = torch.zeros(len(prompts))
        scores[2] = bad
        return scores

    with pytest.raises(RunDiverged, match=r"raw_scores is not a number in rollout rows \[2\]"):
        make(score=score).train()


def test_22_weights_that_are_no_numbers_end_the_run(make: Make) -> None:
    trainer = make()
    with torch.no_grad():
        next(cast(nn.Module, trainer.policy.critic).parameters()).fill_(float("nan"))
    with pytest.raises(RunDiverged, match="values") as raised:
        trainer.train()
    assert raised.value.step == 0


def test_22_a_gradient_that_is_no_number_ends_the_run_before_the_step(make: Make) -> None:
    trainer = make()
    handle = trainer.policy.lm_head.weight.register_hook(lambda grad: grad * float("nan"))
    before = trainer.policy.lm_head.weight.detach().clone()
    with pytest.raises(RunDiverged, match="gradient"):
        trainer.train()
    handle.remove()
    assert torch.equal(trainer.policy.lm_head.weight, before)


def test_what_is_saved_is_the_policy_alone(make: Make, base_folder: Path, tokenizer: Any) -> None:
    trainer = make()
    remove_critic(trainer.policy)
    fresh = load_policy(base_folder, tokenizer)
    assert trainer.policy.state_dict().keys() == fresh.state_dict().keys()
    ids = torch.tensor([PROMPTS[0]])
    assert torch.equal(trainer.policy(ids).logits, fresh(ids).logits)


def test_21_rollouts_follow_from_the_seed_and_not_from_torchs_generator(make: Make) -> None:
    rollouts = []
    for noise in (1, 2):
        trainer = make()
        torch.manual_seed(noise)
        rollouts.append(trainer.training_rollout(1))
    assert torch.equal(rollouts[0].completion_ids, rollouts[1].completion_ids)
    other = make(seed=1).training_rollout(1)
    assert not torch.equal(other.completion_ids[:, :4], rollouts[0].completion_ids[:, :4])


def test_every_prompt_is_drawn_and_every_row_is_trained_on_once_an_epoch(make: Make) -> None:
    trainer = make()
    rollout = trainer.training_rollout(0)
    assert sorted(rollout.prompt_lengths.tolist()) == sorted(len(PROMPTS[n % 4]) for n in range(8))
    for epoch in range(2):
        rows = torch.cat([trainer.minibatch_rows(0, epoch, m) for m in range(2)])
        assert sorted(rows.tolist()) == list(range(8))
    assert trainer.minibatch_rows(0, 0, 0).tolist() != trainer.minibatch_rows(0, 1, 0).tolist()


def test_answer_logits_are_the_heads_own(base_folder: Path, tokenizer: Any) -> None:
    model = load_policy(base_folder, tokenizer)
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    with torch.no_grad():
        logits, log_probs = answer_log_probs(model.forward, 2, 1.0, input_ids=ids)
        whole = torch.log_softmax(model(ids).logits, -1)
    assert logits.shape[:2] == log_probs.shape == (1, 2)
    torch.testing.assert_close(log_probs[0], torch.stack([whole[0, 3, 7], whole[0, 4, 8]]))
