"""Biases against figures worked by hand and answers drawn from known ones."""

import math
from random import Random

import pytest

from feedback.rules.quality.bias import Choice, Effect, leanings, logistic, plausible_seconds, sigmoid


def test_a_share_by_hand() -> None:
    # Only an intercept: the log-odds of the share, with a standard error of 1 / sqrt(n p q).
    values, errors = logistic([[1.0]] * 10_000, [True] * 7_000 + [False] * 3_000)
    assert values[0] == pytest.approx(math.log(7 / 3), abs=0.01)
    assert errors[0] == pytest.approx(1 / math.sqrt(2100), abs=0.001)


def test_a_two_by_two_table_by_hand() -> None:
    # 3 of 4 with x = 1, 1 of 4 with x = 0: the coefficient is the log odds ratio, log 9.
    rows = [[1.0, 1.0]] * 4000 + [[1.0, 0.0]] * 4000
    values, errors = logistic(rows, [True] * 3000 + [False] * 1000 + [True] * 1000 + [False] * 3000)
    assert values[1] == pytest.approx(math.log(9), abs=0.03)
    assert errors[1] == pytest.approx(math.sqrt(2 * (1 / 3000 + 1 / 1000)), abs=0.01)


def test_someone_who_always_picks_the_left_has_a_finite_estimate() -> None:
    values, errors = logistic([[1.0]] * 50, [True] * 50)
    assert 2 < values[0] < 5
    assert values[0] / errors[0] > 4  # a plain estimate would be infinite, and never certain


def test_known_leanings_are_recovered_whatever_the_quality() -> None:
    rng = Random(7)

    def answers(side: float, length: float, n: int = 3000) -> list[Choice]:
        rows = []
        for _ in range(n):
            better, longer = rng.gauss(0, 1.5), rng.gauss(0, 1)
            first = rng.random() < sigmoid(side + length * longer + better)
            rows.append(Choice(first, longer, better, 0.0, rng.lognormvariate(2, 0.4)))
        return rows

    told = leanings({1: answers(0.0, 0.0), 2: answers(0.0, 0.0), 3: answers(0.8, 0.0), 4: answers(0.0, 0.7)})
    assert abs(told[1].side.z) < 3 and abs(told[1].length.z) < 3
    assert told[3].side.value == pytest.approx(0.8, abs=0.15)
    assert told[4].length.value == pytest.approx(0.7, abs=0.15)
    low, high = told[3].side.interval()
    assert low < sigmoid(0.8) < high


def test_too_few_answers_are_left_alone() -> None:
    assert leanings({1: [Choice(True, 0.1, 0.0, 0.0, 5.0)] * 19}) == {}
    assert leanings({}) == {}


def test_an_effect_is_held_against_what_is_usual() -> None:
    effect = Effect(0.5, 0.3, usual=0.5, usual_error=0.4)
    assert effect.z == 0
    assert Effect(1.5, 0.3, usual=0.5, usual_error=0.4).z == pytest.approx(2.0)


def test_nobody_reads_six_hundred_words_in_a_minute_and_judges() -> None:
    assert plausible_seconds(3600) == 60
    assert plausible_seconds(5) == 1
