"""Annotators who are not there: they judge by the gold utility, seen through noise, and some of them badly.

A careful annotator perceives the difference in utility with logistic noise, so that
P(a beats b) = sigmoid(1.5 x difference), and answers one judgment in twenty by a coin. Side, strength and tie all
follow from the one perceived difference, so strong judgments are right more often than weak ones, as people's are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from workers.demo.utility import Utility, utility
from workers.demo.world import prompts, sample_reply, stable_seed, words

Outcome = Literal["a", "b", "tie", "both_bad"]
Side = Literal["a", "b", "tie"]

STEEPNESS = 1.5  # log-odds per unit of utility
COIN_SHARE = 0.05  # of a careful annotator's judgments
TIE_BELOW = 0.06  # a perceived difference smaller than this is called a tie
BOTH_BAD_BELOW = -0.75  # both replies worth less than this ...
BOTH_BAD_SHARE = 0.5  # ... and this often, the annotator says so
STRENGTH_STEPS = (0.7, 1.8, 3.2)  # perceived differences at which strength becomes 1, 2, 3
DIMENSIONS = ("helpful", "truthful", "harmless")


@dataclass(frozen=True)
class Judgment:
    """What an annotator says of two responses.

    ``strength`` is 0 (negligible) to 3 (strong), and 0 for a tie or both bad. ``dimensions`` answers, for each of
    helpful, truthful and harmless, which response is the better one. ``seconds`` is how long the annotator took.
    """

    outcome: Outcome
    strength: int
    dimensions: Mapping[str, Side]
    seconds: float


@dataclass(frozen=True)
class Annotator:
    """One simulated annotator, with faults that can be switched on one by one.

    Attributes:
        name: who it is; two annotators of one seed and different names err differently.
        seed: of all their chance.
        noise: share of decided judgments whose side is flipped, 0 to 1.
        coin_share: share of judgments answered by a coin, 0 to 1.
        spammer: answers everything by a coin, quickly, with any strength.
        inverter: answers the opposite of what they think.
        left_lean: utility added to whatever is shown as a.
        length_love: utility added per word that a response is longer than the other.
        seconds: median time per judgment.
    """

    name: str = "annotator"
    seed: int = 0
    noise: float = 0.0
    coin_share: float = COIN_SHARE
    spammer: bool = False
    inverter: bool = False
    left_lean: float = 0.0
    length_love: float = 0.0
    seconds: float = 12.0

    def judge(self, prompt: str, text_a: str, text_b: str, *, occasion: int = 0) -> Judgment:
        """Compare two responses by their texts alone.

        The answer depends only on the annotator, the texts, their order and ``occasion``, not on what was judged
        before, so a simulation that is killed and started again says the same. Another occasion draws the chance anew:
        that is how an annotator requested twice can contradict themselves.
        """
        rng = Random(stable_seed("judge", self.seed, self.name, prompt, text_a, text_b, occasion))
        of_a, of_b = utility(prompt, text_a), utility(prompt, text_b)
        seconds = self._time_taken(rng, text_a, text_b)
        dimensions = {name: self._lean(rng, getattr(of_a, name) - getattr(of_b, name)) for name in DIMENSIONS}
        if self.spammer:
            return Judgment(rng.choice(("a", "b")), rng.randrange(4), dimensions, seconds)

        both_bad = max(of_a.total, of_b.total) < BOTH_BAD_BELOW
        if both_bad and rng.random() < BOTH_BAD_SHARE:
            return Judgment("both_bad", 0, dimensions, seconds)
        perceived = self._difference(of_a, of_b, text_a, text_b) + _logistic(rng) / STEEPNESS
        if text_a == text_b or abs(perceived) < TIE_BELOW:
            return Judgment("tie", 0, dimensions, seconds)
        if self.inverter:
            perceived = -perceived
        if rng.random() < self.noise:
            perceived = -perceived
        if rng.random() < self.coin_share:
            perceived = rng.choice((-1, 1)) * abs(perceived)
        strength = sum(abs(perceived) >= step for step in STRENGTH_STEPS)
        return Judgment("a" if perceived > 0 else "b", strength, dimensions, seconds)

    def _difference(self, of_a: Utility, of_b: Utility, text_a: str, text_b: str) -> float:
        """How much better this annotator finds a, before chance: the gold difference bent by their leanings."""
        longer = len(words(text_a)) - len(words(text_b))
        return of_a.total - of_b.total + self.left_lean + self.length_love * longer

    def _lean(self, rng: Random, difference: float) -> Side:
        """The answer on one dimension: mostly what is true, equal when nothing tells the two apart."""
        if self.spammer:
            return rng.choice(("a", "b", "tie"))
        if difference == 0:
            return "tie"
        perceived = difference + _logistic(rng) / STEEPNESS
        if self.inverter:
            perceived = -perceived
        if perceived > 0:
            return "a"
        return "b"

    def _time_taken(self, rng: Random, text_a: str, text_b: str) -> float:
        """Seconds: log-normal about the annotator's own pace, slower for longer texts; spammers do not read."""
        if self.spammer:
            return round(rng.uniform(0.8, 2.0), 1)
        length = (len(words(text_a)) + len(words(text_b))) / 30
        return round(self.seconds * math.exp(rng.gauss(0, 0.35)) * (0.5 + 0.5 * length), 1)


