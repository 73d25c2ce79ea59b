"""A byte-level tokenizer from the corpus: any text can be written in its tokens, none becomes unknown.

As in GPT-2 (Radford et al. 2019, section 2.2) all three algorithms work on bytes, which are all tokens. BPE merges by
frequency (Sennrich et al. 2016), Unigram keeps the pieces that make the corpus likeliest (Kudo 2018), WordPiece takes
the longest that fits (Schuster and Nakajima 2012); words begin with their space here, so none of its pieces needs a ##.
Special tokens for padding, end, mask and the three roles; the chat template keeps the end inside the assistant's turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainer.data.snapshot import Snapshot, open_snapshot
from trainer.errors import DataUnusable
from trainer.json_types import JsonObject
from trainer.modeling.chat_templates import CHAT_TEMPLATE, END, MASK, PAD, ROLE_MARKS
from trainer.run.context import RunContext, StageResult

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast

    from trainer.run.progress import Sample

SHOWN = 4
LONGEST_WORD = 100  # bytes that WordPiece looks at together


def run(context: RunContext) -> StageResult:
    """Train the tokenizer on the documents of the train split and measure it on the selection split."""
    config = context.config
    snapshot = open_snapshot(context.inputs["snapshot"])
    context.report.state("counting merges")
    tokenizer = train_tokenizer(texts(context, snapshot), config.vocab_size, config.min_frequency, config.algorithm)
    context.report.state("measuring the tokenizer")
    heldout = snapshot.distinct_texts("selection") or snapshot.distinct_texts("train")
    metrics = measure(tokenizer, heldout)
    context.report.metrics(1, 1, metrics)
    samples: list[Sample] = []
    for text in heldout[:SHOWN]:
        opening = text[:80]
        samples.append({"prompt": opening, "text": " | ".join(pieces(tokenizer, opening))})
    if (changed := first_changed(tokenizer, heldout)) is not None:
        samples.append({"prompt": "does not come back as it was", "text": changed})
    context.report.samples(1, samples)
    folder = context.working_copy("model")
    tokenizer.save_pretrained(str(folder))
    return StageResult(metrics=metrics, model=folder, kind="tokenizer")


def texts(context: RunContext, snapshot: Snapshot) -> Iterator[str]:
    """Documents (and labeled texts) of the train split, as often as they occur, cut to a length, with progress.

    Raises:
        DataUnusable: there is none.
    """
    counts = snapshot.manifest.get("counts", {}).get("train", {})
    of = sum(int(counts.get(kind, 0)) for kind in ("document", "classification", "spans"))
    every = max(1, of // 50)  # by number and not by the clock: the same documents give the same curve
    number = 0
    for number, (text, count) in enumerate(snapshot.texts("train"), start=1):
        if number % every == 0:
            context.report.metrics(number, of, {"documents": number})
        for _ in range(count):
            yield text[: context.config.max_document_chars]
    if number == 0:
        raise DataUnusable("The snapshot has no documents to train on.", remedy="Freeze a corpus snapshot.")


def train_tokenizer(
    documents: Iterator[str], vocab_size: int, min_frequency: int, algorithm: str = "bpe"
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of at most `vocab_size` tokens, ready for chat.

    Args:
        min_frequency: how often a pair must occur to become a token; Unigram does not use it.
        algorithm: "bpe", "unigram" or "wordpiece".
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, MASK, *ROLE_MARKS]
    shared: JsonObject = {
        "vocab_size": vocab_size,
        "special_tokens": special,
        "initial_alphabet": pre_tokenizers.ByteLevel.alphabet(),
        "show_progress": False,
    }
    split: pre_tokenizers.PreTokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if algorithm == "unigram":
        inner = Tokenizer(models.Unigram())
        trainer: trainers.Trainer = trainers.UnigramTrainer(**shared)
    elif algorithm == "wordpiece":
        # Words longer than this become unknown, so they are cut; the unknown token itself is never needed.
        split = pre_tokenizers.Sequence([split, pre_tokenizers.FixedLength(length=LONGEST_WORD)])
        inner = Tokenizer(
            models.WordPiece(unk_token=PAD, continuing_subword_prefix="", max_input_chars_per_word=LONGEST_WORD)
        )
        trainer = trainers.WordPieceTrainer(**shared, min_frequency=min_frequency, continuing_subword_prefix="")
    else:
        inner, trainer = Tokenizer(models.BPE()), trainers.BpeTrainer(**shared, min_frequency=min_frequency)
    inner.pre_tokenizer = split
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(documents, trainer)
    if algorithm == "unigram":
        inner.model = in_one_order(inner, len(special))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=END,
        mask_token=MASK,
        additional_special_tokens=special[3:],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def in_one_order(inner: Tokenizer, special: int) -> Unigram:
    """The Unigram model that was trained, the same whenever it is trained on the same documents.

    As it comes, equal pieces stand in any order, likelihoods differ in the last digit, and bytes that the corpus hardly
    ever needs alone are ranked by chance; here these share the lowest rank.
    """
    from tokenizers import models

    vocab = json.loads(inner.to_str())["model"]["vocab"]
    scores = {piece: round(score, 9) for piece, score in vocab[special:]}
    lowest = min((score for piece, score in scores.items() if len(piece) > 1), default=0.0)
    for piece, score in scores.items():
        if score < lowest:
            scores[piece] = lowest - 1
    ranked = sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))
    return models.Unigram([*map(tuple, vocab[:special]), *ranked])


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """The text of each token in turn; a token that is part of a character shows as U+FFFD."""
    return [str(tokenizer.decode([token])) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]


def first_changed(tokenizer: PreTrainedTokenizerFast, documents: list[str]) -> str | None:
    """Where the first document that does not come back as it was changes, 40 characters; None if all come back."""
    for text in documents:
        back = str(tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]))
        if back != text:
            at = 0
            while text[at : at + 1] == back[at : at + 1]:
                at += 1
            return f"character {at}: {text[at : at + 40]!r} becomes {back[at : at + 40]!r}"
    return None


def measure(tokenizer: PreTrainedTokenizerFast, documents: list[str]) -> dict[str, float]:
    """Size, compression (bytes per token, higher is better) and whether every document comes back as it was."""
    encoded = tokenizer(documents, add_special_tokens=False)["input_ids"]
    tokens = sum(map(len, encoded))
    same = size = 0
    for ids, text in zip(encoded, documents, strict=True):
        same += tokenizer.decode(ids) == text
        size += len(text.encode())
    return {
        "vocab_size": len(tokenizer),
        "bytes_per_token": size / max(tokens, 1),
        "tokens_used": len(set().union(*encoded)),
        "round_trip": same / max(len(documents), 1),
        "heldout_documents": len(documents),
    }
