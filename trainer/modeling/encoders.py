"""Encoders, and texts as they read them. What is learned on and what is served go through the same functions.

A text is its tokens and, where the tokenizer adds no marks of its own, the end token, so that no text is empty.
Special tokens written in a text are read as plain characters: nothing of it is changed, and character offsets hold.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainer.errors import ConfigInvalid, ModelCorrupt
from trainer.modeling.loading import from_folder, prepare
from trainer.modeling.passes import measuring, pad_right
from trainer.modeling.sampling import context_length
from trainer.run.microbatching import in_batches, rows_at

if TYPE_CHECKING:
    from transformers import ModernBertConfig, PreTrainedModel, PreTrainedTokenizerBase

    from trainer.configs.encoders import EncoderShape

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One text, or one window of it, as tokens.

    Attributes:
        ids: token ids, length T.
        offsets: (start, end) in characters of each token without the white space around it; (0, 0) at special tokens.
        is_special: 1 at tokens that the tokenizer added.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    is_special: list[int]

    def cut(self, start: int, end: int) -> Encoded:
        """Tokens start to end."""
        return Encoded(self.ids[start:end], self.offsets[start:end], self.is_special[start:end])

    def ordinary_places(self) -> list[int]:
        """Places of the tokens that are not special."""
        return [place for place, special in enumerate(self.is_special) if not special]


def labels_counted(labels: Iterable[Sequence[int]]) -> int:
    """How many labels of these rows count, which is all that are not IGNORED."""
    return sum(len(row) - row.count(IGNORED) for row in labels)


def token_ids(rows: Sequence[Encoded]) -> list[list[int]]:
    """Token ids of each text."""
    return [row.ids for row in rows]


def load_encoder_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """A tokenizer for an encoder; unlike a policy's it needs no chat template. Pads on the right.

    Raises:
        ModelCorrupt: there is none in the folder.
        ConfigInvalid: it has no pad or mask token, no token to end a text with, or no character offsets.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"No tokenizer can be loaded from {path}: {error}") from error
    if tokenizer.pad_token_id is None or tokenizer.mask_token_id is None:
        raise ConfigInvalid(
            f"The tokenizer of {path} lacks a pad or mask token.", remedy="Add one with add_special_tokens and save it."
        )
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise ConfigInvalid(f"The tokenizer of {path} has no token to end a text with.", remedy="Give it an end token.")
    if not tokenizer.is_fast:
        raise ConfigInvalid(f"The tokenizer of {path} gives no character offsets.", remedy="Save it as a fast one.")
    tokenizer.padding_side = "right"
    return tokenizer


def end_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a text: the end token, or the separator where there is none."""
    if tokenizer.eos_token_id is None:
        return int(tokenizer.sep_token_id)
    return int(tokenizer.eos_token_id)


def encoder_config(shape: EncoderShape, tokenizer: PreTrainedTokenizerBase, **more: Any) -> ModernBertConfig:
    """A small ModernBERT without dropout whose classifier reads the mean over tokens. `more` goes to the config."""
    from transformers import ModernBertConfig

    return ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context_length,
        initializer_range=0.02 * math.sqrt(768 / shape.hidden_size),  # 0.02 at width 768, as in `models.build_model`
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=end_id(tokenizer),
        bos_token_id=None,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        classifier_pooling="mean",
        **more,
    )


def make_encoder(
    task: str, base: Path | None, shape: EncoderShape, tokenizer: PreTrainedTokenizerBase, **more: Any
) -> PreTrainedModel:
    """An encoder with the head of a task, from a folder or from scratch. Seed before calling.

    Args:
        task: "MaskedLM", "SequenceClassification" or "TokenClassification".
        base: a model folder whose trunk is taken; a head that it lacks is new. None makes one from `shape`.
        more: num_labels, id2label and the like.

    Raises:
        ModelCorrupt: nothing loadable in `base`.
        ConfigInvalid: the model in `base` reads from left to right.
    """
    import transformers

    if base is None:
        model_type = getattr(transformers, f"ModernBertFor{task}")
        return prepare(model_type(encoder_config(shape, tokenizer, **more)), tokenizer)
    config = transformers.AutoConfig.from_pretrained(str(base), local_files_only=True)
    if type(config) in transformers.AutoModelForCausalLM._model_mapping and (
        type(config) not in transformers.AutoModelForMaskedLM._model_mapping
    ):
        raise ConfigInvalid(
            f"The base model is a {config.model_type}, which reads from left to right.",
            remedy="Give an encoder: a model of the stage mlm, or one of the BERT family.",
        )
    return prepare(from_folder(getattr(transformers, f"AutoModelFor{task}"), base, **more), tokenizer)


def room(model: PreTrainedModel, max_length: int) -> int:
    """Tokens that are read at once: max_length, or what the model was made for if that is less."""
    return min(max_length, context_length(model) or max_length)


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Encoded]:
    """Whole texts as tokens with offsets, not cut."""
    if not texts:
        return []
    out = tokenizer(
        list(texts), return_offsets_mapping=True, return_special_tokens_mask=True, split_special_tokens=True
    )
    end = end_id(tokenizer)
    encoded = []
    for text, ids, offsets, special in zip(
        texts, out["input_ids"], out["offset_mapping"], out["special_tokens_mask"], strict=True
    ):
        whole = lengthened(text, [trim(text, *offset) for offset in offsets])
        one = Encoded(list(ids), whole, list(special))
        if not any(special):
            one = Encoded([*one.ids, end], [*one.offsets, (0, 0)], [*one.is_special, 1])
        encoded.append(one)
    return encoded


def lengthened(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Offsets of tokens, each end moved over the signs behind it that no token covers and that stand on its character.

    Normalizers drop accents written apart, variation selectors and joiners. What is left of `café` then ends before its
    accent, and a span that was marked with it could never come back.
    """
    starts = [*sorted({start for start, end in offsets if end > start}), len(text)]
    found = []
    for start, end in offsets:
        limit = starts[bisect_left(starts, end)]
        while start < end < limit and stands_on_another(text[end]):
            end += 1
        found.append((start, end))
    return found


