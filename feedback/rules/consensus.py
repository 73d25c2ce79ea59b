"""Many answers to one comparison become one."""

from collections.abc import Sequence

from feedback.rules.preference import Preference


def consensus(preferences: Sequence[Preference], abstaining: int = 0) -> Preference | None:
    """What the majority prefers, with its mean strength rounded down; None on a draw or when most abstain.

    Args:
        preferences: one per annotator who preferred one of the same two responses.
        abstaining: how many said tie or both bad.
    """
    votes: dict[str, list[Preference]] = {}
    for preference in preferences:
        votes.setdefault(preference.chosen, []).append(preference)
    ranked = sorted(votes.values(), key=len, reverse=True)
    if not ranked or len(ranked[0]) <= abstaining or (len(ranked) > 1 and len(ranked[0]) == len(ranked[1])):
        return None
    won = ranked[0]
    return Preference(won[0].chosen, won[0].rejected, sum(one.strength for one in won) // len(won))
