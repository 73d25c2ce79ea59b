"""Configs of the stages that learn from a reward model without a critic: RLOO and GRPO."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.setting import Checkpointing, setting


@dataclass(frozen=True)
class OnlineTraining(Checkpointing):
    """What RLOO and GRPO share: each step samples a rollout and learns from it once.

    Attributes:
        steps: rollouts, each one optimiser step, >= 1.
        batch_size: completions in one backward. accumulate: backwards to a step; their product is the rollout.
        num_generations: completions to each prompt, >= 2, divides the rollout; each is judged against the others.
        learning_rate: peak, > 0, linear to zero. max_grad_norm: gradient clipping, > 0.
        beta: weight of the KL to the base model, > 0, so that it is always measured.
        missing_eos_penalty: the reward of a completion without an end token, standard deviations below zero, >= 0.
        max_new_tokens: longest completion, tokens, >= 1. temperature: of sampling, > 0.
        evaluations: how often the selection prompts are answered and judged, >= 1.
        choose_best: hand back the weights with the highest selection score - beta x KL, not the last ones.
        samples: prompts that are answered as training goes, 0 to 16.
    """

    steps: int = setting(60, low=1)
    batch_size: int = setting(96, low=2)
    accumulate: int = setting(1, low=1)
    num_generations: int = setting(4, low=2)
    learning_rate: float = setting(5e-4, above=0, high=1)
    max_grad_norm: float = setting(1.0, above=0)
    beta: float = setting(0.05, above=0)
    missing_eos_penalty: float = setting(3.0, low=0)
    max_new_tokens: int = setting(32, low=1)
    temperature: float = setting(1.0, above=0)
    evaluations: int = setting(6, low=1)
    choose_best: bool = setting(True)
    samples: int = setting(4, low=0, high=16)


@dataclass(frozen=True)
class RLOOConfig(OnlineTraining):
    """REINFORCE with the other completions of a prompt as baseline; KL enters the reward of a completion."""


@dataclass(frozen=True)
class GRPOConfig(OnlineTraining):
    """Advantages in standard deviations of their prompt's completions; KL enters the loss, per token."""
