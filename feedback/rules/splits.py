"""Which split a prompt belongs to: 80 % train, 10 % selection, 10 % test, by family.

Families, not prompts, are split: two wordings of one first message, a later turn of it or an edit would otherwise leak
what evaluation asks into what is trained on.
"""

import hashlib
import re
import unicodedata
from typing import Any

_BLANKS = re.compile(r"\s+")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


def normalised(text: str) -> str:
    """Case, white space and edge punctuation do not make another prompt."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _EDGES.sub("", _BLANKS.sub(" ", folded)).strip()


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
