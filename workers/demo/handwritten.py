"""Comparisons written by hand: something worth judging in the first minute, before any model exists.

They lie in ``handwritten.json`` beside this file. Their prompts are of other matters than the demo world's grammar, so
they are for people; simulated annotators cannot tell their quality.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Literal

PATH = Path(__file__).with_name("handwritten.json")


@dataclass(frozen=True)
class Comparison:
    """One prompt with two responses in Markdown.

    Attributes:
        key: a short name, unique among all; it does not say which response is better.
        topic: what it is about, for people.
        about: in what the two differ most: helpful, truthful, harmless or style.
        better: which one is better where hardly anybody would disagree, so that it can serve as a check; else None.
        reason: why, in a sentence that may be shown to whoever answered otherwise; None where ``better`` is.
    """

    key: str
    topic: str
    about: Literal["helpful", "truthful", "harmless", "style"]
    prompt: str
    a: str
    b: str
    better: Literal["a", "b"] | None
    reason: str | None


@cache
def comparisons() -> tuple[Comparison, ...]:
    """All comparisons, in the order of the file."""
    return tuple(Comparison(**row) for row in json.loads(PATH.read_text(encoding="utf-8")))


def gold_checks() -> tuple[Comparison, ...]:
    """Those with a known answer and a reason. In half of them the better one is a, and it is not always the longer."""
    return tuple(filter(attrgetter("better"), comparisons()))
