"""What a row of a snapshot weighs in the loss, as an exact fraction of one comparison."""

from fractions import Fraction
from math import comb
from typing import Any

ONE = Fraction(1)


def of_ranked(count: int) -> Fraction:
    """Of each pair among `count` responses that one person put in order: together they weigh as one comparison.

    A ranking of K makes K (K - 1) / 2 pairs of one judgement. Source: Ouyang et al. 2022, equation 1.
    """
    return Fraction(1, comb(count, 2)) if count > 2 else ONE


def of_answer(kind: str, payload: dict[str, Any]) -> Fraction:
    """Of each pair that one answer to a task makes."""
    return of_ranked(sum(len(group) for group in payload["ranking"])) if kind == "ranking" else ONE
