"""Configs of the stages that train an encoder: masked language modeling, classification, marking of spans."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.configs.setting import Adapting, Checkpointing, setting


@dataclass(frozen=True)
class EncoderShape:
    """The ModernBERT-shaped encoder made from scratch. Unused with `base_model`.

    Attributes:
        hidden_size, layers, heads, intermediate_size: heads divides hidden_size into even parts.
        context_length: longest sequence the model is made for, tokens, 16 to 131,072.
    """

    hidden_size: int = setting(96, low=8, high=16384)
    layers: int = setting(2, low=1, high=128)
    heads: int = setting(4, low=1, high=128)
    intermediate_size: int = setting(192, low=8, high=65536)
    context_length: int = setting(256, low=16, high=131072)


@dataclass(frozen=True)
class EncoderTraining(Checkpointing):
    """What the three stages share.

    Attributes:
        batch_size: texts in one step. accumulate: steps of backward to one of the optimizer.
        max_length: tokens of a text read at once, at most context_length; >= 8.
        learning_rate: peak, > 0, null by size, reached after warmup_ratio of the steps, then linear to zero.
        weight_decay: >= 0. max_grad_norm: gradient clipping, > 0.
        evaluations: how often the selection split is measured, >= 1.
        samples: texts shown as training goes, 0 to 16.
    """

    batch_size: int = setting(32, low=1)
    accumulate: int = setting(1, low=1)
    max_length: int = setting(128, low=8, high=131072)
    learning_rate: float | None = setting(1e-3, above=0, high=1)
    warmup_ratio: float = setting(0.05, low=0, high=0.5)
    weight_decay: float = setting(0.01, low=0, high=1)
    max_grad_norm: float = setting(1.0, above=0)
    evaluations: int = setting(6, low=1)
    samples: int = setting(4, low=0, high=16)


@dataclass(frozen=True)
class MLMConfig(EncoderTraining, EncoderShape):
    """Masked language modeling, from scratch or continued.

    Attributes:
        steps: optimizer steps, >= 1.
        mask_share: share of the tokens that are to be guessed, in (0, 0.9]; of them 80 % are masked, 10 % become
            another token, 10 % stay (Devlin et al. 2019, section 3.1).
        heldout_documents: texts, or windows of longer ones, of the selection split used for the held-out loss, >= 1.
    """

    steps: int = setting(800, low=1)
    learning_rate: float | None = setting(2e-3, above=0, high=1)
    mask_share: float = setting(0.15, above=0, high=0.9)
    heldout_documents: int = setting(256, low=1)


@dataclass(frozen=True)
class LabelTraining(EncoderTraining, Adapting):
    """What classification and marking of spans share.

    Attributes:
        epochs: passes over the labeled texts, > 0.
        token_dropout: share of the tokens replaced by the mask token in training, 0 to 0.9, drawn anew at each pass.
        choose_best: hand back the weights with the lowest loss on selection rather than the last ones.
        scheme: label scheme to learn; may be empty when the snapshot holds one only.
        baseline: train a baseline on the same rows and report it beside.
    """

    epochs: float = setting(6.0, above=0, high=1000)
    token_dropout: float = setting(0.1, low=0, high=0.9)
    choose_best: bool = setting(True)
    scheme: str = setting("")
    baseline: bool = setting(True)


@dataclass(frozen=True)
class ClassifyConfig(LabelTraining, EncoderShape):
    """Classes of whole texts: one each, or several where the scheme allows `many`."""


@dataclass(frozen=True)
class TagConfig(LabelTraining, EncoderShape):
    """Labels of spans of characters, learned as B, I and O of tokens.

    Attributes:
        span_swap: share of the marked spans replaced in training by others of the same label, 0 to 1, drawn anew at
            each pass.
    """

    epochs: float = setting(16.0, above=0, high=1000)
    token_dropout: float = setting(0.2, low=0, high=0.9)
    evaluations: int = setting(8, low=1)
    span_swap: float = setting(0.3, low=0, high=1)
