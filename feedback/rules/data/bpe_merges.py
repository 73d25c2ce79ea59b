"""Byte-pair encoding, one merge at a time: how the tokens of a text come about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Pair = tuple[str, str]


@dataclass(frozen=True)
class MergeState:
    """A text while its merges are applied.

    Attributes:
        rank: place of the last merge in the tokenizer's list, from 1; 0 before the first one.
        pair: the two pieces that it joined; None before the first one.
        words: pieces of each word.
    """

    rank: int
    pair: Pair | None
    words: tuple[tuple[str, ...], ...]


def merge_states(words: Sequence[Sequence[str]], ranks: Mapping[Pair, int]) -> list[MergeState]:
    """States of a text from single symbols to its tokens, one for each merge that changes it.

    Args:
        words: symbols of each word; merges never cross the border of a word.
        ranks: place of each merge in the order in which they were learned, from 0.

    Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2.
    """
    current = [tuple(word) for word in words]
    states = [MergeState(0, None, tuple(current))]
    while found := _next_merge(current, ranks):
        current = [_merged(word, found) for word in current]
        states.append(MergeState(ranks[found] + 1, found, tuple(current)))
    return states


def _next_merge(words: Sequence[tuple[str, ...]], ranks: Mapping[Pair, int]) -> Pair | None:
    """The applicable merge that was learned first."""
    best: Pair | None = None
    for word in words:
        for pair in pairwise(word):
            if pair in ranks and (best is None or ranks[pair] < ranks[best]):
                best = pair
    return best


def _merged(word: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    pieces: list[str] = []
    place = 0
    while place < len(word):
        if word[place : place + 2] == pair:
            pieces.append(word[place] + word[place + 1])
            place += 2
        else:
            pieces.append(word[place])
            place += 1
    return tuple(pieces)
