"""Reproducible seeds: a stable hash of what is drawn."""

import hashlib


def stable_seed(*parts: object, bits: int = 63) -> int:
    """A seed in [0, 2**bits). The same parts give the same seed on every machine and in every process."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> (64 - bits)
