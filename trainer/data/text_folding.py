"""Texts as they are compared across splits. The service places prompts by the same rule; a test holds them equal."""

from __future__ import annotations

import re
import unicodedata

# Format characters (category Cf: joiners, soft hyphens, direction marks, tags), variation selectors, what Unicode calls
# ignorable by default (Hangul fillers, grapheme joiners).
INVISIBLE = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def folded(text: str) -> str:
    """Compatibility forms, invisible characters and case make no difference: NFKC, casefold, NFKC."""
    if text.isascii():
        return text.lower()
    seen = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return unicodedata.normalize("NFKC", seen.casefold())
