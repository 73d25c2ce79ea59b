"""Configs of the stages that learn a policy from what people preferred, without a reward model: DPO and KTO."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.configs.setting import Adapting, setting


@dataclass(frozen=True)
class PreferenceTraining(Adapting):
    """What DPO and KTO share.

    Attributes:
        epochs: passes over the rows, > 0.
        batch_size: rows in one step. accumulate: steps of backward to one of the optimizer.
        learning_rate: peak, > 0, null by size; linear to zero after warmup_ratio of the steps.
        weight_decay: >= 0. max_grad_norm: gradient clipping, > 0.
        beta: how strongly the policy is held near the base model, > 0.
        max_length: prompt and completion together, tokens; longer rows are left out and counted, >= 8.
        evaluations: how often the selection split is measured, >= 1.
        choose_best: hand back the weights with the lowest loss on selection rather than the last ones.
        samples: prompts that are answered as training goes, 0 to 16.
    """

    epochs: float = setting(1.0, above=0, high=1000)
    batch_size: int = setting(32, low=1)
    accumulate: int = setting(1, low=1)
    learning_rate: float | None = setting(1e-4, above=0, high=1)
    warmup_ratio: float = setting(0.1, low=0, high=0.5)
    weight_decay: float = setting(0.0, low=0, high=1)
    max_grad_norm: float = setting(1.0, above=0)
    beta: float = setting(0.1, above=0)
    max_length: int = setting(256, low=8)
    evaluations: int = setting(5, low=1)
    choose_best: bool = setting(True)
    samples: int = setting(4, low=0, high=16)


@dataclass(frozen=True)
class DPOConfig(PreferenceTraining):
    """Direct preference optimization on pairs.

    Attributes:
        label_smoothing: share of the pairs supposed to be labeled the wrong way round, 0 to 0.49.
    """

    label_smoothing: float = setting(0.0, low=0, high=0.49)


@dataclass(frozen=True)
class KTOConfig(PreferenceTraining):
    """Kahneman-Tversky optimization on single responses that were good or bad.

    Attributes:
        batch_size: rows in one step, >= 2, since KL is estimated from a batch's mismatched completions.
        desirable_weight, undesirable_weight: of good and bad responses in the loss, >= 0.
    """

    batch_size: int = setting(32, low=2)
    desirable_weight: float = setting(1.0, low=0)
    undesirable_weight: float = setting(1.0, low=0)
