"""Which pairs active selection asks next: scores by hand, a batch within its caps, a random slice that stays random."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from feedback.rules.evaluation.acquisition import (
    Batch,
    Design,
    Labels,
    Pool,
    Rules,
    choose,
    disagreement,
    gaps,
    inclusion,
    normalized,
    replayed,
    sigmoid,
    systematic,
)
from feedback.rules.evaluation.active_selection import ACTIVE, D_OPTIMAL, RANDOM, VARIANCE, prompt_cap, random_count

NEARLY_THE_HIGHEST = 0.001


def pool_of(prompts: int, responses: int, heads: np.ndarray | None = None, seed: int = 0) -> Pool:
    """All pairs of so many responses to each of so many prompts."""
    rows = [
        (prompt, prompt * responses + one, prompt * responses + other)
        for prompt in range(prompts)
        for one, other in combinations(range(responses), 2)
    ]
    if heads is None:
        heads = np.random.default_rng(seed).normal(size=(prompts * responses, 4))
    columns = np.array(rows, dtype=np.int64)
    return Pool(columns[:, 0], columns[:, 1], columns[:, 2], heads, np.ones(len(rows), dtype=bool))


def rules(batch: int, **changes: object) -> Rules:
    usual = Rules(VARIANCE, batch, cap=batch, random_share=0.3, temperature=0.1, seed=1)
    return replace(usual, **changes)  # type: ignore[arg-type]


def places(batch: Batch, arm: str = "") -> list[int]:
    return [pick.place for pick in batch.picks if arm in ("", pick.arm)]


def p(gap: float) -> float:
    return float(1 / (1 + np.exp(-gap)))


class TestScores:
    # Four responses of one prompt under two heads: six pairs.
    HEADS = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, -3.0]])

    def test_six_pairs_by_hand(self) -> None:
        pool = pool_of(1, 4, self.HEADS)
        told = disagreement(gaps(pool.heads, pool.first, pool.second))
        by_hand = []
        for one, other in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]:
            first, second = self.HEADS[one] - self.HEADS[other]
            q = (p(first) + p(second)) / 2
            by_hand.append(q * (1 - q) * ((first - second) / 2) ** 2)
        assert told == pytest.approx(by_hand)
        assert told[0] == 0, "both heads say the same, however sure they are"
        assert np.argmax(told) == 2, "0 against 3: the heads say -3 and 3, so q is 1/2 and v is 9"
        assert told[2] == pytest.approx(2.25)

    def test_the_best_two_that_share_no_response(self) -> None:
        wanted = rules(2, random_share=0.0, temperature=NEARLY_THE_HIGHEST)
        # (0, 3) is best and takes 0 and 3; of the others only (1, 2) is left.
        assert sorted(places(choose(pool_of(1, 4, self.HEADS), wanted))) == [2, 3]

    @pytest.mark.parametrize("constant", [-7.0, 0.5, 1000.0])
    def test_a_constant_on_one_head_changes_nothing(self, constant: float) -> None:
        pool = pool_of(30, 4)
        shifted = pool.heads.copy()
        shifted[:, 2] += constant
        before, after = choose(pool, rules(20)), choose(replace(pool, heads=shifted), rules(20))
        assert [(pick.place, pick.arm) for pick in before.picks] == [(pick.place, pick.arm) for pick in after.picks]
        assert before.active == pytest.approx(after.active)


class TestBatch:
    def test_same_seed_and_pool_same_picks(self) -> None:
        pool = pool_of(40, 8)
        assert choose(pool, rules(25)).picks == choose(pool, rules(25)).picks
        assert choose(pool, rules(25)).picks != choose(pool, rules(25, seed=2)).picks

    @pytest.mark.parametrize(("batch", "share"), [(50, 0.3), (50, 0.2), (10, 0.25), (20, 1.0), (7, 0.3)])
    def test_shares_are_exact_and_propensities_sum_to_them(self, batch: int, share: float) -> None:
        told = choose(pool_of(40, 8), rules(batch, cap=prompt_cap(batch, 40), random_share=share))
        random = random_count(batch, share)
        assert (len(places(told, RANDOM)), len(places(told, ACTIVE))) == (random, batch - random)
        assert told.random.sum() == pytest.approx(random)
        assert told.active.sum() == pytest.approx(batch - random)
        assert all(0 < pick.propensity <= 1 for pick in told.picks)

    @pytest.mark.parametrize("acquisition", [VARIANCE, D_OPTIMAL])
    @pytest.mark.parametrize(("prompts", "batch"), [(5, 8), (12, 12), (3, 9)])
    def test_caps_hold_whatever_the_scores(self, acquisition: str, prompts: int, batch: int) -> None:
        heads = np.random.default_rng(3).normal(size=(prompts * 8, 4))
        heads[:8] *= 50  # everything interesting is at the first prompt
        pool = pool_of(prompts, 8, heads)
        pool = replace(pool, design=Design(np.random.default_rng(4).normal(size=(len(heads), 5)), no_labels(), none()))
        cap = prompt_cap(batch, prompts)
        told = places(choose(pool, rules(batch, acquisition=acquisition, cap=cap)))
        assert len(told) == len(set(told)) == batch
        assert max(np.bincount(pool.prompt[told])) <= cap
        responses = [*pool.first[told], *pool.second[told]]
        assert len(responses) == len(set(responses)), "a response is in one pair of a batch"

    def test_a_batch_is_smaller_where_the_caps_leave_no_room(self) -> None:
        assert len(choose(pool_of(2, 4), rules(50, cap=1)).picks) == 2

    def test_only_training_prompts_are_chosen_actively(self) -> None:
        pool = pool_of(20, 4)
        told = choose(replace(pool, teaches=pool.prompt < 5), rules(20, cap=2))
        assert set(pool.prompt[places(told, ACTIVE)]) <= set(range(5))
        assert max(pool.prompt[places(told, RANDOM)]) >= 5

    def test_equal_heads_give_a_random_batch_and_not_the_first_rows(self) -> None:
        pool = pool_of(20, 4, np.repeat(np.random.default_rng(0).normal(size=(80, 1)), 4, axis=1))
        count = np.zeros(len(pool))
        for seed in range(200):
            count[places(choose(pool, rules(12, random_share=0.0, seed=seed)))] += 1
        assert chi_square(count) < chi_square_bound(len(pool) - 1)

    @pytest.mark.parametrize("prompts, responses", [(15, 4), (4, 8)])
    def test_the_random_slice_is_uniform_whatever_the_scores(self, prompts: int, responses: int) -> None:
        heads = np.random.default_rng(5).normal(size=(prompts * responses, 4)) * np.array([0.1, 1, 10, 40])
        pool = pool_of(prompts, responses, heads)
        count = np.zeros(len(pool))
        for seed in range(200):
            count[places(choose(pool, rules(20, cap=3, seed=seed)), RANDOM)] += 1
        assert count.sum() == 200 * 6
        assert chi_square(count) < chi_square_bound(len(pool) - 1)

    def test_prompts_with_more_pairs_are_drawn_more_often(self) -> None:
        """A prompt with 8 responses has 28 pairs, one with 2 has one: each pair has the same chance."""
        large, small = pool_of(1, 8), pool_of(28, 2)
        pool = Pool(
            prompt=np.concatenate([large.prompt, small.prompt + 1]),
            first=np.concatenate([large.first, small.first + 8]),
            second=np.concatenate([large.second, small.second + 8]),
            heads=np.zeros((8 + 56, 4)),
            teaches=np.ones(56, dtype=bool),
        )
        drawn = [places(choose(pool, rules(4, random_share=1.0, seed=seed))) for seed in range(200)]
        of_large = sum(place < 28 for one in drawn for place in one)
        assert abs(of_large - 400) < 3 * np.sqrt(800 / 4)
        assert choose(pool, rules(4, random_share=1.0)).random == pytest.approx(np.full(56, 4 / 56))

    def test_a_random_pick_has_the_chance_that_its_task_records(self) -> None:
        told = choose(pool_of(40, 8), rules(50, cap=3))
        told_chances = [pick.propensity for pick in told.picks if pick.arm == RANDOM]
        assert told_chances == pytest.approx([15 / 1120] * 15)


class TestDOptimal:
    def test_rank_one_updates_are_those_of_the_whole_matrix(self) -> None:
        chance = np.random.default_rng(6)
        features, labeled = chance.normal(size=(30, 4)), chance.normal(size=(12, 4))
        weight = chance.uniform(0.05, 0.25, size=12)
        pool = replace(pool_of(10, 3), design=Design(features, labeled, weight))
        told = places(choose(pool, rules(5, acquisition=D_OPTIMAL, random_share=0.0, cap=5)))

        difference = features[pool.first] - features[pool.second]
        q = sigmoid(gaps(pool.heads, pool.first, pool.second)).mean(axis=1)
        information = np.eye(4) + (labeled * weight[:, None]).T @ labeled
        expected: list[int] = []
        used: set[int] = set()
        for _ in range(5):
            inverse = np.linalg.inv(information)
            values = [
                -1.0 if {pool.first[n], pool.second[n]} & used else q[n] * (1 - q[n]) * d @ inverse @ d
                for n, d in enumerate(difference)
            ]
            best = int(np.argmax(values))
            expected.append(best)
            used |= {pool.first[best], pool.second[best]}
            information += q[best] * (1 - q[best]) * np.outer(difference[best], difference[best])
        assert told == expected

    def test_ties_are_drawn(self) -> None:
        pool = pool_of(30, 2, np.zeros((60, 4)))
        pool = replace(pool, design=Design(np.zeros((60, 3)), no_labels(3), none()))
        firsts = {places(choose(pool, rules(1, acquisition=D_OPTIMAL, random_share=0.0, seed=s)))[0] for s in range(30)}
        assert len(firsts) > 10


class TestDraws:
    def test_probabilities_are_at_most_one_and_sum_to_what_is_wanted(self) -> None:
        told = inclusion(np.array([100.0, 10.0, 1.0, 1.0, 0.0]), 3)
        assert told == pytest.approx([1, 1, 0.5, 0.5, 0])
        assert inclusion(np.array([5.0, 0.0, 0.0]), 2) == pytest.approx([1, 0.5, 0.5])
        assert inclusion(np.array([1.0, 2.0]), 7) == pytest.approx([1, 1])

    def test_places_are_drawn_as_often_as_their_probability(self) -> None:
        probability = np.array([1.0, 0.6, 0.2, 0.7, 0.5])
        count = np.zeros(5)
        for seed in range(2000):
            drawn = systematic(probability, np.random.default_rng(seed))
            assert len(drawn) == len(set(drawn)) == 3
            count[drawn] += 1
        assert count / 2000 == pytest.approx(probability, abs=0.035)


class TestReplay:
    @pytest.fixture
    def labels(self) -> Labels:
        """400 labels on 40 prompts whose answers follow one direction of the features."""
        chance = np.random.default_rng(8)
        features = normalized(chance.normal(size=(320, 6)))
        reward = features @ chance.normal(size=6) * 2
        rows = []
        for _ in range(400):
            prompt = int(chance.integers(40))
            one, other = 8 * prompt + chance.choice(8, 2, replace=False)
            if chance.random() > sigmoid(reward[one] - reward[other]):
                one, other = other, one
            rows.append((prompt, one, other))
        columns = np.array(rows)
        return Labels(columns[:, 0], columns[:, 1], columns[:, 2], features)

    @pytest.mark.parametrize("acquisition", [VARIANCE, D_OPTIMAL])
    def test_half_of_the_labels_each_once_and_the_same_for_a_seed(self, labels: Labels, acquisition: str) -> None:
        told = replayed(labels, acquisition, 0.3, 0.1, 11)
        assert len(told) == len(set(told.tolist())) == 200
        assert told.tolist() == replayed(labels, acquisition, 0.3, 0.1, 11).tolist()
        assert told.tolist() != replayed(labels, acquisition, 0.3, 0.1, 12).tolist()


def no_labels(size: int = 5) -> np.ndarray:
    return np.zeros((0, size))


def none() -> np.ndarray:
    return np.zeros(0)


def chi_square(count: np.ndarray) -> float:
    expected = count.sum() / len(count)
    return float(((count - expected) ** 2 / expected).sum())


def chi_square_bound(freedom: int) -> float:
    """The 99.9 % point, by Wilson and Hilferty."""
    return float(freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3)
