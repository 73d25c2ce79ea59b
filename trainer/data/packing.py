"""Whether documents that share a row leave one another alone, as positions that start anew tell most families to."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = 1e-3  # of logits and rewards in float32, beside their size


@torch.no_grad()
def keeps_apart(model: PreTrainedModel, rows: list[list[int]] | None = None) -> bool:
    """Whether positions that start anew keep a causal model from attending to the text before.

    Args:
        rows: token ids of two texts; made up where none are given.
    """
    first, second = (rows or some_rows(model))[:2]
    was_training, cached = model.training, model.config.use_cache
    model.eval()
    model.config.use_cache = False  # with a cache, transformers does not take positions that start anew
    positions = torch.tensor([[*range(len(first)), *range(len(second))]], device=model.device)
    try:
        packed = model(input_ids=torch.tensor([first + second], device=model.device), position_ids=positions).logits
        alone = model(input_ids=torch.tensor([second], device=model.device)).logits
    except TypeError:  # it takes no positions
        return False
    finally:
        model.config.use_cache = cached
        model.train(was_training)
    return close(packed[0, len(first) :], alone[0])


def some_rows(model: PreTrainedModel) -> list[list[int]]:
    """Token ids of three texts of unequal length, short enough for any context."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(3, vocabulary_of(model), (length,), generator=generator).tolist() for length in (7, 4, 5)]


def vocabulary_of(model: PreTrainedModel) -> int:
    """Tokens that the model has an embedding of."""
    return int(cast(nn.Embedding, model.get_input_embeddings()).num_embeddings)


def close(one: Tensor, other: Tensor) -> bool:
    """Equal up to rounding in float32."""
    scale = max(1.0, float(other.abs().max()))
    return bool((one - other).abs().max() <= TOLERANCE * scale)
