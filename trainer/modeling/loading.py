"""Make and load models and tokenizers, from local folders and safetensors only, with the settings RLHF needs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import ConfigInvalid, ModelCorrupt

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    from trainer.configs.stages import PretrainConfig


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """A tokenizer that RLHF can use: chat template, and a pad token that is not the end token. Pads on the right.

    Raises:
        ModelCorrupt: there is none in the folder.
        ConfigInvalid: no chat template, no pad or end token, or the two are one.
    """
    from transformers import AutoTokenizer

    from trainer.modeling.chat_format import declare_ends

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"No tokenizer can be loaded from {path}: {error}") from error
    check_tokenizer(tokenizer, str(path))
    tokenizer.padding_side = "right"
    declare_ends(tokenizer, declared_ends(path))
    return tokenizer


def declared_ends(path: Path) -> list[int]:
    """Ids that end a text by the configs in a model folder; none where it is a tokenizer's."""
    ends: list[int] = []
    for name in ("generation_config.json", "config.json"):
        try:
            declared = json.loads((path / name).read_text(encoding="utf-8")).get("eos_token_id")
        except (OSError, ValueError, AttributeError):
            continue
        if not isinstance(declared, list):
            declared = [declared]
        ends += [end for end in declared if isinstance(end, int)]
    return ends


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse what would train silently wrong.

    Raises:
        ConfigInvalid: see `load_tokenizer`.
    """
    if tokenizer.eos_token_id is None or tokenizer.pad_token_id is None:
        raise ConfigInvalid(
            f"The tokenizer of {name} lacks a pad or end token.", remedy="Add one with add_special_tokens and save it."
        )
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise ConfigInvalid(
            f"The tokenizer of {name} pads with its end token, so the end would be masked and never learned.",
            remedy="Give it a pad token of its own.",
        )
    if not tokenizer.is_fast:
        raise ConfigInvalid(f"The tokenizer of {name} has no tokenizer.json.", remedy="Save it as a fast one.")
    if not tokenizer.chat_template:
        raise ConfigInvalid(f"The tokenizer of {name} has no chat template.", remedy="Save it with a chat_template.")


def build_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A Llama-shaped model from scratch, input and output embeddings tied, no dropout. Seed before calling."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.context_length,
            tie_word_embeddings=True,
            attention_dropout=0.0,
            # 0.02 is GPT-2's at width 768. Left there at width 64, attention starts so flat that looking up a word of
            # the prompt is learned hundreds of steps later, or not at all.
            initializer_range=0.02 * math.sqrt(768 / config.hidden_size),
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def load_policy(path: Path, tokenizer: PreTrainedTokenizerBase | None = None) -> PreTrainedModel:
    """A causal language model in float32, dropout off, token ids as in its tokenizer."""
    from transformers import AutoModelForCausalLM

    model = from_folder(AutoModelForCausalLM, path)
    return prepare(model, tokenizer or load_tokenizer(path))


def load_classifier(path: Path, tokenizer: PreTrainedTokenizerBase | None = None, heads: int = 1) -> PreTrainedModel:
    """A model with scalar heads read at the last token (a reward model, or fresh heads on a policy's trunk)."""
    from transformers import AutoModelForSequenceClassification

    model = from_folder(AutoModelForSequenceClassification, path, num_labels=heads)
    return prepare(model, tokenizer or load_tokenizer(path))


def from_folder(auto_class: type[_BaseAutoModelClass], path: Path, **settings: object) -> PreTrainedModel:
    """`from_pretrained` on a local folder, safetensors only, no code from the folder; in float32 unless specified
    otherwise.

    Raises:
        ModelCorrupt: nothing loadable there.
    """
    import torch
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # a fresh head on a trunk is meant, not a fault to warn of
    try:
        model: PreTrainedModel = auto_class.from_pretrained(
            str(path), local_files_only=True, use_safetensors=True, **{"dtype": torch.float32, **settings}
        )
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"No model can be loaded from {path}: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
    return model


def prepare(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Turn dropout off and write pad and end ids into the configs, where generation and scoring read them."""
    switch_dropout_off(model)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    generation = getattr(model, "generation_config", None)
    if generation is not None:
        generation.pad_token_id = tokenizer.pad_token_id
        generation.eos_token_id = tokenizer.eos_token_id
        generation.bos_token_id = None
        if tokenizer.chat_template:
            from trainer.modeling.chat_format import ends_of

            ends = ends_of(tokenizer)
            generation.eos_token_id = ends[0] if len(ends) == 1 else ends
    return model


def switch_dropout_off(model: PreTrainedModel) -> None:
    """No chance in any forward: of layers, and of families that hold a probability as a number in module or config."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, value in list(vars(module).items()):
            if _is_dropout(name, value):
                setattr(module, name, 0.0)
    configs = [model.config]
    if model.config.get_text_config() is not model.config:
        configs.append(model.config.get_text_config())
    for config in configs:
        for name, value in list(vars(config).items()):
            if _is_dropout(name, value):
                setattr(config, name, 0.0)


def _is_dropout(name: str, value: object) -> bool:
    named = "drop" in name or name.endswith("pdrop")
    return named and isinstance(value, float) and value != 0.0


def save_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Weights (safetensors), config, tokenizer and chat template into `folder`. Adapters are merged into the model."""
    from trainer.modeling.lora import merge

    merge(model)
    model.save_pretrained(str(folder), state_dict=whole_weights(model), safe_serialization=True)
    tokenizer.save_pretrained(str(folder))


def sharded(model: PreTrainedModel) -> bool:
    """Whether each process holds a part of the weights only (FSDP, ZeRO-3)."""
    return any(hasattr(weight, "full_tensor") or hasattr(weight, "ds_id") for weight in model.parameters())


def whole_weights(model: PreTrainedModel) -> dict[str, Tensor] | None:
    """All weights of a sharded model, on the CPU of every process, which must all call this; None for any other."""
    if not sharded(model):
        return None
    if any(hasattr(weight, "ds_id") for weight in model.parameters()):
        import deepspeed

        with deepspeed.zero.GatheredParameters(list(model.parameters())):
            return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    weights: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if hasattr(value, "full_tensor"):
            value = value.full_tensor()
        weights[name] = value.detach().cpu()
    return weights


def parameters(model: PreTrainedModel) -> int:
    """Number of parameters, tied ones once."""
    return sum(p.numel() for p in model.parameters())
