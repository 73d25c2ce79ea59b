"""Text quality filters for corpora: normalization, and thresholds that give a reason for each dropped text.

Thresholds after Rae et al. 2021 (Gopher), appendix A1.1; each can be set, and 0 switches it off.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

TOO_SHORT, NOT_TEXT, SYMBOLS, WORD_LENGTH, REPEATED = (
    "too_short",
    "not_text",
    "symbols",
    "word_length",
    "repeated_lines",
)

# Control characters other than tab and line end, lone surrogates, and marks that no text needs inside.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_ENDS = re.compile("\r\n?|\x85|\u2028|\u2029")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which a document is dropped.

    Attributes:
        min_characters: fewer than these are too short.
        max_symbols: share of characters, white space apart, that are neither letters nor digits, 0 to 1.
        max_repeated: share of characters in lines that stood before in the same document, 0 to 1.
        min_word, max_word: mean length of a word, characters.
        min_letters: share of characters, white space apart, that are letters, 0 to 1: below it is no text.
    """

    min_characters: int = 1
    max_symbols: float = 0.4
    max_repeated: float = 0.3
    min_word: float = 2.0
    max_word: float = 14.0
    min_letters: float = 0.4


BOUNDS = {
    "min_characters": (0, 1_000_000),
    "max_symbols": (0, 1),
    "max_repeated": (0, 1),
    "min_word": (0, 100),
    "max_word": (0, 1000),
    "min_letters": (0, 1),
}


def thresholds(values: Mapping[str, object]) -> Thresholds:
    """Thresholds from a request; missing ones have their defaults.

    Raises:
        ValueError: an unknown name, or a value out of its bounds, in a sentence.
    """
    limits = asdict(Thresholds())
    for name, value in values.items():
        if name not in BOUNDS:
            raise ValueError(f"Unknown threshold {name!r}; there are {', '.join(BOUNDS)}.")
        low, high = BOUNDS[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{name} must be a number from {low} to {high}.")
        limits[name] = type(limits[name])(value)
    return Thresholds(**limits)


def normalized(text: str) -> str:
    """NFC, line ends as \\n, no control characters. White space at the ends stays: it may be the text's own."""
    return unicodedata.normalize("NFC", _CONTROL.sub("", _ENDS.sub("\n", text)))


def fault(text: str, limits: Thresholds) -> tuple[str, str] | None:
    """Why `text` is dropped: one of the names above, and a sentence with its figure; None if it is kept."""
    signs = [sign for sign in text if not sign.isspace()]
    if len(signs) < max(1, limits.min_characters):
        return TOO_SHORT, f"{len(signs)} characters; the minimum is {max(1, limits.min_characters)}."
    letters = sum(map(str.isalpha, signs)) / len(signs)
    if letters < limits.min_letters:
        return NOT_TEXT, f"{letters:.0%} of its characters are letters; the minimum is {limits.min_letters:.0%}."
    symbols = sum(not sign.isalnum() and not unicodedata.combining(sign) for sign in signs) / len(signs)
    if limits.max_symbols and symbols > limits.max_symbols:
        return SYMBOLS, f"{symbols:.0%} of its characters are symbols; the maximum is {limits.max_symbols:.0%}."
    words = _WORD.findall(text)
    mean = sum(map(len, words)) / max(1, len(words))
    if mean < limits.min_word or (limits.max_word and mean > limits.max_word):
        bounds = f"{limits.min_word:g} to {limits.max_word:g}"
        return WORD_LENGTH, f"Its words have {mean:.1f} characters on average; the range is {bounds}."
    repeated = repeated_share(text)
    if limits.max_repeated and repeated > limits.max_repeated:
        return REPEATED, f"{repeated:.0%} of it are repeated lines; the maximum is {limits.max_repeated:.0%}."
    return None


def repeated_share(text: str) -> float:
    """Share of characters in lines that occur earlier in the text."""
    lines = list(filter(None, map(str.strip, text.split("\n"))))
    total = sum(map(len, lines))
    again = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
    if total:
        return again / total
    return 0.0
