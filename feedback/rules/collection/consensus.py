"""Many answers to one task: whether they disagree, and what they come to."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Any

from feedback.rules.collection.preference import Preference

Payload = Mapping[str, Any]
APART = 2  # points between two ratings of one dimension that are more than a matter of taste


def consensus(preferences: Sequence[Preference], abstaining: int = 0) -> Preference | None:
    """What the majority prefers, with its mean strength rounded down; None on a draw or when most abstain.

    Args:
        preferences: one per annotator who preferred one of the same two responses.
        abstaining: how many stated tie or both bad.
    """
    votes: dict[str, list[Preference]] = {}
    for preference in preferences:
        votes.setdefault(preference.chosen, []).append(preference)
    ranked = sorted(votes.values(), key=len, reverse=True)
    if not ranked or len(ranked[0]) <= abstaining or (len(ranked) > 1 and len(ranked[0]) == len(ranked[1])):
        return None
    won = ranked[0]
    return Preference(won[0].chosen, won[0].rejected, sum(one.strength for one in won) // len(won))


def disagree(kind: str, payloads: Sequence[Payload]) -> bool:
    """Whether the answers differ in what matters: another response preferred or on top, other labels or spans, ratings
    two points apart. Strengths, reasons and what people write may differ."""
    submitted = [payload for payload in payloads if payload]
    if len(submitted) < 2:
        return False
    if kind == "rating":
        return any(
            max(marks) - min(marks) >= APART
            for marks in zip(*(one["ratings"].values() for one in submitted), strict=True)
        )
    return len({_core(kind, payload) for payload in submitted}) > 1


def majority(kind: str, payloads: Sequence[Payload]) -> dict[str, Any] | None:
    """What more than half of the answers say, as the first of them says it; of ratings the median, rounded down.
    None where no answer has a majority, and for what people write."""
    submitted = [payload for payload in payloads if payload]
    if not submitted or kind == "demonstration":
        return None
    if kind == "rating":
        marks = {name: int(median(one["ratings"][name] for one in submitted)) for name in submitted[0]["ratings"]}
        return {**submitted[0], "ratings": marks, "reason": ""}
    (most, count), *_ = Counter(_whole(kind, payload) for payload in submitted).most_common()
    if 2 * count <= len(submitted):
        return None
    return {**next(payload for payload in submitted if _whole(kind, payload) == most), "reason": ""}


def _core(kind: str, payload: Payload) -> Hashable:
    """The part of an answer that two people should share."""
    if kind == "ranking":
        return frozenset(payload["ranking"][0])
    if kind == "demonstration":
        return None
    return _whole(kind, payload)


def _whole(kind: str, payload: Payload) -> Hashable:
    if kind == "ranking":
        return tuple(frozenset(group) for group in payload["ranking"])
    if kind == "classification":
        return frozenset(payload["labels"])
    if kind == "spans":
        return frozenset((one["start"], one["end"], one["label"]) for one in payload["spans"])
    return payload.get("outcome"), payload.get("chosen")
