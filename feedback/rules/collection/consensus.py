"""Many answers to one task: whether they disagree, and what they come to."""

from collections.abc import Sequence
from operator import attrgetter

from feedback.rules.collection.kinds.question import Payload
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.preferences import Preference


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
    strengths = map(attrgetter("strength"), won)
    return Preference(won[0].chosen, won[0].rejected, sum(strengths) // len(won))


def disagree(kind: str, payloads: Sequence[Payload]) -> bool:
    """Whether the answers differ in what matters: another response preferred or on top, other labels or spans, ratings
    two points apart. Strengths, reasons and what people write may differ. Withdrawals do not count."""
    submitted = list(filter(None, payloads))
    return len(submitted) > 1 and KINDS[kind].disagree(submitted)


def majority(kind: str, payloads: Sequence[Payload]) -> Payload | None:
    """What more than half of the answers say, as the first of them says it; of ratings the median, rounded down.
    None where no answer has a majority, and for what people write. Withdrawals do not count."""
    submitted = list(filter(None, payloads))
    if not submitted:
        return None
    agreed: Payload | None = KINDS[kind].majority(submitted)
    return agreed
