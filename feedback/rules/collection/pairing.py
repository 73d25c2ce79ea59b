"""Which responses meet, and in which order they are shown. Seeded, so that it can be reproduced."""

import random
from collections.abc import Sequence
from typing import TypeVar

from feedback.rules.data.seeds import stable_seed

T = TypeVar("T")

PRIORITIES = 10
CHANCE_BITS = 52  # (9 - priority) above them still fits a signed 64-bit column


def disjoint_pairs(responses: Sequence[T], *seed: object) -> list[tuple[T, T]]:
    """Every response in at most one pair, pairs by chance. An odd one is left over."""
    drawn = list(responses)
    random.Random(stable_seed("pairs", *seed)).shuffle(drawn)
    return [(drawn[i], drawn[i + 1]) for i in range(0, len(drawn) - 1, 2)]


def shown_order(responses: Sequence[T], *seed: object) -> list[T]:
    """The order in which this annotator sees them: every order equally likely."""
    order = list(responses)
    random.Random(stable_seed("order", *seed)).shuffle(order)
    return order


def queue_key(priority: int, *seed: object) -> int:
    """Where a task stands in the queue: priority 9 first, within a priority by chance."""
    return ((PRIORITIES - 1 - priority) << CHANCE_BITS) + stable_seed("queue", *seed, bits=CHANCE_BITS)
