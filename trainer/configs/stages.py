"""Configs of the stages that have no module of their own: tokenizer, pretraining, SFT, reward model, and the jobs."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.configs.online import DEFAULT_TERMS, Terms
from trainer.configs.setting import Adapting, Checkpointing, setting

MOST_PASSES = 40.0  # over the pairs of a reward model, that `min_steps` asks for


@dataclass(frozen=True)
class TokenizerConfig:
    """A byte-level tokenizer.

    Attributes:
        algorithm: "bpe" (merges by frequency), "unigram" (likeliest pieces) or "wordpiece" (longest piece first).
        vocab_size: tokens in all, with the 256 bytes and the special tokens, 300 to 262,144.
        min_frequency: a pair becomes a token only if it occurs so often, >= 1; not used by unigram.
        max_document_chars: longer documents are cut when pieces are counted, >= 100.
    """

    algorithm: str = setting("bpe", choices=("bpe", "unigram", "wordpiece"))
    vocab_size: int = setting(1024, low=300, high=262144)
    min_frequency: int = setting(2, low=1)
    max_document_chars: int = setting(100_000, low=100)


@dataclass(frozen=True)
class PretrainConfig(Checkpointing):
    """Causal language modeling on packed blocks, from scratch or continued.

    Attributes:
        hidden_size, layers, heads, intermediate_size: the Llama-shaped model made from scratch; heads divides
            hidden_size into even parts. Unused with `base_model`.
        context_length: longest sequence the model is made for, tokens, 16 to 131,072.
        block_size: tokens in one packed block, at most context_length.
        batch_size: blocks in one step. accumulate: steps of backward to one of the optimizer.
        steps: optimizer steps, >= 1.
        learning_rate: peak, > 0, null by size, reached after warmup_ratio of the steps, then a cosine to a tenth of it.
        weight_decay: >= 0. max_grad_norm: gradient clipping, > 0.
        heldout_documents: documents of the selection split used for bits per byte, >= 1.
        evaluations: how often bits per byte is measured on the way, >= 1.
    """

    hidden_size: int = setting(64, low=8, high=16384)
    layers: int = setting(2, low=1, high=128)
    heads: int = setting(4, low=1, high=128)
    intermediate_size: int = setting(176, low=8, high=65536)
    context_length: int = setting(256, low=16, high=131072)
    block_size: int = setting(128, low=8, high=131072)
    batch_size: int = setting(32, low=1)
    accumulate: int = setting(1, low=1)
    steps: int = setting(800, low=1)
    learning_rate: float | None = setting(3e-3, above=0, high=1)
    warmup_ratio: float = setting(0.05, low=0, high=0.5)
    weight_decay: float = setting(0.01, low=0, high=1)
    max_grad_norm: float = setting(1.0, above=0)
    heldout_documents: int = setting(256, low=1)
    evaluations: int = setting(4, low=1)


@dataclass(frozen=True)
class SFTConfig(Adapting):
    """Imitation of demonstrations; the loss is on the completion and its end token only.

    Attributes:
        epochs: passes over the demonstrations, > 0.
        batch_size: demonstrations in one step. accumulate: steps of backward to one of the optimizer.
        learning_rate: peak, > 0, null by size; linear to zero after warmup_ratio of the steps.
        weight_decay: >= 0. max_grad_norm: gradient clipping, > 0.
        max_length: prompt and completion together, tokens; longer completions are cut, >= 8.
        evaluations: how often the loss on the selection split is measured, >= 1.
        choose_best: hand back the weights with the lowest loss on selection rather than the last ones.
        samples: prompts that are answered as training goes, 0 to 16.
    """

    epochs: float = setting(3.0, above=0, high=1000)
    batch_size: int = setting(32, low=1)
    accumulate: int = setting(1, low=1)
    learning_rate: float | None = setting(1e-3, above=0, high=1)
    warmup_ratio: float = setting(0.05, low=0, high=0.5)
    weight_decay: float = setting(0.0, low=0, high=1)
    max_grad_norm: float = setting(1.0, above=0)
    max_length: int = setting(256, low=8)
    evaluations: int = setting(5, low=1)
    choose_best: bool = setting(True)
    samples: int = setting(4, low=0, high=16)


@dataclass(frozen=True)
class RewardConfig(Adapting):
    """A scalar model of preference, Bradley-Terry.

    Attributes:
        epochs: passes over the pairs, > 0.
        min_steps: with few pairs so many more passes that there are this many steps, 40 passes at most; 0 is off. It
            has no part where no selection split chooses the weights.
        restarts: trainings that differ in their seed, of which the one with the lowest selection loss is handed back;
            one where there is no selection split. More than one shows how far trainings differ; on 2,000 labels the one
            chosen so is no better than the first.
        batch_size: pairs in one step; pairs that share a response of a prompt stay in one batch.
        accumulate: steps of backward to one of the optimizer.
        learning_rate: peak, > 0, null by size; cosine to zero after warmup_ratio of the steps.
        weight_decay: >= 0. max_grad_norm: gradient clipping, > 0.
        margin_scale: log-odds requested beyond zero of a pair of strength 3; strengths 0 to 3 ask for 0, 1/3, 2/3, 1
            times it. 0 is off.
        center_coef: weight of the penalty on (chosen + rejected reward) squared, >= 0; 0 is off.
        max_length: prompt and completion together, tokens; longer pairs are left out and counted, >= 8.
        evaluations: how often accuracy on the selection split is measured, >= 1.
        patience: stop after so many measurements without a better selection loss; 0 never stops early.
        normalise_samples: completions sampled from the base model to center and scale on; 0 uses the training
            completions instead.
        heads: scalar heads on one trunk, each begun and fed differently; their spread is the uncertainty, >= 1.
        bootstrap: how the heads of several are fed differently: "pairs" (each pair counts for a head as often as a
            Poisson draw of mean 1 says, the same in every epoch) or "batches" (each head sits out half of the steps).
        combine: what the reward is of several heads: their "mean", their "min", or "lower": mean - spread_coef x
            spread. spread_coef: >= 0.
    """

    epochs: float = setting(2.0, above=0, high=1000)
    min_steps: int = setting(320, low=0)
    restarts: int = setting(1, low=1, high=20)
    batch_size: int = setting(64, low=1)
    accumulate: int = setting(1, low=1)
    learning_rate: float | None = setting(1e-3, above=0, high=1)
    warmup_ratio: float = setting(0.05, low=0, high=0.5)
    weight_decay: float = setting(0.01, low=0, high=1)
    max_grad_norm: float = setting(1.0, above=0)
    margin_scale: float = setting(0.0, low=0, high=20)
    center_coef: float = setting(0.0, low=0, high=10)
    max_length: int = setting(256, low=8)
    evaluations: int = setting(10, low=1)
    patience: int = setting(0, low=0)
    normalise_samples: int = setting(256, low=0)
    heads: int = setting(1, low=1, high=64)
    bootstrap: str = setting("pairs", choices=("pairs", "batches"))
    combine: str = setting("mean", choices=("mean", "min", "lower"))
    spread_coef: float = setting(1.0, low=0)

    def passes(self, pairs: int) -> float:
        """Passes over so many pairs: `epochs`, or as many as `min_steps` takes."""
        floor = self.min_steps * self.batch_size * self.accumulate / max(pairs, 1)
        return max(self.epochs, min(floor, MOST_PASSES))


@dataclass(frozen=True)
class GenerateConfig:
    """Responses to a file of prompts.

    Attributes:
        max_new_tokens: longest completion, tokens, >= 1.
        temperature: of sampling, >= 0; 0 is greedy. top_p: nucleus, in (0, 1]. top_k: 0 is off.
        responses: responses to each prompt, >= 1.
        best_of: completions drawn for each response, of which the one with the highest score is it; more than 1
            needs a reward model or a guard. terms: what that score is made of.
        batch_size: sequences decoded together, >= 1.
    """

    max_new_tokens: int = setting(64, low=1)
    temperature: float = setting(1.0, low=0)
    top_p: float = setting(1.0, above=0, high=1)
    top_k: int = setting(0, low=0)
    responses: int = setting(1, low=1)
    best_of: int = setting(1, low=1, high=1024)
    terms: Terms = DEFAULT_TERMS
    batch_size: int = setting(64, low=1)


@dataclass(frozen=True)
class ScoreConfig:
    """Rewards of responses that exist.

    Attributes:
        batch_size: sequences scored together, >= 1.
        features: whether the trunk's output that the heads read is written beside the rewards.
    """

    batch_size: int = setting(64, low=1)
    features: bool = setting(False)


@dataclass(frozen=True)
class EvaluateConfig:
    """What is measured, on which split.

    Attributes:
        split: "test", or "selection" when settings are being chosen.
        responses: sampled to each prompt, >= 1. max_new_tokens, temperature: of sampling.
        best_of, terms: as for `generate`, for candidate and incumbent alike.
        batch_size: sequences handled together, >= 1.
        max_prompts: at most so many prompts are answered, >= 1.
        max_texts: at most so many held-out demonstrations, and documents, are read for perplexity; 0 is off.
    """

    split: str = setting("test", choices=("test", "selection"))
    responses: int = setting(4, low=1)
    best_of: int = setting(1, low=1, high=1024)
    terms: Terms = DEFAULT_TERMS
    max_new_tokens: int = setting(32, low=1)
    temperature: float = setting(1.0, low=0)
    batch_size: int = setting(64, low=1)
    max_prompts: int = setting(500, low=1)
    max_texts: int = setting(300, low=0)
