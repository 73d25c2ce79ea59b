"""Live accuracy by hand: outcomes of labels, the random slice, splits, calibration, agreement, what moved most."""

import math

import pytest

from feedback.rules.evaluation import live_accuracy as rules
from feedback.rules.evaluation.live_accuracy import Label, Moved


def label(correct: float = 1.0, favored: float = 0.75, prompt: int = 1, **changes: str) -> Label:
    given = {"annotator": "ben", "arm": "random", "strength": "better", "source": "api", "week": "2026-W01"} | changes
    return Label(prompt=prompt, favored=favored, correct=correct, **given)


def test_a_comparison() -> None:
    found = rules.outcome([math.log(3)])
    assert found is not None
    assert found == pytest.approx((math.log(3), 0.75, 0.75, 1.0))
    against = rules.outcome([-math.log(3)])
    assert against == pytest.approx((-math.log(3), 0.25, 0.75, 0.0))


def test_a_tie_is_half_right_and_no_surprise() -> None:
    assert rules.outcome([0.0]) == (0.0, 0.5, 0.5, 0.5)


def test_a_ranking_counts_as_one_label() -> None:
    found = rules.outcome([math.log(3), -math.log(3), math.log(9)])
    assert found == pytest.approx((math.log(9) / 3, (0.75 + 0.25 + 0.9) / 3, (0.75 + 0.75 + 0.9) / 3, 2 / 3))


@pytest.mark.parametrize("gaps", [[], [math.nan], [1.0, math.inf]])
def test_what_is_no_number_has_no_outcome(gaps: list[float]) -> None:
    assert rules.outcome(gaps) is None


def test_gaps_without_bound_stay_in_range() -> None:
    assert rules.outcome([1e6]) == (1e6, 1.0, 1.0, 1.0)
    found = rules.outcome([-1e6])
    assert found is not None and 0 <= found.p < 1e-300 and found.favored == 1.0


@pytest.mark.parametrize(
    ("arm", "by_chance"),
    [
        ("random", True),
        ("double", True),
        ("given", True),
        ("imported", True),
        ("active", False),
        ("arena", False),
        ("battle", False),
    ],
)
def test_the_random_slice_is_what_no_model_chose(arm: str, by_chance: bool) -> None:
    assert rules.in_random_slice(arm) is by_chance


def test_accuracy_is_clustered_by_prompt() -> None:
    alike = [label(correct=float(prompt % 2), prompt=prompt) for prompt in range(20) for _ in range(10)]
    apart = [label(correct=float(n % 2), prompt=n) for n in range(200)]
    clustered, single = rules.accuracy(alike), rules.accuracy(apart)
    assert clustered is not None and single is not None
    assert clustered.value == single.value == 0.5
    assert clustered.low is not None and single.low is not None and clustered.low < single.low - 0.1
    few = rules.accuracy([label(prompt=1), label(prompt=2)])
    assert few is not None and few.low is None and few.untold == "too few prompts (2 of 8)"
    assert rules.accuracy([]) is None


def test_splits_are_ordered() -> None:
    labels = [label(week="2026-W02"), label(week="2026-W01"), label(week="2026-W02", correct=0.0)]
    assert [(rate.label, rate.n, rate.value) for rate in rules.by_split(labels, "week")] == [
        ("2026-W01", 1, 1.0),
        ("2026-W02", 2, 0.5),
    ]
    arms = [label(arm="active", correct=0.0), label(), label()]
    assert [(rate.label, rate.n) for rate in rules.by_split(arms, "arm")] == [("random", 2), ("active", 1)]


def test_agreement_of_people() -> None:
    found = rules.agreement({1: [(1, "a"), (1, "a")], 2: [(2, "a"), (2, "b")], 3: [(3, "a")], 4: [(4, "b"), (4, "b")]})
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    three = rules.agreement({1: [(1, "a"), (1, "a"), (1, "b")]})
    assert three is not None and three.value == pytest.approx(1 / 3)
    assert rules.agreement({1: [(1, "a")]}) is None


def test_the_split_that_fell_most() -> None:
    before = [label(annotator=who) for who in ("ben", "chloe") for _ in range(40)]
    since = [label(annotator="ben", correct=0.0) for _ in range(40)]
    since += [label(annotator="chloe") for _ in range(40)]
    assert rules.moved_most(before, since) == Moved("annotator", "ben", 1.0, 0.0)
    assert rules.moved_most(before, before) is None
    assert rules.moved_most(before[:10], since[:10]) is None, "too few to blame anybody"
