"""The next token of a text, as a causal language model predicts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import torch

from trainer.modeling.chat_format import chat_format
from trainer.modeling.passes import measuring
from trainer.modeling.sampling import context_length, end_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class NextToken(TypedDict):
    """A candidate: its text (empty where it ends the text), its id, and its probability in [0, 1]."""

    text: str
    id: int
    probability: float
    ends: bool


class NextTokens(TypedDict):
    """Candidates, the likeliest first, and the entropy of the whole distribution in nats."""

    tokens: list[NextToken]
    entropy: float


def next_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, top: int = 10) -> NextTokens:
    """The likeliest next tokens after `text`, which is read as a document.

    Args:
        text: of a long text its end is read.
        top: how many, >= 1.
    """
    [ids] = chat_format(tokenizer).documents([text])
    ends = set(end_ids(model))
    if not ids:
        ids = sorted(ends)[:1] or [0]  # what stands between two documents
    limit = (context_length(model) or len(ids) + 1) - 1
    with measuring(model):
        rows = torch.tensor([ids[-limit:]], device=model.device)
        logits = model(input_ids=rows).logits[0, -1].float()
    probabilities = torch.softmax(logits, dim=-1).cpu()
    best = torch.topk(probabilities, min(top, len(probabilities)))
    found: list[NextToken] = []
    for probability, number in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        is_end = number in ends
        piece = "" if is_end else str(tokenizer.decode([number], clean_up_tokenization_spaces=False))
        found.append({"text": piece, "id": number, "probability": probability, "ends": is_end})
    entropy = torch.special.entr(probabilities).sum()
    return {"tokens": found, "entropy": float(entropy)}
