"""How surprised policies are by held-out texts: people's demonstrations, and documents of a corpus.

Perplexity is by token, so it compares models of one tokenizer only; bits per byte compares across tokenizers. A policy
that reads documents worse than the model it began as has forgotten some of its language while it learned to please.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.data.columns import encode_answers, encode_documents
from trainer.data.snapshot import Demonstration, Document, Snapshot, open_snapshot
from trainer.json_types import Metrics
from trainer.recipes.pretrain import Part, nats_of, predicted_bytes, read_windows

LONGEST = 1024  # tokens read at once, where a model takes more
DEMONSTRATIONS, DOCUMENTS = "demonstrations", "documents"


class HeldOutTexts:
    """Texts that nothing was trained on, at most `most` of each sort, and what models make of them.

    Args:
        snapshot: its `split` has the demonstrations.
        texts: a snapshot of documents, whose selection split is read; None without one.
    """

    def __init__(self, snapshot: Snapshot, split: str, texts: Path | None, most: int) -> None:
        self.demonstrations = list(snapshot.rows(split, Demonstration))[:most]
        self.documents: list[Document] = []
        if texts is not None:
            self.documents = list(open_snapshot(texts).rows("selection", Document))[:most]
        self.figures: dict[str, Metrics] = {}

    def read_by(self, name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """Measure one model, and put its figures under its name.

        Figures of each sort of text:
            texts: how many; `left_out` (only demonstrations) did not fit the model.
            perplexity: e to the mean cross-entropy of a token, in nats; of a demonstration, the answer and its end
                given the prompt.
            bits_per_byte: cross-entropy in bits, by bytes of the text that was predicted.
        """
        context = min(getattr(model.config.get_text_config(), "max_position_embeddings", None) or LONGEST, LONGEST)
        for sort, measured in (
            (DEMONSTRATIONS, of_demonstrations(model, tokenizer, self.demonstrations, context)),
            (DOCUMENTS, of_documents(model, tokenizer, self.documents, context)),
        ):
            if measured is not None:
                self.figures.setdefault(sort, {})[name] = measured


def of_demonstrations(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Demonstration], context: int
) -> Metrics | None:
    """Figures of what people wrote, each given its prompt; None where none fits."""
    parts: list[Part] = []
    size = 0
    for row, prompt, answer in encode_answers(tokenizer, rows):
        if len(prompt) + len(answer) <= context:
            parts.append((prompt + answer, len(prompt)))
            size += len(row.completion.encode())
    found = surprise(model, tokenizer, parts, size)
    return found and {"texts": len(parts), "left_out": len(rows) - len(parts), **found}


def of_documents(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], context: int
) -> Metrics | None:
    """Figures of documents, all of each but its first token; None where there is none of two tokens."""
    texts = size = 0
    parts: list[Part] = []
    for row in encode_documents(tokenizer, documents):
        if len(row) > 1:
            texts += 1
            size += predicted_bytes(tokenizer, row)
            parts += read_windows(row, context)
    found = surprise(model, tokenizer, parts, size)
    return found and {"texts": texts, **found}


@torch.no_grad()
def surprise(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, parts: Sequence[Part], size: int
) -> dict[str, float] | None:
    """perplexity and bits_per_byte of `parts`, whose predicted tokens are `size` bytes of text; None of nothing."""
    tokens = sum(len(ids) - first for ids, first in parts)
    if not tokens or not size:
        return None
    nats = nats_of(model, tokenizer.pad_token_id, parts)
    return {"perplexity": math.exp(nats / tokens), "bits_per_byte": nats / math.log(2) / size}
