"""Near duplicates by MinHash and banding: texts that share nearly all of their five-word sequences.

128 hashes in 16 bands of 8: two texts with a Jaccard similarity of 0.8 share a band in 95 of 100 cases, with 0.9 in all
but 1 of 10,000. What shares a band is compared by all 128. Everything follows from the texts and their order.
"""

import re
from array import array
from operator import eq

from rensa import RMinHash

HASHES, BANDS, SEED = 128, 16, 42
ROWS = HASHES // BANDS
SHINGLE = 5
SIMILAR = 0.8
CROWD = 50  # texts kept in one place of a band: what is alike but not similar must not cost the square
_WORD = re.compile(r"\w+")


def signature(text: str) -> bytes:
    """The MinHash of a text: 128 unsigned 32-bit numbers, little end first."""
    words = _WORD.findall(text.casefold())
    shingles = [" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))]
    sketch = RMinHash(num_perm=HASHES, seed=SEED)
    sketch.update(shingles)
    return b"".join(number.to_bytes(4, "little") for number in sketch.digest())


def similarity(one: bytes, other: bytes) -> float:
    """The Jaccard similarity that two signatures estimate, 0 to 1; its standard error is at most 0.045."""
    return sum(map(eq, array("I", one), array("I", other))) / HASHES


class Neighbors:
    """Signatures seen so far, indexed by band. About 2.5 kB each."""

    def __init__(self) -> None:
        self.bands: list[dict[int, tuple[int, ...]]] = [{} for _ in range(BANDS)]
        self.signatures: dict[int, bytes] = {}

    def add(self, key: int, sketch: bytes) -> None:
        self.signatures[key] = sketch
        for band, part in zip(self.bands, _parts(sketch), strict=True):
            keys = band.get(part, ())
            if len(keys) < CROWD:
                band[part] = (*keys, key)

    def nearest(self, sketch: bytes, at_least: float = SIMILAR) -> tuple[int, float] | None:
        """The key of the most similar signature, the earliest of equals, and the similarity; None below `at_least`."""
        found: set[int] = set()
        for band, part in zip(self.bands, _parts(sketch), strict=True):
            found.update(band.get(part, ()))
        best = max(((similarity(sketch, self.signatures[key]), -key) for key in found), default=(0.0, 0))
        if found and best[0] >= at_least:
            return (-best[1], best[0])
        return None


def _parts(sketch: bytes) -> list[int]:
    width = ROWS * 4
    return [hash(sketch[start : start + width]) for start in range(0, HASHES * 4, width)]
