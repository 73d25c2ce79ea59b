"""LoRA: a few trained numbers beside frozen weights, merged into them when the model is saved.

W + (alpha / r) B A, with B zero at first, so that an adapted model begins as its base (Hu et al. 2022, section 4.1).
The adapters are put into the model itself: it stays the class it was, its base weights frozen, so every recipe trains,
checkpoints and samples as without. A saved model is whole and ordinary; nothing in its folder says adapter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from torch import nn

from trainer.errors import ConfigInvalid

if TYPE_CHECKING:
    import torch
    from peft.tuners.lora import LoraLayer
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.utils import ModelOutput

    from trainer.configs.setting import LoRA


def adapt(model: PreTrainedModel, lora: LoRA | None, heads: tuple[str, ...] = ()) -> PreTrainedModel:
    """Freeze `model` and put adapters into it, in place; nothing when `lora` is None. Seed before calling.

    Args:
        heads: modules that are new and train in full, by name.

    Raises:
        ConfigInvalid: `targets` names no layer of this model.
    """
    if lora is None:
        return model
    from peft import LoraConfig, inject_adapter_in_model

    fresh = [name for name, _ in model.named_modules() if set(heads) & set(name.split("."))]
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets.split() if lora.targets else all_layers(model, fresh),
        exclude_modules=fresh or None,
        bias="none",
    )
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        raise ConfigInvalid(
            f"`lora.targets` is {lora.targets!r}: {str(error).partition(' in the base model')[0]}.",
            remedy="Name linear layers as the model does, such as q_proj v_proj, or leave it empty for all of them.",
        ) from error
    for name in fresh:
        model.get_submodule(name).requires_grad_(True)
    return model


def all_layers(model: PreTrainedModel, fresh: list[str]) -> list[str] | str:
    """What is adapted where nobody names it: every linear layer but those that are new and the output embeddings.

    A mixture of experts keeps the weights of its experts as one tensor, whose adapters could not be merged again: they
    stay as they are, and so does the layer that chooses among them.
    """
    fused = any(weight.dim() == 3 for weight in model.parameters())
    if not fused:
        return "all-linear"
    head = model.get_output_embeddings()
    layers: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head and name not in fresh:
            layers.append(name)
    return layers


def adapt_encoder(model: PreTrainedModel, lora: LoRA | None, base: object) -> None:
    """As `adapt`, for an encoder with a new head for its task.

    Raises:
        ConfigInvalid: there is no base model whose weights could be left as they are.
    """
    if lora is not None and base is None:
        raise ConfigInvalid("`lora` needs a base model; from scratch there is nothing to adapt.", remedy="Name one.")
    adapt(model, lora, heads=("head", "classifier"))


def frozen_reference(policy: PreTrainedModel) -> PreTrainedModel:
    """The policy before it was adapted, as a model to measure KL to; it shares the policy's weights."""
    return cast("PreTrainedModel", AdapterFreeModel(policy))  # has what a reference is used for


def adapters(model: PreTrainedModel) -> list[tuple[str, LoraLayer]]:
    """Adapted layers of a model, by name; none in an ordinary one."""
    return [(name, module) for name, module in model.named_modules() if hasattr(module, "lora_A")]


def merge(model: PreTrainedModel) -> None:
    """Add each adapter to the weights beside it and take it out, in place; nothing in an ordinary model."""
    # Innermost first: adapters of several fused weights of one module stand one around another.
    for name, layer in reversed(adapters(model)):
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


@contextmanager
def as_base(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model computes as before it was adapted. Not for a part of a forward that is to be learned from."""
    layers = [layer for _, layer in adapters(model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


class AdapterFreeModel(nn.Module):
    """The frozen reference of an adapted policy without a second copy: the policy, its adapters switched off.

    Has no parameters of its own, so moving or freezing it leaves the policy alone.
    """

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.policy = (policy,)  # in a tuple, where torch does not look for modules

    @property
    def config(self) -> PreTrainedConfig:
        return self.policy[0].config

    @property
    def base_model(self) -> nn.Module:
        """The trunk, as of any model."""
        return self.policy[0].base_model

    @property
    def device(self) -> torch.device:
        return self.policy[0].device

    def forward(self, *args: object, **kwargs: object) -> ModelOutput:
        with as_base(self.policy[0]):
            return self.policy[0](*args, **kwargs)
