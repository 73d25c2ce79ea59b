"""A policy in training as another server loads it: adapters merged, no critic, under the names that a file has.

While it learns, a policy holds more than itself: PPO's critic is one of its modules, adapters stand beside the weights
that they change, and transformers keeps some weights under other names than files do. A server such as vLLM, to which
the weights go before each rollout, knows files only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from trainer.modeling.loading import whole_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl import GRPOTrainer, RLOOTrainer

CRITIC = "critic."


def served_weights(policy: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Every weight of a policy by its name in a file, one after another; all processes of a sharded one must ask.

    Nothing of the policy is changed.
    """
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    weights = whole_weights(policy) or {name: weight.detach() for name, weight in policy.state_dict().items()}
    weights = {name: weight for name, weight in merged(policy, weights).items() if not name.startswith(CRITIC)}
    weights = remove_tied_weights_from_state_dict(weights, policy)
    yield from revert_weight_conversion(policy, weights).items()


def merged(policy: PreTrainedModel, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an adapted model with its adapters added: W + scaling x B A, under the names they had before.

    Source: Hu et al. 2022, section 4.1.
    """
    layers = {name: layer for name, layer in policy.named_modules() if hasattr(layer, "lora_A")}
    plain: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if any(part in name for part in (".lora_A.", ".lora_B.", ".lora_embedding_")):
            continue
        layer, _, rest = name.partition(".base_layer.")
        if rest and layer in layers and rest == "weight":
            for adapter, scaling in layers[layer].scaling.items():
                low, high = weights[f"{layer}.lora_A.{adapter}.weight"], weights[f"{layer}.lora_B.{adapter}.weight"]
                change = (high.float() @ low.float()) * scaling
                change = change.T if layers[layer].fan_in_fan_out else change
                weight = weight + change.to(weight.dtype)
        plain[f"{layer}.{rest}" if rest else name] = weight
    return plain


def serve_as_saved(trainer: RLOOTrainer | GRPOTrainer, policy: PreTrainedModel) -> None:
    """Let a trainer of TRL's that samples with vLLM hand over `served_weights` instead of what the module holds."""
    if getattr(trainer, "use_vllm", False):
        trainer.vllm_generation._iter_named_params = lambda: served_weights(policy)  # type: ignore[method-assign]
