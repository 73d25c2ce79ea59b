"""Which pairs of responses are judged next: scores, and a batch drawn from them within caps.

Only workers import this module: it needs numpy. Notation for shapes: R responses, P pairs, K heads, D features.

Source of the scores: Lakshminarayanan et al. 2017 (variance over heads), with the weight q(1-q) of a Bernoulli label;
D-optimal design for a Bradley-Terry model, Mukherjee et al. 2024. Fixed-size draws with given inclusion probabilities:
systematic sampling, Madow 1949.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from feedback.rules.evaluation.active_selection import (
    ACTIVE,
    D_OPTIMAL,
    HEADS,
    RANDOM,
    batch_size,
    prompt_cap,
    random_count,
)

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

RIDGE = 1.0  # of the replay's heads and of the D-optimal design, on features of mean square 1
NEWTON_STEPS = 8


# --- scores ----------------------------------------------------------------------------------------------


def sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def gaps(heads: Floats, first: Whole, second: Whole) -> Floats:
    """Reward of the first minus that of the second by each head, log-odds, (P, K) from (R, K)."""
    return heads[first] - heads[second]


def undecided(gap: Floats) -> Floats:
    """q(1-q), where q is the mean probability over the heads that the first wins, (P,) from (P, K), 0 to 1/4."""
    q = sigmoid(gap).mean(axis=1)
    return np.asarray(q * (1.0 - q))


def disagreement(gap: Floats) -> Floats:
    """q(1-q)v, where v is the variance of the gap over the heads, (P,) from (P, K), >= 0.

    A constant added to the rewards of one head changes no gap, so it changes nothing.
    """
    return np.asarray(undecided(gap) * gap.var(axis=1))


@dataclass(frozen=True)
class Design:
    """What a D-optimal choice needs besides the heads.

    Attributes:
        features: the trunk's last normalized features of each response, (R, D).
        labeled: feature differences of the labeled pairs, (L, D). labeled_weight: q(1-q) of each, (L,).
    """

    features: Floats
    labeled: Floats
    labeled_weight: Floats


# --- a batch ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """The pairs that may be judged.

    Attributes:
        prompt: of each pair, any numbers, (P,). first, second: rows of its responses, (P,).
        heads: rewards of each response by each head, log-odds, (R, K).
        teaches: whether the pair may be chosen actively: its prompt is a training prompt, (P,). Random ones may be all.
        design: for the D-optimal acquisition.
    """

    prompt: Whole
    first: Whole
    second: Whole
    heads: Floats
    teaches: Flags
    design: Design | None = None

    def __len__(self) -> int:
        return len(self.prompt)


@dataclass(frozen=True)
class Rules:
    """How a batch is drawn.

    Attributes:
        batch: pairs wanted, >= 1. cap: pairs of one prompt, >= 1. random_share: 0 to 1.
        temperature: active pairs weigh score ** (1 / temperature), > 0; D-optimal choices have none.
    """

    acquisition: str
    batch: int
    cap: int
    random_share: float
    temperature: float
    seed: int


@dataclass(frozen=True)
class Pick:
    """A chosen pair: its place in the pool, its arm, and the probability with which that arm chose it, (0, 1]."""

    place: int
    arm: str
    propensity: float


@dataclass(frozen=True)
class Batch:
    """The chosen pairs, random ones first, and each pool pair's probability by arm, (P,): each sums to its picks."""

    picks: list[Pick]
    random: Floats
    active: Floats


@dataclass
class _Room:
    """What a batch has used up: responses, and how many pairs of each prompt."""

    pool: Pool
    cap: int
    used: set[int] = field(default_factory=set)
    of_prompt: dict[int, int] = field(default_factory=dict)

    def copy(self) -> "_Room":
        return replace(self, used=set(self.used), of_prompt=dict(self.of_prompt))

    def has(self, place: int) -> bool:
        first, second = int(self.pool.first[place]), int(self.pool.second[place])
        full = self.of_prompt.get(int(self.pool.prompt[place]), 0) >= self.cap
        return not full and first not in self.used and second not in self.used

    def take(self, place: int) -> None:
        prompt = int(self.pool.prompt[place])
        self.used |= {int(self.pool.first[place]), int(self.pool.second[place])}
        self.of_prompt[prompt] = self.of_prompt.get(prompt, 0) + 1

    def fill(self, order: Whole) -> Whole:
        """Places that fit all together, taken in this order."""
        taken: list[int] = []
        for place in order.tolist():
            if self.has(place):
                self.take(place)
                taken.append(place)
        return np.array(taken, dtype=np.int64)


