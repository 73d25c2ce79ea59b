"""Byte-level BPE from the corpus: any text can be written in its tokens, none becomes unknown.

As in GPT-2 (Radford et al. 2019, section 2.2); bytes first, merges by frequency, special tokens for padding, end,
mask and the three roles, and a chat template that keeps the end token inside the assistant's turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainer.context import RunContext, StageResult
from trainer.errors import DataUnusable
from trainer.models import CHAT_TEMPLATE, END, MASK, PAD, ROLES
from trainer.progress import Ticker
from trainer.snapshot import Snapshot, open_snapshot

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SHOWN = 4


def run(context: RunContext) -> StageResult:
    """Train the tokenizer on the documents of the train split and measure it on the selection split."""
    config = context.config
    snapshot = open_snapshot(context.inputs["snapshot"])
    context.report.state("counting merges")
    tokenizer = train_tokenizer(texts(context, snapshot), config.vocab_size, config.min_frequency)
    context.report.state("measuring the tokenizer")
    heldout = [text for text, _ in snapshot.texts("selection")] or [text for text, _ in snapshot.texts("train")]
    metrics = measure(tokenizer, heldout)
    context.report.metrics(1, 1, metrics)
    context.report.samples(
        1, [{"prompt": text[:80], "text": " | ".join(pieces(tokenizer, text[:80]))} for text in heldout[:SHOWN]]
    )
    folder = context.aside("model")
    tokenizer.save_pretrained(str(folder))
    return StageResult(metrics=metrics, model=folder, kind="tokenizer")


def texts(context: RunContext, snapshot: Snapshot) -> Iterator[str]:
    """Documents (and labelled texts) of the train split, as often as they occur, cut to a length, with progress.

    Raises:
        DataUnusable: there is none.
    """
    counts = snapshot.manifest.get("counts", {}).get("train", {})
    of = sum(int(counts.get(kind, 0)) for kind in ("document", "classification", "spans"))
    due = Ticker(1.0)
    number = 0
    for number, (text, count) in enumerate(snapshot.texts("train"), start=1):
        if due.due():
            context.report.metrics(number, of, {"documents": number})
        for _ in range(count):
            yield text[: context.config.max_document_chars]
    if number == 0:
        raise DataUnusable("The snapshot has no documents to train on.", remedy="Freeze a corpus snapshot.")


def train_tokenizer(documents: Iterator[str], vocab_size: int, min_frequency: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of at most `vocab_size` tokens, ready for chat."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, MASK, *(f"<|{role}|>" for role in ROLES)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        documents,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        mask_token=MASK,
        additional_special_tokens=special[3:],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """The text of each token in turn; a token that is part of a character shows as U+FFFD."""
    return [str(tokenizer.decode([token])) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]


def measure(tokenizer: PreTrainedTokenizerFast, documents: list[str]) -> dict[str, float]:
    """Size, compression (bytes per token, higher is better) and whether every document comes back as it was."""
    encoded = tokenizer(documents, add_special_tokens=False)["input_ids"]
    tokens = sum(map(len, encoded))
    same = sum(tokenizer.decode(ids) == text for ids, text in zip(encoded, documents, strict=True))
    return {
        "vocab_size": len(tokenizer),
        "bytes_per_token": sum(len(text.encode()) for text in documents) / max(tokens, 1),
        "tokens_used": len({token for ids in encoded for token in ids}),
        "round_trip": same / max(len(documents), 1),
        "heldout_documents": len(documents),
    }
