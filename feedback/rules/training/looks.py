"""How many of a run's saved responses other reward versions score: enough for a curve, whatever the run's length."""

from collections.abc import Sequence

MOST_LOOKS = 24
MOST_RESPONSES = 256  # of one look
MOST_VERSIONS = 5  # beside the run's own, the newest


def spread(steps: Sequence[int], most: int = MOST_LOOKS) -> list[int]:
    """At most `most` >= 2 of the steps, in order and evenly spread, the first and the last among them."""
    ordered = sorted(steps)
    if len(ordered) <= most:
        return ordered
    places = sorted({round(place * (len(ordered) - 1) / (most - 1)) for place in range(most)})
    return [ordered[place] for place in places]
