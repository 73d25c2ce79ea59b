"""Make a base model from elsewhere ready for chat: what training needs, and what its tokenizer did not come with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from trainer.modeling.chat_format import leading_ids
from trainer.modeling.chat_templates import END, PAD, ROLE_MARKS, our_template
from trainer.modeling.loading import from_folder

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

INDEX = "model.safetensors.index.json"


def make_ready(folder: Path, *, weights: bool = True) -> list[str]:
    """Give the tokenizer in `folder`, in place, what `models.check_tokenizer` asks for and it lacks.

    A pad token of its own, an end token, and our chat template with its marks, whose turns end with the end token that
    the model knows. Rows of new tokens begin at the mean of the others, so that none of them is the likeliest.

    Args:
        weights: whether a causal model lies there too, whose embeddings grow with the vocabulary. Its precision stays.

    Returns:
        What was added, in words; empty where nothing was lacking and no file was touched.

    Raises:
        ModelCorrupt: nothing loadable there.
        OSError, ValueError: no tokenizer can be loaded.
    """
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    added = []
    if tokenizer.eos_token_id is None:
        tokenizer.add_special_tokens({"eos_token": END})
        added.append(f"end token {END}")
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.add_special_tokens({"pad_token": PAD})
        added.append(f"pad token {PAD}")
    if not tokenizer.chat_template:
        tokenizer.add_tokens(ROLE_MARKS, special_tokens=True)
        begins = leading_ids(tokenizer) == [tokenizer.bos_token_id]
        tokenizer.chat_template = our_template(tokenizer.eos_token, begins=begins)
        added.append(f"chat template with {', '.join(ROLE_MARKS)}")
    if added:
        tokenizer.save_pretrained(str(folder))
        if weights:
            _grow(folder, len(tokenizer))
    return added


def _grow(folder: Path, tokens: int) -> None:
    """Embeddings for so many tokens at least. Some models have rows to spare, and are left as they are."""
    import torch
    from transformers import AutoModelForCausalLM

    model = from_folder(AutoModelForCausalLM, folder, dtype="auto")
    known = len(cast("nn.Embedding", model.get_input_embeddings()).weight)
    if known >= tokens:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            rows = cast("nn.Embedding | nn.Linear", layer).weight
            rows[known:] = rows[:known].float().mean(0).to(rows.dtype)
    for old in [*folder.glob("*.safetensors"), folder / INDEX]:
        old.unlink(missing_ok=True)
    model.save_pretrained(str(folder), safe_serialization=True)
