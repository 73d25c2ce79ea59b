"""Rankings as groups from best to worst, where members of one group tie; and as the rank of each member."""

from collections.abc import Mapping, Sequence


def ranks_of(groups: Sequence[Sequence[str]]) -> dict[str, int]:
    """The place of each member's group, from 0."""
    ranks: dict[str, int] = {}
    for rank, group in enumerate(groups):
        for member in group:
            ranks[member] = rank
    return ranks


def groups_of(ranks: Mapping[str, int]) -> list[list[str]]:
    """Groups from the lowest rank to the highest. Members of equal rank tie; they keep their order."""
    by_rank: dict[int, list[str]] = {}
    for member, rank in ranks.items():
        by_rank.setdefault(rank, []).append(member)
    return [by_rank[rank] for rank in sorted(by_rank)]
