"""When active selection may choose the next pairs, how much of it, and what a replay proves.

The choice itself is in `acquisition.py`, which needs arrays; this module is plain Python, so that pages can read it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from feedback.rules.evaluation.intervals import wilson
from feedback.rules.platform.known_names import unknown_name
from feedback.rules.training.policies import InvalidPolicy

VARIANCE, D_OPTIMAL = "variance", "d_optimal"
ACQUISITIONS = {VARIANCE: "Disagreement of the reward model's heads", D_OPTIMAL: "D-optimal design"}
ACTIVE, RANDOM = "active", "random"  # arms of tasks
CHOSEN_BY_MODELS = (ACTIVE, "arena")  # arms whose tasks say nothing about what random labels would teach

HEADS = 4  # that the reward stage trains where active selection needs them
TEMPERATURE = 0.1  # weights of active pairs are score ** (1 / TEMPERATURE): close to "the highest", and never certain
RESPONSES_PER_PROMPT = 8  # in the pool
SMALLEST_BATCH, LARGEST_BATCH = 50, 1000
LEAST_RANDOM, MOST_RANDOM = 0.2, 1.0
DEFAULT_RANDOM = 0.3

FEWEST_LABELS = 1500
LEAST_ACCURACY = 0.55  # of the reward model on its selection split, low end of the interval
REPLAY_LABELS = 2000
REPLAY_SEEDS = 5
GROWTH = 1.5  # of the labels since the last replay, from which it has to be repeated
STUDENT_4 = 2.776  # 97.5 % point of Student's t with REPLAY_SEEDS - 1 degrees of freedom

NO_REPLAY, REPLAY_REFUSED, REPLAY_OUTDATED, DRIFT = "no_replay", "replay_refused", "replay_outdated", "drift_alarm"


@dataclass(frozen=True)
class Settings:
    """A project's settings for active selection.

    Attributes:
        on: whether tasks are chosen actively, as long as nothing stands against it.
        acquisition: "variance" (q(1-q)v over the heads) or "d_optimal".
        random_share: share of each batch that is drawn uniformly, 0.2 to 1.
        off_because: what the service switched it off for, `drift_alarm` or `replay_refused`; empty: a person did.
    """

    on: bool = False
    acquisition: str = VARIANCE
    random_share: float = DEFAULT_RANDOM
    off_because: str = ""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Settings":
        """The settings with defaults for what they do not say."""
        return cls(**stored)

    def stored(self) -> dict[str, Any]:
        return asdict(self)


def check(acquisition: object, random_share: object) -> None:
    """Raises InvalidPolicy unless both are within their bounds."""
    if acquisition not in ACQUISITIONS:
        raise InvalidPolicy("acquisition", unknown_name(str(acquisition), ACQUISITIONS, "acquisition"))
    is_number = isinstance(random_share, int | float) and not isinstance(random_share, bool)
    if not is_number or not LEAST_RANDOM <= random_share <= MOST_RANDOM:  # type: ignore[operator]
        raise InvalidPolicy("random_share", f"From {LEAST_RANDOM:g} to {MOST_RANDOM:g}.")


# --- sizes -----------------------------------------------------------------------------------------------


def batch_size(labels: int) -> int:
    """A quarter of the labels, 50 to 1,000: one large batch from a young reward model is worse than chance."""
    return min(max(labels // 4, SMALLEST_BATCH), LARGEST_BATCH)


def prompt_cap(batch: int, prompts: int) -> int:
    """Pairs of one prompt in a batch, at most: twice the mean, rounded up."""
    return math.ceil(2 * batch / max(prompts, 1))


def random_count(batch: int, share: float) -> int:
    """How many of a batch are drawn uniformly: the share, rounded half up."""
    return math.floor(batch * share + 0.5)


# --- whether it may choose --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A mean paired difference with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ReplayFigure:
    """What the newest replay of an acquisition showed.

    Attributes:
        labels: how many the project had.
        difference: accuracy of chosen labels minus that of random ones.
        learnable: whether random labels taught anything at all.
    """

    labels: int
    difference: Difference
    learnable: bool

    @property
    def is_better(self) -> bool:
        return self.learnable and self.difference.low > 0


@dataclass(frozen=True)
class Situation:
    """What decides whether active selection may choose.

    Attributes:
        labels: preference pairs of training prompts.
        accuracy_low: low end of the newest reward model's selection accuracy; None without a reward model.
        heads: of the newest reward model; 0 without one.
        replay: the newest of this acquisition; None where there is none.
        drifting: whether people's labels drifted from the newest reward model.
    """

    labels: int
    accuracy_low: float | None = None
    heads: int = 0
    replay: ReplayFigure | None = None
    drifting: bool = False


@dataclass(frozen=True)
class Obstacle:
    """One reason why tasks are chosen at random: a stable name, and a sentence with a way out."""

    name: str
    sentence: str


def accuracy_low(accuracy: float, pairs: int) -> float:
    """Low end of the 95 % interval of a selection accuracy on so many pairs, 0 to 1."""
    return wilson(accuracy * pairs, pairs)[0]


def against_switching_on(situation: Situation) -> list[Obstacle]:
    """Why it may not be switched on; empty where it may."""
    found: list[Obstacle] = []
    if situation.labels < FEWEST_LABELS:
        missing = FEWEST_LABELS - situation.labels
        sentence = f"{missing:,} more preference pairs are needed: {situation.labels:,} of {FEWEST_LABELS:,}."
        found.append(Obstacle("few_labels", sentence))
    if situation.accuracy_low is None:
        found.append(Obstacle("no_reward_model", "There is no reward model yet. Train one."))
    elif situation.accuracy_low <= LEAST_ACCURACY:
        sentence = (
            f"The newest reward model may be right on only {situation.accuracy_low:.0%} of validation pairs; "
            f"more than {LEAST_ACCURACY:.0%} is needed. Collect more labels, then train it again."
        )
        found.append(Obstacle("weak_reward_model", sentence))
    if situation.drifting:
        sentence = "Labels drifted from the newest reward model. Train a new one on the labels since."
        found.append(Obstacle("drift", sentence))
    return found + _of_replay(situation)


def against_choosing(settings: Settings, situation: Situation) -> list[Obstacle]:
    """Why the next batch is not chosen actively although it is on; empty where it is."""
    found = against_switching_on(situation)
    if settings.acquisition == VARIANCE and situation.heads == 1:
        sentence = f"The newest reward model has one head. The next one is trained with {HEADS}."
        found.append(Obstacle("one_head", sentence))
    return found


def replay_is_due(situation: Situation) -> bool:
    """Whether the labels have grown so much since the last replay that it no longer tells about them."""
    replay = situation.replay
    return replay is not None and situation.labels >= GROWTH * replay.labels


def _of_replay(situation: Situation) -> list[Obstacle]:
    replay = situation.replay
    if replay is None:
        return [Obstacle(NO_REPLAY, "No replay has shown yet that it saves labels here. Run one.")]
    if replay_is_due(situation):
        sentence = (
            f"The last replay used {replay.labels:,} preference pairs; now there are {situation.labels:,}. Run another."
        )
        return [Obstacle(REPLAY_OUTDATED, sentence)]
    if not replay.learnable:
        sentence = "In the last replay, models trained on random labels were not better than chance."
        return [Obstacle(REPLAY_REFUSED, f"{sentence} Check the agreement of your annotators.")]
    if not replay.is_better:
        sentence = "The last replay did not show that it is better than random selection here."
        return [Obstacle(REPLAY_REFUSED, f"{sentence} Try the other acquisition, or collect more labels.")]
    return []


# --- what a replay proves --------------------------------------------------------------------------------


def paired_difference(active: Sequence[float], random: Sequence[float]) -> Difference:
    """Mean of active - random over seeds, with Student's 95 % interval.

    Args:
        active, random: the accuracy by seed, REPLAY_SEEDS of each, on the same held-out pairs.
    """
    differences = [one - other for one, other in zip(active, random, strict=True)]
    if len(differences) != REPLAY_SEEDS:
        raise ValueError(f"{REPLAY_SEEDS} seeds are needed, not {len(differences)}")
    mean = fmean(differences)
    half = STUDENT_4 * stdev(differences) / math.sqrt(len(differences))
    return Difference(mean, mean - half, mean + half)


def is_learnable(random: Sequence[float], held_out: int) -> bool:
    """Whether models trained on random labels are right more often than chance on the held-out pairs.

    Seeds share the held-out pairs, so all of them together are worth one look at these pairs.
    """
    return accuracy_low(fmean(random), held_out) > 0.5
