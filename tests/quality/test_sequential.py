"""The test that may be looked at after every outcome: its false alarms, exactly and by drawing, and what it finds."""

from itertools import product
from random import Random

import pytest

from feedback.rules.quality.findings import ALPHA, FAST_USUAL, Counted, careless_at, usually_wrong, wrong_at
from feedback.rules.quality.sequential import SequentialTest, follow

NOBODY = Counted(0, 0)


@pytest.mark.parametrize("usual", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_the_chance_of_an_alarm_in_fourteen_looks_is_at_most_alpha(usual: float, alpha: float) -> None:
    """All 16,384 courses with their probabilities, under the worst case of the null."""
    chance = 0.0
    for course in product((False, True), repeat=14):
        if follow(course, usual, alpha).alarm_at is not None:
            hits = sum(course)
            chance += usual**hits * (1 - usual) ** (14 - hits)
    assert 0 < chance <= alpha


def test_the_wealth_of_a_fair_game_stays_at_one_on_average() -> None:
    for course in product((False, True), repeat=3):
        test = SequentialTest(0.2, 1e-9)
        for hit in course:
            test.see(hit)
        before = test.wealth
        after = []
        for hit in (True, False):
            one = SequentialTest(0.2, 1e-9)
            for earlier in (*course, hit):
                one.see(earlier)
            after.append(one.wealth)
        assert 0.2 * after[0] + 0.8 * after[1] == pytest.approx(before)


def test_careful_annotators_are_flagged_no_oftener_than_alpha() -> None:
    """A thousand people of four hundred annotations, each at the very edge of careful, looked at after every one."""
    alpha, people, rng = 0.05, 1000, Random(7)
    alarms = sum(
        follow((rng.random() < FAST_USUAL for _ in range(400)), FAST_USUAL, alpha).alarm_at is not None
        for _ in range(people)
    )
    assert alarms <= alpha * people
    careful = (careless_at([rng.random() < 0.05 for _ in range(400)]) for _ in range(people))
    assert all(alarm is None for alarm in careful)


@pytest.mark.parametrize("seed", range(20))
def test_who_hammers_is_found_within_a_dozen(seed: int) -> None:
    rng = Random(seed)
    found = careless_at([rng.random() < 0.98 for _ in range(12)])
    assert found is not None and found <= 12
    assert careless_at([True] * 7) == 7


@pytest.mark.parametrize("careful", [0, 1, 30, 1000])
def test_who_begins_to_hammer_later_is_found_about_as_soon(careful: int) -> None:
    alarm = careless_at([False] * careful + [True] * 20)
    assert alarm is not None and alarm - careful <= 16


def test_a_few_slips_in_a_row_are_no_alarm() -> None:
    assert careless_at([False] * 50 + [True] * 5 + [False] * 50) is None


def test_gold_is_held_against_how_hard_it_is() -> None:
    half = [True, False] * 20
    assert wrong_at([False] * 12, NOBODY) == 12
    assert wrong_at(half, NOBODY) is None, "alone, nobody knows how hard the gold tasks are"
    assert wrong_at(half * 5, Counted(190, 200)) is not None, "the others get 95 % right"
    assert wrong_at(half * 5, Counted(100, 200)) is None, "the others get half of them right, too"
    assert usually_wrong(Counted(0, 5)) == 0.9


def test_the_alarm_says_where_and_stays() -> None:
    assert follow([False] * 10, 0.2, ALPHA) == follow([False] * 10, 0.2, 0.5)
    test = SequentialTest(0.2, ALPHA)
    told = [test.see(hit) for hit in [True] * 8 + [False] * 100]
    assert (test.alarm_at, told.index(True) + 1, all(told[7:])) == (7, 7, True)
    with pytest.raises(ValueError, match="between 0 and 1"):
        SequentialTest(1.0, 0.1)
