"""Tiny models of families, made from their config alone, whose weights are looked at and not their text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 96,
}
SMALL = {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": False}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 96}
# name -> (model type, config); the vocabulary is the tokenizer's.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama_tied": ("llama", {**SMALL, "tie_word_embeddings": True}),
    "gpt_neox": ("gpt_neox", SIZES | {"tie_word_embeddings": False}),
    "mixtral": ("mixtral", SMALL | {"num_local_experts": 3, "num_experts_per_tok": 2}),
    "qwen3_moe": (
        "qwen3_moe",
        SMALL | {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "head_dim": 8},
    ),
    "gpt2": ("gpt2", GPT2),
    "opt": (
        "opt",
        {"hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 16}
        | {"max_position_embeddings": 96, "dropout": 0.0},
    ),
    "granite": ("granite", SMALL),
    "gemma2": ("gemma2", SMALL | {"head_dim": 8, "final_logit_softcapping": 3.0}),
}


def tiny(family: str, vocabulary: int = 64, seed: int = 0) -> Any:
    """An untrained causal language model of a family, float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model_type, sizes = FAMILIES[family]
    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, vocab_size=vocabulary, **sizes)
    return AutoModelForCausalLM.from_config(config).float()


def write_policy(folder: Path, family: str, tokenizer: Any) -> Path:
    """A tiny policy of a family in `folder`, with a tokenizer of ours."""
    from trainer.modeling.loading import prepare, save_model

    model = prepare(tiny(family, len(tokenizer)), tokenizer)
    save_model(folder, model, tokenizer)
    return folder
