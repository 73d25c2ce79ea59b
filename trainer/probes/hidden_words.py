"""Hidden words of a text, guessed by an encoder from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import torch

from trainer.modeling.encoders import encode_texts, logits_of, room

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST = 512  # tokens that are read


class Guess(TypedDict):
    """A token that the encoder puts at a hidden place, with its probability in [0, 1]."""

    text: str
    probability: float


class HiddenWord(TypedDict):
    """A hidden word: its characters, and for each of its tokens the guesses, the likeliest first."""

    start: int
    end: int
    tokens: list[list[Guess]]
    truth: list[float]


def guess_hidden(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    hidden: Sequence[tuple[int, int]],
    top: int = 5,
) -> list[HiddenWord]:
    """Guesses for words that are hidden together.

    Args:
        text: read to LONGEST tokens.
        hidden: (start, end) in characters of each word, end exclusive.
        top: guesses for a token, >= 1.

    Returns:
        One for each word, in order; `truth` is the probability of each of its true tokens. A word behind LONGEST has no
        tokens.
    """
    [encoded] = encode_texts(tokenizer, [text])
    encoded = encoded.cut(0, room(model, LONGEST))
    places: list[list[int]] = []
    ids = list(encoded.ids)
    for start, end in hidden:
        inside = []
        for place in encoded.ordinary_places():
            token_start, token_end = encoded.offsets[place]
            if token_start < end and start < token_end:
                inside.append(place)
                ids[place] = int(tokenizer.mask_token_id)
        places.append(inside)
    [logits] = logits_of(model, [ids], tokenizer.pad_token_id)
    special = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    logits[:, special[special < logits.shape[-1]]] = -torch.inf  # no guess at a word is a control token
    probabilities = torch.softmax(logits, dim=-1)
    found: list[HiddenWord] = []
    for (start, end), inside in zip(hidden, places, strict=True):
        tokens: list[list[Guess]] = []
        truth: list[float] = []
        for place in inside:
            best = torch.topk(probabilities[place], top)
            guesses: list[Guess] = []
            for probability, number in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                guesses.append({"text": str(tokenizer.decode([number])), "probability": probability})
            tokens.append(guesses)
            truth.append(float(probabilities[place, encoded.ids[place]]))
        found.append({"start": start, "end": end, "tokens": tokens, "truth": truth})
    return found
