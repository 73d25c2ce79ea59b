"""Which split a prompt belongs to: 80 % train, 10 % selection, 10 % test, by family.

Families, not prompts, are split: two wordings of one first message, a later turn of it or an edit would otherwise leak
what evaluation asks into what is trained on.
"""

import hashlib
import unicodedata
from typing import Any


def normalised(text: str) -> str:
    """Case, white space and edge punctuation do not make another prompt."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    begin, end = 0, len(folded)
    while begin < end and not folded[begin].isalnum():
        begin += 1
    while begin < end and not folded[end - 1].isalnum():
        end -= 1
    return folded[begin:end]


def first_user_message(messages: list[dict[str, Any]]) -> str:
    return next((message["content"] for message in messages if message["role"] == "user"), "")


def family_of(salt: str, messages: list[dict[str, Any]]) -> str:
    """Hash (64 hex digits) of the project's salt and the normalised first user message."""
    return hashlib.sha256(f"{salt}\n{normalised(first_user_message(messages))}".encode()).hexdigest()


def split_of(family: str) -> str:
    """train, selection or test; a pure function of the family."""
    tenth = int(family[:8], 16) % 10
    if tenth < 8:
        return "train"
    return "selection" if tenth == 8 else "test"
