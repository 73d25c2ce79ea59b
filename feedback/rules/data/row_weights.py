"""Weights of snapshot rows in the loss, as exact fractions of one comparison."""

from fractions import Fraction
from math import comb

from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import Payload

ONE = Fraction(1)


def of_ranked(count: int) -> Fraction:
    """Weight of each pair of `count` ranked responses: together they weigh as much as one comparison.

    K ranked responses make K (K - 1) / 2 pairs of one judgment. Source: Ouyang et al. 2022, equation 1.
    """
    if count > 2:
        return Fraction(1, comb(count, 2))
    return ONE


def of_answer(kind: str, payload: Payload) -> Fraction:
    """Weight of each preference pair of an annotation."""
    return of_ranked(KINDS[kind].count_compared(payload))
