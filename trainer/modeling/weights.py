"""Weights of a module under the module's own names: written, read strictly, and compared tensor by tensor.

`save_pretrained` writes the names of a family's published files, which need not be those of the module: GPT-NeoX calls
its head `embed_out`, and experts of a mixture are written one by one where the module holds them fused. Loading such a
file into the module leaves out what is called otherwise. So whatever goes back into the same module, the best weights
of a run and its checkpoints, is written and read here; `save_pretrained` is for the model folder alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.errors import ModelCorrupt

FILE = "model.safetensors"
ALIASES = "aliases"  # in the file's metadata: names of a tied tensor beside the one that it is written under


def own_weights(model: nn.Module, without: str | None = None) -> dict[str, Tensor]:
    """Parameters and persistent buffers by the module's own names, but for those that begin with `without`."""
    state = model.state_dict()
    return {name: value for name, value in state.items() if without is None or not name.startswith(without)}


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file; one that has several names is written once."""
    from safetensors.torch import save_file

    written: dict[str, Tensor] = {}
    first: dict[tuple[object, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, value in weights.items():
        identity = (value.data_ptr(), value.device, value.dtype, tuple(value.shape), value.stride())
        if value.numel() and identity in first:
            aliases[name] = first[identity]
            continue
        first[identity] = name
        # A copy where the tensor is a view into a larger one, which the file cannot say.
        is_view = value.untyped_storage().nbytes() > value.numel() * value.element_size()
        whole = value.detach().cpu().contiguous()
        written[name] = whole.clone() if is_view else whole
    save_file(written, path, metadata={"format": "pt", ALIASES: json.dumps(aliases)})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a file that `write_weights` made, by every name that they were given under."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    found: dict[str, Tensor] = load_file(path)
    with safe_open(path, framework="pt") as file:
        aliases = json.loads((file.metadata() or {}).get(ALIASES, "{}"))
    return found | {name: found[target] for name, target in aliases.items()}


def load_weights(model: nn.Module, path: Path, without: str | None = None) -> None:
    """Put the tensors of a file into `model`, every one of them and nothing else, and compare each afterwards.

    Args:
        without: names that begin so are neither in the file nor touched.

    Raises:
        ModelCorrupt: the file lacks a tensor of the model, has one that the model does not know or of another shape, or
            the model holds something else than the file after loading.
    """
    stored = read_weights(path)
    check_names(stored, own_weights(model, without))
    model.load_state_dict(stored, strict=without is None)
    if different := differing(stored, own_weights(model, without)):
        raise ModelCorrupt(f"{len(different)} tensors changed when saved and restored, {different[0]} first.")


def check_names(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Whether a file has exactly a model's tensors.

    Raises:
        ModelCorrupt: naming the first that is missing, unknown, or of another shape.
    """
    missing, unknown = sorted(set(expected) - set(stored)), sorted(set(stored) - set(expected))
    shapes = [name for name in stored if name in expected and stored[name].shape != expected[name].shape]
    if missing or unknown or shapes:
        listed = f"{len(missing)} missing, {len(unknown)} unknown, {len(shapes)} of another shape"
        raise ModelCorrupt(f"Kept weights do not fit the model: {listed}; {(missing + unknown + shapes)[0]} first.")


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names that only one of the two has, or whose tensors differ in type, shape or a single bit, sorted."""
    names = set(one) ^ set(other)
    names |= {name for name in set(one) & set(other) if not same(one[name], other[name])}
    return sorted(names)


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, wherever they are."""
    return one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())
