"""Intervals cover as often as they say, also over few prompts, and say nothing over too few."""

import random
from statistics import fmean

import pytest

from feedback.rules.evaluation.intervals import FEWEST, clustered, not_enough, student, wilson


@pytest.mark.parametrize(("freedom", "point"), [(7, 2.3646), (9, 2.2622), (19, 2.0930), (49, 2.0096), (10**6, 1.9600)])
def test_student_is_the_table_s(freedom: int, point: float) -> None:
    assert student(freedom) == pytest.approx(point, abs=1e-3)


def drawn(rng: random.Random, groups: int, share: float, alike: float, most: int) -> list[list[float]]:
    """Values 0 and 1 in groups; each group's own share is drawn from a beta whose intraclass correlation is `alike`."""
    found = []
    for _ in range(groups):
        own = share
        if alike:
            scale = (1 - alike) / alike
            own = rng.betavariate(share * scale, (1 - share) * scale)
        found.append([float(rng.random() < own) for _ in range(rng.randint(1, most))])
    return found


@pytest.mark.parametrize("groups", [8, 10, 20])
def test_the_interval_of_a_share_covers(groups: int) -> None:
    """Means over intraclass correlations 0, .3 and .8 and shares of one half to nine tenths."""
    rng, covered = random.Random(groups), []
    for alike in (0.0, 0.3, 0.8):
        for share in (0.5, 0.7, 0.9):
            for most in (1, 8):
                for _ in range(120):
                    low, high = clustered(drawn(rng, groups, share, alike, most))
                    assert low is not None and high is not None
                    covered.append(low <= share <= high)
    assert fmean(covered) >= 0.93


def test_fewer_than_eight_prompts_tell_nothing() -> None:
    for groups in range(FEWEST):
        assert clustered([[1.0, 0.0]] * groups) == (None, None)
    assert clustered([[1.0]] * FEWEST)[0] == pytest.approx(wilson(8, 8, student(7))[0])
    assert not_enough(5) == "too few prompts (5 of 8)"


def test_values_of_one_group_are_not_so_many_observations() -> None:
    single = clustered([[float(n % 4 > 0)] for n in range(12)])
    fifty = clustered([[float(n % 4 > 0)] * 50 for n in range(12)])
    assert fifty == pytest.approx(single)
    alike = clustered([[1.0] * 50] * 12)
    assert alike == pytest.approx(wilson(12, 12, student(11))), "twelve prompts that are all right are twelve"


def test_one_pair_is_no_evidence_and_no_point() -> None:
    assert clustered([[0.0]]) == (None, None)
    assert wilson(0, 1)[1] > 0.79
