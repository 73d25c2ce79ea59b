"""How surprised policies are by held-out texts: people's demonstrations, and documents of a corpus.

Perplexity is by token, so it compares models of one tokenizer only; bits per byte compares across tokenizers. A policy
that reads documents worse than the model it began as has forgotten some of its language while it learned to please.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from trainer.data.columns import encode_completions, encode_documents, encode_prompts
from trainer.data.snapshot import Demonstration, Document, Snapshot, open_snapshot
from trainer.recipes.pretrain import Part, nats_of, predicted_bytes, read_windows

LONGEST = 1024  # tokens read at once, where a model takes more
DEMONSTRATIONS, DOCUMENTS = "demonstrations", "documents"


class HeldOut:
    """Texts that nothing was trained on, at most `most` of each sort, and what models make of them.

    Args:
        snapshot: its `split` has the demonstrations.
        texts: a snapshot of documents, whose selection split is read; None without one.
    """

    def __init__(self, snapshot: Snapshot, split: str, texts: Path | None, most: int) -> None:
        self.demonstrations = list(snapshot.rows(split, Demonstration))[:most]
        self.documents = list(open_snapshot(texts).rows("selection", Document))[:most] if texts is not None else []
        self.figures: dict[str, dict[str, Any]] = {}

    def read_by(self, name: str, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
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
    model: Any, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Demonstration], context: int
) -> dict[str, Any] | None:
    """Figures of what people wrote, each given its prompt; None where none fits."""
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    answers = encode_completions(tokenizer, [row.completion for row in rows])
    both = [(prompt + answer, len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    kept = [place for place, (ids, _) in enumerate(both) if len(ids) <= context]
    size = sum(len(rows[place].completion.encode()) for place in kept)
    found = surprise(model, tokenizer, [both[place] for place in kept], size)
    return found and {"texts": len(kept), "left_out": len(rows) - len(kept), **found}


def of_documents(
    model: Any, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], context: int
) -> dict[str, Any] | None:
    """Figures of documents, all of each but its first token; None where there is none of two tokens."""
    rows = [row for row in encode_documents(tokenizer, documents) if len(row) > 1]
    size = sum(predicted_bytes(tokenizer, row) for row in rows)
    found = surprise(model, tokenizer, [part for row in rows for part in read_windows(row, context)], size)
    return found and {"texts": len(rows), **found}


@torch.no_grad()
def surprise(
    model: Any, tokenizer: PreTrainedTokenizerBase, parts: Sequence[Part], size: int
) -> dict[str, float] | None:
    """perplexity and bits_per_byte of `parts`, whose predicted tokens are `size` bytes of text; None of nothing."""
    tokens = sum(len(ids) - first for ids, first in parts)
    if not tokens or not size:
        return None
    nats = nats_of(model, tokenizer.pad_token_id, parts)
    return {"perplexity": math.exp(nats / tokens), "bits_per_byte": nats / math.log(2) / size}
