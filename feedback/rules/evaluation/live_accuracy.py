"""Live accuracy of a reward model: how often it favors what people chose, on labels that it was not trained on.

A label is one annotation. One about two responses has one pair, an order of more of them several; each counts as one.
The headline is taken on the random slice, the tasks that no model chose: labels that a model chose to ask for are
harder than usual, and their accuracy says nothing about the others.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from feedback.rules.evaluation.intervals import FEWEST, clustered, not_enough

CHOSEN_BY_A_MODEL = frozenset(
    {"active", "arena", "battle"}
)  # arms whose pairs a model chose, or competing models wrote
ENOUGH_LABELS = 100  # of the random slice; below, no figure is stated
FEWEST_MOVED = 20  # labels on both sides below which a split is not blamed


class Outcome(NamedTuple):
    """What a version says about one label: means over its pairs.

    Attributes:
        gap: reward of the chosen less that of the rejected response, log-odds.
        p: probability of the choice, in [0, 1].
        favored: probability of the response that the version favors, in [1/2, 1].
        correct: share of pairs whose chosen response it favors; a tie counts a half.
    """

    gap: float
    p: float
    favored: float
    correct: float


@dataclass(frozen=True)
class Score:
    """One label as scored, to be stored.

    Attributes:
        annotation: its key. strength: of its pair, None where it has several. pairs: how many it has.
        outcome: None if the version cannot read it. spread: of the gap over the heads, None for a single head.
    """

    annotation: int
    strength: int | None
    pairs: int
    outcome: Outcome | None
    spread: float | None = None


@dataclass(frozen=True)
class Label:
    """One scored label with what it is split by."""

    prompt: int
    annotator: str
    arm: str
    strength: str
    source: str
    week: str
    favored: float
    correct: float

    @property
    def surprise(self) -> float:
        """How overconfident the version was, in [-1/2, 1]."""
        return self.favored - self.correct


@dataclass(frozen=True)
class Accuracy:
    """A share with its 95 % interval, clustered by prompt; None where there are too few prompts (`untold`)."""

    label: str
    value: float
    low: float | None
    high: float | None
    n: int
    untold: str = ""


class Moved(NamedTuple):
    """The split whose accuracy fell most."""

    split: str
    value: str
    before: float
    since: float


SPLITS: dict[str, Callable[[Label], str]] = {
    "strength": lambda label: label.strength,
    "annotator": lambda label: label.annotator,
    "source": lambda label: label.source,
    "week": lambda label: label.week,
    "arm": lambda label: label.arm,
}
BLAMED = ("strength", "annotator", "source")  # splits that a drift alarm looks at


def outcome(gaps: Sequence[float]) -> Outcome | None:
    """The outcome of a label with these gaps of its pairs, log-odds. None if one of them is no number."""
    if not gaps or not all(map(math.isfinite, gaps)):
        return None
    chances = [_sigmoid(gap) for gap in gaps]
    favored = [max(chance, 1 - chance) for chance in chances]
    correct = [0.5 + 0.5 * math.copysign(1, gap) if gap else 0.5 for gap in gaps]
    n = len(gaps)
    return Outcome(sum(gaps) / n, sum(chances) / n, sum(favored) / n, sum(correct) / n)


def in_random_slice(arm: str) -> bool:
    return arm not in CHOSEN_BY_A_MODEL


def accuracy(labels: Iterable[Label], name: str = "") -> Accuracy | None:
    """Mean correctness of labels with its interval; None of none."""
    by_prompt: dict[int, list[float]] = defaultdict(list)
    for label in labels:
        by_prompt[label.prompt].append(label.correct)
    return _mean(name, by_prompt)


def by_split(labels: Sequence[Label], split: str) -> list[Accuracy]:
    """Accuracy for each value of a split: weeks in order of time, others by number of labels, most first."""
    groups: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        groups[SPLITS[split](label)].append(label)
    rates = []
    for name, members in groups.items():
        rate = accuracy(members, name)
        if rate is not None:
            rates.append(rate)
    if split == "week":
        return sorted(rates, key=lambda rate: rate.label)
    return sorted(rates, key=lambda rate: (-rate.n, rate.label))


def agreement(repeated: Mapping[int, Sequence[tuple[int, Hashable]]]) -> Accuracy | None:
    """How often two people choose the same of two responses.

    Args:
        repeated: by task, (prompt, choice) of each person who decided; tasks of one person count nothing.

    Returns:
        Mean over tasks, n the number of tasks with at least two people; None if there is none.
    """
    by_prompt: dict[int, list[float]] = defaultdict(list)
    for answers in repeated.values():
        if len(answers) < 2:
            continue
        same = [one == other for (_, one), (_, other) in combinations(answers, 2)]
        by_prompt[answers[0][0]].append(sum(same) / len(same))
    return _mean("", by_prompt)


def moved_most(before: Sequence[Label], since: Sequence[Label]) -> Moved | None:
    """The value of a split whose accuracy fell by most standard errors; None if none fell."""
    worst, most = None, 0.0
    for split in BLAMED:
        value_of = SPLITS[split]
        earlier, later = Counter(map(value_of, before)), Counter(map(value_of, since))
        for value in sorted(earlier.keys() & later.keys()):
            if min(earlier[value], later[value]) < FEWEST_MOVED:
                continue
            old = [label.correct for label in before if value_of(label) == value]
            new = [label.correct for label in since if value_of(label) == value]
            was, now = sum(old) / len(old), sum(new) / len(new)
            fall = (was - now) / math.sqrt(_variance(was, len(old)) + _variance(now, len(new)))
            if fall > most:
                worst, most = Moved(split, value, was, now), fall
    return worst


def _mean(name: str, by_prompt: Mapping[int, Sequence[float]]) -> Accuracy | None:
    n = sum(map(len, by_prompt.values()))
    if not n:
        return None
    low, high = clustered(by_prompt.values())
    untold = "" if low is not None else not_enough(len(by_prompt))
    assert low is not None or len(by_prompt) < FEWEST
    value = sum(map(sum, by_prompt.values())) / n
    return Accuracy(name, value, low, high, n, untold)


def _variance(share: float, n: int) -> float:
    """Of a share of n, kept above 0 by half an observation on each side."""
    smoothed = (share * n + 0.5) / (n + 1)
    return smoothed * (1 - smoothed) / n


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    grown = math.exp(max(x, -700.0))
    return grown / (1 + grown)
