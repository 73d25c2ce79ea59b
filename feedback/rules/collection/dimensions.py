"""Names of what is requested beside the overall choice, such as helpful and truthful."""

import unicodedata
from collections.abc import Sequence

from feedback.rules.data.texts import as_stored

MOST = 12
MOST_CHARACTERS = 60
LINE_ENDS_AND_CONTROLS = {"Cc", "Zl", "Zp"}  # categories of Unicode


class InvalidDimensions(ValueError):
    """Why names cannot be a project's dimensions; a sentence."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        super().__init__(sentence)


def fault(name: str) -> str:
    """Why a name cannot be a dimension's, or nothing."""
    if not name.strip() or len(name) > MOST_CHARACTERS:
        return f"A dimension's name has 1 to {MOST_CHARACTERS} characters."
    if name != name.strip() or LINE_ENDS_AND_CONTROLS & set(map(unicodedata.category, name)):
        return "A dimension name is one line without surrounding spaces."
    return ""


def alike(one: str, other: str) -> bool:
    """Whether at most case and the way accents are written differ: annotators could hardly tell them apart."""
    return as_stored(one).casefold() == as_stored(other).casefold()


def check(names: Sequence[str]) -> None:
    """
    Raises:
        InvalidDimensions: a name cannot be one, two are alike, or there are too many.
    """
    if len(names) > MOST:
        raise InvalidDimensions(f"At most {MOST} dimensions are allowed; these are {len(names)}.")
    for place, name in enumerate(names):
        if wrong := fault(name):
            raise InvalidDimensions(wrong)
        if twin := next((earlier for earlier in names[:place] if alike(earlier, name)), None):
            raise InvalidDimensions(f"{twin!r} and {name!r} are the same name. Remove one of them.")
