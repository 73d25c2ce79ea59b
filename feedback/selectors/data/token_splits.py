"""A short text split in three ways: characters, words, and the subwords of a tokenizer with the merges behind them."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache

from feedback.errors import Invalid
from feedback.models import ModelVersion
from feedback.rules.data.bpe_merges import MergeState, Pair, merge_states
from feedback.selectors.data import tokenizers

LONGEST = 200  # characters
WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class TokenSplits:
    """
    Attributes:
        subwords: texts of the tokens; empty without a tokenizer.
        ids: their ids.
        states: subwords while merges are applied; one state where the tokenizer has no merges.
        merges: number of merges of the tokenizer.
    """

    characters: list[str]
    words: list[str]
    subwords: list[str]
    ids: list[int]
    states: list[MergeState]
    merges: int
    vocabulary: int


def split(version: ModelVersion | None, text: str) -> TokenSplits:
    """Split a text.

    Raises:
        Invalid: it is too long to be shown.
    """
    if len(text) > LONGEST:
        raise Invalid(f"The text has {len(text)} characters; the limit here is {LONGEST}.", field="text")
    characters, words = list(text), WORD.findall(text)
    if version is None or not text:
        return TokenSplits(characters, words, [], [], [], 0, 0)
    fall = tokenizers.fall(version, text)
    subwords = [piece.text for piece in fall.pieces]
    ids = [piece.id for piece in fall.pieces]
    ranks = _ranks(tokenizers.digest(version))
    states: list[MergeState] = []
    if ranks:
        symbols = tokenizers.symbols(version, text)
        for state in merge_states(symbols, ranks):
            shown = tuple(tuple(map(_as_text, word)) for word in state.words)
            pair = None if state.pair is None else (_as_text(state.pair[0]), _as_text(state.pair[1]))
            states.append(MergeState(state.rank, pair, shown))
    return TokenSplits(characters, words, subwords, ids, states, len(ranks), fall.vocabulary)


@lru_cache(maxsize=8)
def _ranks(digest: str) -> dict[Pair, int]:
    """Place of each merge; empty for a tokenizer that is not byte-level BPE."""
    model = json.loads(tokenizers.file_text(digest)).get("model", {})
    found: dict[Pair, int] = {}
    if model.get("type") != "BPE":
        return found
    for place, merge in enumerate(model.get("merges", [])):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        found[(pair[0], pair[1])] = place
    return found


@lru_cache(maxsize=1)
def _bytes_of_symbols() -> dict[str, int]:
    """The byte that each symbol of byte-level BPE stands for.

    Source: Radford et al. 2019 (GPT-2), `bytes_to_unicode`: printable characters stand for themselves, the other bytes
    for characters from 256 on, in order.
    """
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    found = {chr(byte): byte for byte in plain}
    for place, byte in enumerate(byte for byte in range(256) if byte not in plain):
        found[chr(256 + place)] = byte
    return found


def _as_text(symbols: str) -> str:
    """The text of symbols; bytes that are no whole character as hexadecimal numbers."""
    table = _bytes_of_symbols()
    if not all(symbol in table for symbol in symbols):
        return symbols
    raw = bytes(table[symbol] for symbol in symbols)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return " ".join(f"{byte:02X}" for byte in raw)