def stands_on_another(sign: str) -> bool:
    """Whether a sign is no character of its own: a mark, a variation selector or a joiner."""
    return unicodedata.category(sign) in ("Mn", "Mc", "Me") or sign in "\u200c\u200d"


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Characters start to end without the white space at either side; of white space alone nothing is left."""
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, max(start, start + len(piece.strip()))


def windows(encoded: Encoded, length: int, overlap: float = 0.25) -> list[tuple[int, Encoded]]:
    """A text in windows of at most `length` tokens, neighbors overlapping, each with the place of its first token."""
    if len(encoded.ids) <= length:
        return [(0, encoded)]
    stride = max(1, length - int(overlap * length))
    starts = [*range(0, len(encoded.ids) - length, stride), len(encoded.ids) - length]
    return [(start, encoded.cut(start, start + length)) for start in starts]


def mask_tokens(
    encoded: Encoded, mask_id: int, ordinary: torch.Tensor, share: float, generator: torch.Generator
) -> tuple[list[int], list[int]]:
    """Inputs and labels of masked language modeling.

    Each token that is not special is picked with probability `share`, one at least; of those picked 80 % become the
    mask token, 10 % an ordinary token drawn evenly, 10 % stay. A label is the true token where picked, else IGNORED.

    Args:
        encoded: T tokens. mask_id: the mask token. ordinary: ids of all tokens that are not special, shape (V',).
        share: in (0, 1). generator: where chance comes from.

    Returns:
        Ids and labels, both of length T.

    Source: Devlin et al. 2019, section 3.1; drawn anew at each visit, as in Liu et al. 2019, section 4.1.
    """
    length = len(encoded.ids)
    chance = torch.rand(length, 2, generator=generator)
    others = ordinary[torch.randint(len(ordinary), (length,), generator=generator)].tolist()
    places = encoded.ordinary_places()
    picked = [place for place in places if chance[place, 0] < share]
    if not picked and places:
        picked = [min(places, key=lambda place: float(chance[place, 0]))]
    ids, labels = list(encoded.ids), [IGNORED] * length
    for place in picked:
        labels[place] = ids[place]
        how = float(chance[place, 1])
        if how < 0.8:
            ids[place] = mask_id
        elif how < 0.9:
            ids[place] = others[place]
    return ids, labels


def drop_tokens(encoded: Encoded, mask_id: int, share: float, generator: torch.Generator) -> list[int]:
    """Ids with a share of the tokens (never special ones) masked: noise against learning texts by heart."""
    dropped = (torch.rand(len(encoded.ids), generator=generator) < share).tolist()
    ids = list(encoded.ids)
    for place, is_dropped in enumerate(dropped):
        if is_dropped and not encoded.is_special[place]:
            ids[place] = mask_id
    return ids


def ordinary_tokens(tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Ids of all tokens that are not special, shape (V',)."""
    ordinary = set(range(len(tokenizer))).difference(tokenizer.all_special_ids)
    return torch.tensor(sorted(ordinary))


def logits_of(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], pad_id: int, batch_size: int | None = None
) -> list[torch.Tensor]:
    """Logits of each row of ids on the CPU: (C,) of a classifier, (T, C) of a model that answers per token.

    Rows of like length share a batch, of `batch_size` rows at most; padding changes nothing.
    """
    out: list[torch.Tensor] = [torch.empty(0)] * len(rows)

    def apply(numbers: list[int]) -> None:
        ids, is_token = pad_right(rows_at(rows, numbers), pad_id)
        logits = model(input_ids=ids.to(model.device), attention_mask=is_token.to(model.device)).logits.float().cpu()
        for place, number in enumerate(numbers):
            out[number] = logits[place]
            if logits.dim() == 3:
                out[number] = logits[place, : len(rows[number])]

    with measuring(model):
        in_batches(list(map(len, rows)), apply, batch_size)
    return out
