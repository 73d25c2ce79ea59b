"""Configs of the stages that learn from scores: PPO, RLOO and GRPO; and the terms that a score is made of."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.configs.setting import Adapting, setting


@dataclass(frozen=True)
class ModelTerm:
    """The reward model's reward, in standard deviations above the mean of the SFT policy's completions.

    Attributes:
        weight: what one of them counts.
    """

    weight: float = setting(1.0)


@dataclass(frozen=True)
class GuardTerm:
    """Calibrated probability that the response is of one class, 0 to 1, by the classifier in the input `guard`.

    Attributes:
        weight: what certainty counts; negative for a class that is not wanted.
        label: the class.
    """

    weight: float = setting(1.0)
    label: str = setting("safe")


@dataclass(frozen=True)
class LengthTerm:
    """Minus one for each token, the end token included, beyond a length.

    Attributes:
        weight: what a token beyond it costs, >= 0.
        target: tokens that cost nothing, >= 0.
    """

    weight: float = setting(0.05, low=0)
    target: int = setting(64, low=0)


@dataclass(frozen=True)
class FormatTerm:
    """1 for a response that ends by itself, is not blank and matches a pattern, else 0.

    Attributes:
        weight: what that counts.
        pattern: a regular expression searched for in the text; empty matches everything.
    """

    weight: float = setting(1.0)
    pattern: str = setting("")


@dataclass(frozen=True)
class Terms:
    """What a completion's score is the sum of; a term that is null is left out. KL is no term: it is apart."""

    model: ModelTerm | None = ModelTerm(1.0)
    guard: GuardTerm | None = None
    length: LengthTerm | None = None
    format: FormatTerm | None = None


DEFAULT_TERMS = Terms()
GENERATION = ("transformers", "vllm")


@dataclass(frozen=True)
class OnlineTraining(Adapting):
    """What RLOO and GRPO share: each step samples a rollout and learns from it once.

    Attributes:
        terms: what a completion's score is made of.
        steps: rollouts, each one optimizer step, >= 1.
        batch_size: completions in one backward. accumulate: backwards to a step; their product is the rollout.
        num_generations: completions to each prompt, >= 2, divides the rollout; each is judged against the others.
        learning_rate: peak, > 0, null by size, linear to zero. max_grad_norm: gradient clipping, > 0.
        beta: weight of the KL to the base model, >= 0; it is measured on the selection prompts at 0, too.
        stop_on_alarm: whether a run ends that has nothing to learn from: completions that do not end, or rewards that
            do not differ.
        reward_floor: share of selection pairs the reward model must agree with before a policy is trained against it;
            0 is off.
        missing_eos_penalty: the score of a completion without an end token, below zero by this much, >= 0.
        max_new_tokens: longest completion, tokens, >= 1. temperature: of sampling, > 0.
        generation: what writes rollouts: "transformers", or "vllm" (a GPU and its package; not run by us), with which a
            resumed run samples others than an unbroken one.
        evaluations: how often the selection prompts are answered and judged, >= 1.
        choose_best: hand back the weights with the highest selection score - beta x KL, not the last ones.
        samples: prompts that are answered as training goes, 0 to 16.
    """

    terms: Terms = DEFAULT_TERMS
    steps: int = setting(60, low=1)
    batch_size: int = setting(96, low=2)
    accumulate: int = setting(1, low=1)
    num_generations: int = setting(4, low=2)
    learning_rate: float | None = setting(5e-4, above=0, high=1)
    max_grad_norm: float = setting(1.0, above=0)
    beta: float = setting(0.05, low=0)
    stop_on_alarm: bool = setting(True)
    reward_floor: float = setting(0.55, low=0, high=1)
    missing_eos_penalty: float = setting(3.0, low=0)
    max_new_tokens: int = setting(32, low=1)
    temperature: float = setting(1.0, above=0)
    generation: str = setting("transformers", choices=GENERATION)
    evaluations: int = setting(6, low=1)
    choose_best: bool = setting(True)
    samples: int = setting(4, low=0, high=16)


@dataclass(frozen=True)
class RLOOConfig(OnlineTraining):
    """REINFORCE with the other completions of a prompt as baseline; KL enters the reward of a completion."""


@dataclass(frozen=True)
class GRPOConfig(OnlineTraining):
    """Advantages in standard deviations of their prompt's completions; KL enters the loss, per token.

    Attributes:
        loss_type: how tokens are averaged: "grpo" within each completion, then over them; "dapo" and "bnpo" over all
            tokens of the step or of the batch; "dr_grpo" by the longest completion there may be.
        scale_rewards: what advantages are divided by: the deviation of a prompt's "group", of the "batch", or "none".
        clip_high: the ratio is clipped at 1 + this from above and 1 - 0.2 from below, > 0.

    Source: Shao et al. 2024; Liu et al. 2025 (dr_grpo, no scaling); Yu et al. 2025 (dapo, clip higher).
    """

    loss_type: str = setting("grpo", choices=("grpo", "dapo", "bnpo", "dr_grpo"))
    scale_rewards: str = setting("group", choices=("group", "batch", "none"))
    clip_high: float = setting(0.2, above=0, high=1)


