"""Which new comparisons two annotators get in a project that wants one annotation a task.

Without such tasks nothing tells a careful annotator from a careless one: `rules.quality.reliability_weights`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from feedback.rules.data.seeds import stable_seed
from feedback.rules.quality.reliability_weights import BEST, FEWEST_SHARED

ARM = "double"
WANTED = 2
LATER_SHARE = 0.05  # once everybody is known: people change, and the ceiling of accuracy is measured on these tasks


@dataclass(frozen=True)
class Choice:
    """Why a task is made, with which probability this reason was drawn, and how many annotations it wants."""

    arm: str
    propensity: float
    annotations_wanted: int


def share_now(wanted: float, people: int, shared_votes: Mapping[int, int]) -> float:
    """The share of new tasks for two annotators.

    Args:
        wanted: the project's share while somebody is not known well enough, 0 to 1.
        people: how many may annotate. With fewer than three, nobody stands out.
        shared_votes: of each person who annotated lately, votes on tasks that somebody else voted on too.
    """
    if people < BEST:
        return 0.0
    if shared_votes and min(shared_votes.values()) >= FEWEST_SHARED:
        return min(wanted, LATER_SHARE)
    return wanted


def choose(share: float, arm: str, propensity: float, *seed: object) -> Choice:
    """One new task: for two annotators with probability `share`, else what `arm` chose with `propensity`, for one."""
    if Random(stable_seed("double", *seed)).random() < share:
        return Choice(ARM, share, WANTED)
    return Choice(arm, propensity * (1 - share), 1)