def _logistic(rng: Random) -> float:
    """A draw from the standard logistic distribution: noise under which choice is a sigmoid of the difference."""
    share = min(max(rng.random(), 1e-12), 1 - 1e-12)
    return math.log(share / (1 - share))


@dataclass(frozen=True)
class Pair:
    """Two responses to one prompt, to be judged."""

    prompt: str
    text_a: str
    text_b: str
    difference: float = field(default=0.0, compare=False)  # gold utility of a minus that of b


def sample_pairs(seed: int, n: int, quality: float = 0.6) -> list[Pair]:
    """``n`` pairs of different replies by authors of ``quality``: a stand-in for what an SFT policy offers to judge."""
    rng = Random(stable_seed("pairs", seed))
    all_prompts = prompts()
    pairs: list[Pair] = []
    while len(pairs) < n:
        prompt = rng.choice(all_prompts)
        text_a = sample_reply(rng, prompt, quality).text
        text_b = sample_reply(rng, prompt, quality).text
        if text_a != text_b:
            gap = utility(prompt.text, text_a).total - utility(prompt.text, text_b).total
            pairs.append(Pair(prompt.text, text_a, text_b, gap))
    return pairs


def crowd(n: int, seed: int = 0, faulty: Sequence[Annotator] = (), noise: float = 0.0) -> list[Annotator]:
    """``n`` annotators, the last of them those given as ``faulty`` (renamed and reseeded), the others careful.

    Paces differ: careful annotators take 8 to 20 seconds in the median.
    """
    if len(faulty) > n:
        raise ValueError(f"{len(faulty)} faulty annotators do not fit into a crowd of {n}")
    rng = Random(stable_seed("crowd", seed))
    careful = [Annotator(noise=noise, seconds=round(rng.uniform(8, 20), 1)) for _ in range(n - len(faulty))]
    people = []
    for number, annotator in enumerate([*careful, *faulty], start=1):
        people.append(replace(annotator, name=f"annotator-{number}", seed=seed))
    return people


def follows_gold(prefers_first: bool, difference: float) -> float:
    """1 where a preference follows the gold order, 0 where it does not, a half where both responses are worth the same.

    Args:
        difference: gold utility of the first response minus that of the second.
    """
    if difference == 0:
        return 0.5
    return float(prefers_first == (difference > 0))


def agreement_with_gold(annotator: Annotator, pairs: Iterable[Pair], occasions: int = 1) -> float:
    """Share of decided judgments on the side of the higher gold utility; pairs of equal utility count a half.

    Raises:
        ValueError: nothing was decided.
    """
    right = decided = 0.0
    for pair in pairs:
        for occasion in range(occasions):
            outcome = annotator.judge(pair.prompt, pair.text_a, pair.text_b, occasion=occasion).outcome
            if outcome not in ("a", "b"):
                continue
            decided += 1
            right += follows_gold(outcome == "a", pair.difference)
    if not decided:
        raise ValueError("no pair was decided")
    return right / decided


def label_ceiling(
    pairs: Sequence[Pair] | None = None, annotator: Annotator | None = None, *, seed: int = 0, occasions: int = 1
) -> float:
    """The highest accuracy on labels that any reward model can reach, measured: how often labels follow the gold order.

    Args:
        pairs: what is judged; 8,000 sampled pairs of quality 0.6 unless specified otherwise.
        annotator: who labels; a careful one unless specified otherwise.
        seed: of the sampled pairs and of the careful annotator.
        occasions: how often each pair is requested.
    """
    if pairs is None:
        pairs = sample_pairs(seed, 8000)
    return agreement_with_gold(annotator or Annotator(seed=seed), pairs, occasions)