@dataclass(frozen=True)
class PPOConfig(Adapting):
    """Proximal policy optimization against a score; defaults after `reference`, table of canonical settings.

    Attributes:
        terms: what a completion's score is made of.
        iterations: rollouts, each followed by its updates, >= 1.
        rollout_batch: completions in one rollout, >= 2.
        ppo_epochs: passes over a rollout, >= 1. minibatches: optimizer steps in one pass, divides rollout_batch.
        learning_rate: of the policy, > 0, null by size. value_learning_rate: of the critic; None is the same, but five
            times it for the critic `top` and twenty times it for `shared`.
        schedule: of both: "linear" to zero at the last iteration, or "constant".
        reward_floor: share of selection pairs the reward model must agree with before a policy is trained against it;
            0 is off.
        kl_coef: weight of the KL penalty, per token, k1, >= 0; the first one where it is adapted.
        kl_target: nats per completion that an adaptive coefficient steers to; 0 keeps the coefficient as it is.
        kl_gain: how much the coefficient grows in an iteration, in shares of it, for a KL of twice the target; an
            error counts at most a fifth (Ziegler et al. 2019, section 2.2), in (0, 1].
        critic: "top", the last layers of the reward model, which learn, on its lower ones, which do not; "separate", a
            whole copy of the reward model, which costs as much again as the policy; or "shared", a head on the policy's
            own trunk, which costs nothing and is blind at first.
        critic_layers: how many layers learn in the critic `top`; 0 is a quarter of them, at least one.
        value_loss_weight: of the shared critic's loss beside the policy's, > 0.
        clip_range: the ratio is clipped to 1 ± this, in (0, 1). value_clip: the same for values, > 0.
        micro_batch: completions in one backward at most, >= 1; changes memory and speed, not the result.
        gamma, lam: discount and GAE trace, in (0, 1].
        missing_eos_penalty: the score of a completion without an end token, below zero by this much, >= 0.
        max_new_tokens: longest completion, tokens, >= 1. temperature: of sampling and of the log-probs, > 0.
        generation: as for `rloo` and `grpo`.
        max_grad_norm: gradient clipping, > 0. adam_eps: of Adam, > 0 (1e-5, not the library default).
        kl_budget: nats per completion beyond which the alarm `kl_budget` sounds and no weights are handed back if
            there are others; null goes by the length of the base model's completions (`trainer.ppo.kl_budget`), 0 is
            off.
        stop_on_alarm: whether an alarm that says that the policy is going wrong ends the run.
        evaluate_every: iterations between looks at the selection prompts; 0 is never.
        watched_completions: answers to the selection prompts behind each look, >= 1.
        choose_best: hand back the weights with the highest selection reward within the budget, not the last ones.
        samples: prompts that are answered as training goes, 0 to 16.
    """

    terms: Terms = DEFAULT_TERMS
    iterations: int = setting(60, low=1)
    rollout_batch: int = setting(192, low=2)
    ppo_epochs: int = setting(2, low=1)
    minibatches: int = setting(2, low=1)
    learning_rate: float | None = setting(1e-3, above=0, high=1)
    value_learning_rate: float | None = setting(None, above=0, high=1)
    schedule: str = setting("linear", choices=("linear", "constant"))
    reward_floor: float = setting(0.55, low=0, high=1)
    kl_coef: float = setting(0.1, low=0)
    kl_target: float = setting(0.0, low=0)
    kl_gain: float = setting(0.1, above=0, high=1)
    critic: str = setting("top", choices=("top", "separate", "shared"))
    critic_layers: int = setting(0, low=0)
    value_loss_weight: float = setting(1.0, above=0)
    clip_range: float = setting(0.2, above=0, high=1)
    value_clip: float = setting(0.2, above=0)
    micro_batch: int = setting(96, low=1)
    gamma: float = setting(1.0, above=0, high=1)
    lam: float = setting(0.95, above=0, high=1)
    missing_eos_penalty: float = setting(3.0, low=0)
    max_new_tokens: int = setting(32, low=1)
    temperature: float = setting(1.0, above=0)
    generation: str = setting("transformers", choices=GENERATION)
    max_grad_norm: float = setting(1.0, above=0)
    adam_eps: float = setting(1e-5, above=0)
    kl_budget: float | None = setting(None, low=0)
    stop_on_alarm: bool = setting(True)
    evaluate_every: int = setting(10, low=0)
    watched_completions: int = setting(128, low=1)
    choose_best: bool = setting(True)
    samples: int = setting(4, low=0, high=16)