def choose(pool: Pool, rules: Rules) -> Batch:
    """A batch: first its random share, uniform whatever the scores, then the active pairs around it.

    The batch is smaller where the caps leave no room for more.
    """
    chance = np.random.default_rng(rules.seed)
    room = _Room(pool, rules.cap)
    batch = min(rules.batch, len(pool))
    wanted = random_count(batch, rules.random_share)
    drawn, random = _random(pool, room, wanted, chance)
    picks = [Pick(int(place), RANDOM, float(random[place])) for place in drawn]
    for pick in picks:
        room.take(pick.place)
    if rules.acquisition == D_OPTIMAL:
        chosen, active = _d_optimal(pool, room, batch - wanted, chance)
    else:
        chosen, active = _by_score(pool, room, batch - wanted, rules.temperature, chance)
    picks += [Pick(int(place), ACTIVE, float(active[place])) for place in chosen]
    return Batch(picks, random, active)


def _random(pool: Pool, room: _Room, wanted: int, chance: np.random.Generator) -> tuple[Whole, Floats]:
    """Uniform over the pairs of the pool: the prompt by how many pairs it has, then one of its pairs by chance.

    Exactly uniform where a prompt gives one pair, or where all pairs of its responses are in the pool.
    """
    candidates = room.copy().fill(chance.permutation(len(pool)))
    prompts, numbers = np.unique(pool.prompt, return_inverse=True)
    pairs = np.bincount(numbers, minlength=len(prompts)).astype(float)
    of = numbers[candidates]
    among = np.bincount(of, minlength=len(prompts)).astype(float)
    propensity = inclusion(pairs[of] / among[of], wanted)
    by_prompt = np.bincount(of, weights=propensity, minlength=len(prompts))
    return candidates[systematic(propensity, chance)], (by_prompt / pairs)[numbers]


def _by_score(
    pool: Pool, room: _Room, wanted: int, temperature: float, chance: np.random.Generator
) -> tuple[Whole, Floats]:
    """Pairs weighed by a power of their score, out of the best that fit together; equal scores are drawn by chance."""
    score = disagreement(gaps(pool.heads, pool.first, pool.second))
    order = np.lexsort((chance.random(len(pool)), -score))
    candidates = room.copy().fill(order[pool.teaches[order]])
    propensity = np.zeros(len(pool))
    if len(candidates) == 0:
        return candidates, propensity
    top = float(score[candidates].max())
    weight = np.ones(len(candidates))
    if top > 0:
        weight = (score[candidates] / top) ** (1.0 / temperature)
    propensity[candidates] = inclusion(weight, wanted)
    return candidates[systematic(propensity[candidates], chance)], propensity


def _d_optimal(pool: Pool, room: _Room, wanted: int, chance: np.random.Generator) -> tuple[Whole, Floats]:
    """One by one the pair that adds most to log det A, where A = ridge + sum of q(1-q) f f' over what is known.

    By the matrix determinant lemma that is the largest q(1-q) f' A^-1 f, and A^-1 changes by one rank with each pick.
    Ties are drawn by chance. Nothing else is random, so each pick has probability 1 given the random ones.
    """
    design, propensity = pool.design, np.zeros(len(pool))
    if design is None:
        raise ValueError("a D-optimal choice needs features")
    weight = undecided(gaps(pool.heads, pool.first, pool.second))
    difference = design.features[pool.first] - design.features[pool.second]  # (P, D)
    information = RIDGE * np.eye(difference.shape[1])
    information += (design.labeled * design.labeled_weight[:, None]).T @ design.labeled
    inverse = np.linalg.inv(information)
    leverage = np.einsum("pd,de,pe->p", difference, inverse, difference, optimize=True)
    free = pool.teaches & np.array([room.has(place) for place in range(len(pool))], dtype=bool)
    tie_break = chance.permutation(len(pool))
    taken: list[int] = []
    while len(taken) < wanted and free.any():
        value = np.where(free, weight * leverage, -np.inf)
        ties = np.flatnonzero(value == value.max())
        place = int(ties[np.argmin(tie_break[ties])])
        room.take(place)
        taken.append(place)
        along = inverse @ difference[place]
        scale = weight[place] / (1.0 + weight[place] * leverage[place])
        inverse -= scale * np.outer(along, along)
        leverage = np.maximum(leverage - scale * (difference @ along) ** 2, 0.0)
        for other in np.flatnonzero(pool.prompt == pool.prompt[place]):
            free[other] = free[other] and room.has(int(other))
    propensity[taken] = 1.0
    return np.array(taken, dtype=np.int64), propensity


# --- draws of a fixed size -------------------------------------------------------------------------------


def inclusion(weight: Floats, wanted: int) -> Floats:
    """Probabilities min(1, c * weight) that sum to `wanted`, or all 1 where there are no more than that.

    Args:
        weight: >= 0. Those of weight 0 are drawn, alike, only where the others are too few.
    """
    if wanted >= len(weight):
        return np.ones(len(weight))
    positive = weight > 0
    if positive.sum() <= wanted:
        rest = (wanted - positive.sum()) / (~positive).sum()
        return np.where(positive, 1.0, rest)
    certain = np.zeros(len(weight), dtype=bool)
    while True:
        open_places = ~certain
        scaled = weight * ((wanted - certain.sum()) / weight[open_places].sum())
        over = open_places & (scaled >= 1.0)
        if not over.any():
            return np.where(certain, 1.0, scaled)
        certain |= over


