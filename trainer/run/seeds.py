"""Chance is written down: seeds derive from what is sampled, through a hash that is the same in every process."""

from __future__ import annotations

import random
from hashlib import blake2b


def stable_seed(*parts: object) -> int:
    """A seed in [0, 2**63) from the given parts, the same on any machine and in any process.

    Python's own `hash()` of a string differs between processes, which is why it is not used. Parts are joined by a
    unit separator after `str()`, so ("a", "b") and ("ab",) differ.
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_everything(*parts: object) -> int:
    """Seed python, numpy and torch for one stage and return the 32-bit seed used.

    Called at the start of every stage, so that its outcome does not depend on whether the stage before it ran in the
    same process or came from a cache.
    """
    import numpy
    import torch

    seed = stable_seed(*parts) % 2**32
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    return seed
