"""Splits of prompts: 80 % train, 10 % selection, 10 % test, by family and by group.

Families, not prompts, are split: two wordings of one first message, a later turn of it or an edit would otherwise leak
what evaluation prompts contain into what is trained on. A group (a document, a conversation, a customer) is determined
by whoever brings
the rows and keeps them in one split too. Rows that came before never move: the oldest relative decides.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NO_SPLIT = "none"  # in no snapshot: it would link two splits
# What stands in a text without being seen: format characters (category Cf: joiners, soft hyphens, direction marks,
# tags), variation selectors, and what Unicode calls ignorable by default, such as Hangul fillers. Pasting from the web
# brings them.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def folded(text: str) -> str:
    """Text for comparison: compatibility forms, invisible characters and case make no difference.

    NFKC, without `INVISIBLE`, casefolded, NFKC again: casefolding can undo the first (U+0390).
    """
    if text.isascii():
        return text.lower()
    seen = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return unicodedata.normalize("NFKC", seen.casefold())


def normalized(text: str) -> str:
    """Text without case, extra white space, edge punctuation and invisible characters, to compare prompts by."""
    return _bare(folded(text))


def first_user_message(messages: Sequence[Mapping[str, str]]) -> str:
    return next((message["content"] for message in messages if message["role"] == "user"), "")


def family_of(salt: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Hash (64 hex digits) of the project's salt and the normalized first user message."""
    return _hash(salt, normalized(first_user_message(messages)))


def earlier_family_of(salt: str, messages: Sequence[Mapping[str, str]]) -> str:
    """The family of older prompts, from before invisible characters were folded."""
    return _hash(salt, _bare(unicodedata.normalize("NFKC", first_user_message(messages)).casefold()))


def split_of(family: str) -> str:
    """train, selection or test; a pure function of the family."""
    tenth = int(family[:8], 16) % 10
    if tenth < 8:
        return "train"
    if tenth == 8:
        return "selection"
    return "test"


def split_of_group(salt: str, group: str) -> str:
    """The split of a group none of whose rows has a relative."""
    return split_of(_hash(salt, f"\ngroup\n{group}"))


@dataclass(frozen=True)
class Elder:
    """The oldest row of a family or a group: its key and its split."""

    key: int
    split: str


@dataclass(frozen=True)
class Place:
    """The split of a new row. `moved`: a file names another split, but older relatives decide."""

    split: str
    moved: bool = False


def place_of(*, family: str, by_family: Elder | None, group: str = "", by_group: Elder | None = None,
             salt: str = "", wanted: str = "") -> Place:  # fmt: skip
    """The split of a new row: that of its oldest relative; none if its relatives lie in two.

    Args:
        by_family, by_group: the oldest row that shares its family, and its group, if there are any.
        wanted: the split that it had in the project it was exported from; taken where it has no relatives here.
    """
    if by_family and by_group and by_family.split != by_group.split:
        split = NO_SPLIT
    elif by_family or by_group:
        split = (by_family or by_group).split  # type: ignore[union-attr]
    else:
        split = wanted or (split_of_group(salt, group) if group else split_of(family))
    return Place(split, moved=bool(wanted) and split != wanted)


def _bare(folded: str) -> str:
    text = " ".join(folded.split())
    begin, end = 0, len(text)
    while begin < end and not text[begin].isalnum():
        begin += 1
    while begin < end and not text[end - 1].isalnum():
        end -= 1
    return text[begin:end]


def _hash(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()