def systematic(probability: Floats, chance: np.random.Generator) -> Whole:
    """Places drawn with exactly these probabilities, as many as they sum to, in a random order of the places."""
    certain = np.flatnonzero(probability >= 1.0)
    others = chance.permutation(np.flatnonzero((probability < 1.0) & (probability > 0.0)))
    number = round(float(probability[others].sum()))
    start = chance.random()
    if number == 0:
        return np.sort(certain)
    reached = np.cumsum(probability[others])
    reached *= number / reached[-1]
    hits = np.searchsorted(reached, start + np.arange(number), side="right")
    return np.concatenate([np.sort(certain), others[np.minimum(hits, len(others) - 1)]])


# --- replay ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labels:
    """Labeled pairs that a replay picks from.

    Attributes:
        prompt, chosen, rejected: of each label, numbers, (P,).
        features: the trunk's last normalized features of each response, (R, D).
    """

    prompt: Whole
    chosen: Whole
    rejected: Whole
    features: Floats


def replayed(labels: Labels, acquisition: str, random_share: float, temperature: float, seed: int) -> Whole:
    """Half of the labels, picked as the product would have: a quarter of them by chance, then batch after batch.

    Before each batch `HEADS` bootstrap heads are fitted to the features of the labels picked so far. Which response
    was preferred is known only of these: pairs are turned at random before they are scored.

    Returns:
        Places in `labels`, distinct, half of them rounded down.
    """
    chance = np.random.default_rng(seed)
    total = len(labels.prompt)
    goal = total // 2
    picked = np.zeros(total, dtype=bool)
    picked[chance.permutation(total)[: max(goal // 4, 1)]] = True
    while (have := int(picked.sum())) < goal:
        rest = np.flatnonzero(~picked)
        fitted = fitted_heads(_differences(labels, np.flatnonzero(picked)), bootstrapped(have, chance))
        heads = labels.features @ fitted.T
        turned = chance.random(len(rest)) < 0.5
        first = np.where(turned, labels.rejected[rest], labels.chosen[rest])
        second = np.where(turned, labels.chosen[rest], labels.rejected[rest])
        design = None
        if acquisition == D_OPTIMAL:
            known = np.flatnonzero(picked)
            weight = undecided(gaps(heads, labels.chosen[known], labels.rejected[known]))
            design = Design(labels.features, _differences(labels, known), weight)
        pool = Pool(labels.prompt[rest], first, second, heads, np.ones(len(rest), dtype=bool), design)
        batch = min(batch_size(have), goal - have)
        cap = prompt_cap(batch, len(np.unique(pool.prompt)))
        rules = Rules(acquisition, batch, cap, random_share, temperature, int(chance.integers(2**62)))
        places = [pick.place for pick in choose(pool, rules).picks]
        if not places:
            break
        picked[rest[places]] = True
    return np.flatnonzero(picked)


def _differences(labels: Labels, places: Whole) -> Floats:
    return labels.features[labels.chosen[places]] - labels.features[labels.rejected[places]]


def bootstrapped(labels: int, chance: np.random.Generator, heads: int = HEADS) -> Floats:
    """How often each label counts for each head: Poisson draws of mean 1, (heads, L)."""
    return chance.poisson(1.0, (heads, labels)).astype(float)


def fitted_heads(difference: Floats, counts: Floats) -> Floats:
    """Logistic heads on chosen - rejected features, (H, D).

    Minimizes the sum of count * -log sigmoid(w f) plus half the ridge times |w|^2, by Newton steps.

    Args:
        difference: of each label, (L, D). counts: how often it counts for each head, (H, L).
    """
    size = difference.shape[1]
    found = np.zeros((len(counts), size))
    for number, count in enumerate(counts):
        w = np.zeros(size)
        for _ in range(NEWTON_STEPS):
            p = sigmoid(difference @ w)
            gradient = RIDGE * w - difference.T @ (count * (1.0 - p))
            curvature = RIDGE * np.eye(size) + (difference * (count * p * (1.0 - p))[:, None]).T @ difference
            w = w - np.linalg.solve(curvature, gradient)
        found[number] = w
    return found


def normalized(features: Floats) -> Floats:
    """Features centered over the responses and scaled to a mean square of 1 in each dimension that varies."""
    centered = features - features.mean(axis=0)
    scale = np.sqrt((centered**2).mean(axis=0))
    return np.asarray(centered / np.where(scale > 1e-9, scale, 1.0))
