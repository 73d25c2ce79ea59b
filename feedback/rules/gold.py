"""Checks: whether an answer says what is known to be right."""

from typing import Any

TOLD = ("chosen", "outcome", "labels", "ranking", "ratings")  # what a right answer may fix


def is_right(payload: dict[str, Any], gold: dict[str, Any]) -> bool:
    """All that the right answer fixes is so. A reason beside it, or anything else, is not compared."""
    asked = {name: gold[name] for name in TOLD if gold.get(name) is not None}
    return bool(asked) and all(payload.get(name) == value for name, value in asked.items())
