"""Contamination: texts that contain a prompt of the evaluation splits must not be trained on.

Words are compared, without case, punctuation and invisible characters. A prompt of 13 words or more is contained if
any 13 of its words in a row are (Brown et al. 2020, appendix C); a shorter one if all of it is; one of fewer than 5
words, which anybody might write, only if it is a line of its own.
"""

import re
from collections.abc import Iterable

from feedback.rules.data.splits import folded, normalized

GRAM = 13
FEWEST = 5
_WORD = re.compile(r"\w+")
_ROLE = re.compile(r"^(?:system|user|assistant): ")


class Evaluation:
    """The prompts of the evaluation splits, indexed for search.

    Args:
        prompts: the texts of held-out prompts.
    """

    def __init__(self, prompts: Iterable[str]) -> None:
        self.lines: set[str] = set()
        self.by_opening: dict[str, set[str]] = {}
        for prompt in prompts:
            words = words_of(prompt)
            if not words:
                continue
            if len(words) < FEWEST:
                self.lines.add(normalized(prompt))
            size = min(GRAM, len(words))
            for start in range(len(words) - size + 1) if size >= FEWEST else ():
                gram = words[start : start + size]
                self.by_opening.setdefault(" ".join(gram[:FEWEST]), set()).add(" ".join(gram))

    def in_text(self, text: str) -> str:
        """The words of a held-out prompt that `text` contains; empty if it contains none."""
        if self.lines:
            for line in text.split("\n"):
                if (sentence := normalized(_ROLE.sub("", line))) in self.lines:
                    return sentence
        if self.by_opening:
            words = words_of(text)
            for start in range(len(words) - FEWEST + 1):
                grams = self.by_opening.get(" ".join(words[start : start + FEWEST]))
                if grams:
                    ahead = " ".join(words[start : start + GRAM]) + " "
                    if found := next((gram for gram in sorted(grams) if ahead.startswith(gram + " ")), ""):
                        return found
        return ""


def words_of(text: str) -> list[str]:
    return _WORD.findall(folded(text))
