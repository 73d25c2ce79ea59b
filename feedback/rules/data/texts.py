"""Equality of texts in the form in which a snapshot stores them."""

import unicodedata
from collections.abc import Sequence

LETTERS = "abcdefghi"


def as_stored(text: str) -> str:
    """NFC, with every line end as \\n."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text)


def same(one: str, other: str) -> bool:
    """Whether two texts are equal in stored form."""
    return one == other or as_stored(one) == as_stored(other)


def twins(texts: Sequence[str]) -> tuple[int, int] | None:
    """Places of the first two equal texts, or None."""
    places: dict[str, int] = {}
    for place, text in enumerate(texts):
        before = places.setdefault(as_stored(text), place)
        if before != place:
            return before, place
    return None


def twins_sentence(places: tuple[int, int]) -> str:
    first, second = (LETTERS[place] if place < len(LETTERS) else str(place + 1) for place in places)
    return f"Responses {first} and {second} are the same text, so neither can be better."
