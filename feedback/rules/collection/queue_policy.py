"""Who is given what: a project's settings for its queue, with their defaults and bounds, and the draws they lead to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from random import Random
from typing import Any

from feedback.rules.platform.known_names import unknown_name
from feedback.rules.training.policies import InvalidPolicy

SKIP_REASONS = ("unclear", "not_qualified", "offensive", "broken", "other")
TAKEN_BACK = "withdrawn"  # the skip reason of somebody who took their answer back
MOST_GOLD = 0.3  # a larger share could be guessed, since no check follows another
ONLY_GOLD = 1.0
MOST_WEIGHT = 100
MOST_DOUBLE = 0.5


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Settings of a project's queue.

    Attributes:
        gold_share: share of given tasks that are checks, 0 to 0.3; 1 gives nothing but checks, to test somebody.
        kind_weights: how often each kind is drawn, relative to the others; empty: in the order of the queue. A kind
            that is not named weighs 1; 0 is never given out.
        daily_limit: answers a person may give in a day (UTC); None for no limit.
        training_tasks: how many tasks of the training round count before real work; 0 for no training round.
        training_pass: share of them that must be right, percent.
        skips_to_review: a task skipped by so many people is put on hold for a reviewer; 0 never.
        review_share: share of answers that a reviewer looks at, drawn by chance, 0 to 1.
        double_share: share of new comparisons that two annotators get where a task wants one annotation, 0 to 0.5;
            less once everybody is known: `rules.quality.doubling`.
    """

    gold_share: float = 0.1
    kind_weights: Mapping[str, int] = field(default_factory=dict)
    daily_limit: int | None = None
    training_tasks: int = 0
    training_pass: int = 80
    skips_to_review: int = 3
    review_share: float = 0.0
    double_share: float = 0.15

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "QueuePolicy":
        """The settings with defaults for what they do not say."""
        return cls(**settings)

    def gold_chance(self, check_last: bool) -> float:
        """The chance that the next task is a check. After a check comes none; in the long run the share is right."""
        if self.gold_share == ONLY_GOLD:
            return 1.0
        if check_last:
            return 0.0
        return self.gold_share / (1 - self.gold_share)


_WHOLE = {"training_tasks": (0, 100), "training_pass": (1, 100), "skips_to_review": (0, 100)}


def check(settings: object, kinds: list[str]) -> None:
    """Raises InvalidPolicy unless every setting is known and within its bounds. `kinds`: those that exist."""
    if not isinstance(settings, dict):
        raise InvalidPolicy("queue_policy", "It must be an object.")
    known = list(map(attrgetter("name"), fields(QueuePolicy)))
    for name, value in settings.items():
        where = f"queue_policy.{name}"
        if name not in known:
            raise InvalidPolicy(where, unknown_name(name, known, "setting"))
        if name == "gold_share" and not (_number(value) and (0 <= value <= MOST_GOLD or value == ONLY_GOLD)):
            raise InvalidPolicy(where, f"From 0 to {MOST_GOLD:g}, or 1 for only gold tasks.")
        if name == "review_share" and not (_number(value) and 0 <= value <= 1):
            raise InvalidPolicy(where, "From 0 to 1.")
        if name == "double_share" and not (_number(value) and 0 <= value <= MOST_DOUBLE):
            raise InvalidPolicy(where, f"From 0 to {MOST_DOUBLE:g}.")
        if name == "daily_limit" and value is not None and not _whole(value, 1, 100_000):
            raise InvalidPolicy(where, "A whole number from 1 to 100000, or null for no limit.")
        if name in _WHOLE and not _whole(value, *_WHOLE[name]):
            low, high = _WHOLE[name]
            raise InvalidPolicy(where, f"A whole number from {low} to {high}.")
        if name == "kind_weights":
            _check_weights(value, kinds)


def check_qualified(qualified: object, kinds: list[str], schemes: list[str]) -> None:
    """Raises InvalidPolicy unless it is {"kinds": [...], "schemes": [...]} of what there is; either may be missing."""
    if not isinstance(qualified, dict):
        raise InvalidPolicy("qualified", "It must be an object.")
    choices = {"kinds": kinds, "schemes": schemes}
    for name, value in qualified.items():
        if name not in choices:
            raise InvalidPolicy(f"qualified.{name}", unknown_name(name, choices))
        if not isinstance(value, list) or not all(one in choices[name] for one in value):
            there = ", ".join(choices[name]) or "nothing, since there are none"
            raise InvalidPolicy(f"qualified.{name}", f"A list of {there}.")


def drawn(weights: Mapping[str, float], chance: Random) -> Iterator[tuple[str, float]]:
    """Names in a random order by weight, each with the chance it had among those not drawn before it."""
    left = {name: weight for name, weight in weights.items() if weight > 0}
    while left:
        (name,) = chance.choices(list(left), list(left.values()))
        yield name, left[name] / sum(left.values())
        del left[name]


def _check_weights(weights: object, kinds: list[str]) -> None:
    where = "queue_policy.kind_weights"
    if not isinstance(weights, dict):
        raise InvalidPolicy(where, "An object of weights by kind.")
    for kind, weight in weights.items():
        if kind not in kinds:
            raise InvalidPolicy(f"{where}.{kind}", f"The kinds are {', '.join(kinds)}.")
        if not _whole(weight, 0, MOST_WEIGHT):
            raise InvalidPolicy(f"{where}.{kind}", f"A whole number from 0 to {MOST_WEIGHT}.")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
