"""The leaderboard: strengths by hand, intervals that cover whole prompts, versions that never lost."""

import math
import random
from itertools import combinations

import numpy as np
import pytest

from feedback.rules.evaluation.bradley_terry import RIDGE, Cell, chance_to_be_best, fit
from tests.evaluation.leaderboard_simulation import STRENGTHS, arena, coverage


def test_two_versions_by_hand() -> None:
    """30 of 40 on ten prompts: the log-odds of 3/4, a little drawn to the prior."""
    board = fit([Cell(prompt, 0, 1, 3, 4) for prompt in range(10)], 2)
    assert board.strengths[0].value == -board.strengths[1].value == pytest.approx(math.log(3) / 2, abs=0.01)
    assert board.win_rate(0, 1) == pytest.approx(0.75, abs=0.005)
    exact = board.strengths[0].value
    assert 30 - 40 * board.win_rate(0, 1) == pytest.approx(RIDGE * exact, abs=1e-7), "the slope is zero"
    assert board.duels == {(0, 1): (30, 40)} and board.prompts == 10 and board.connected


def test_ties_and_the_order_of_a_pair_are_counted_right() -> None:
    """Two wins, a tie and a loss, named in either order and spread over cells in any way."""
    whole = fit([("p", 0, 1, 2.5, 4)], 2)
    parts = fit([("p", 1, 0, 1.0, 2), ("p", 0, 1, 1.5, 2)], 2)
    assert whole.duels == parts.duels == {(0, 1): (2.5, 4)}
    assert whole.strengths[0].value == pytest.approx(parts.strengths[0].value)
    assert [one.votes for one in whole.strengths] == [4, 4]


def test_a_version_that_never_lost_is_finite_and_uncertain() -> None:
    cells = [Cell(prompt, 0, 1, 1, 1) for prompt in range(20)]
    cells += [Cell(prompt, 1, 2, prompt % 2, 1) for prompt in range(20)]
    best, middle, last = fit(cells, 3).strengths
    assert 1.5 < best.value < 5 and best.low is not None and best.high is not None
    assert best.low > 0 and best.high > best.value + 1, "how much better it is nobody knows"
    assert best.best is not None and best.best > 0.97
    assert abs(middle.value - last.value) < 0.1
    one = fit([Cell("p", 0, 1, 1, 1)], 2).strengths
    assert one[0].value < 2 and one[0].low is None


def test_a_version_without_votes_is_anywhere() -> None:
    board = fit([Cell(prompt, 0, 1, 6, 10) for prompt in range(30)], 3)
    assert not board.connected
    alone = board.strengths[2]
    assert alone.votes == 0 and alone.low is not None and alone.high is not None
    assert alone.value == pytest.approx(0) and alone.low < -3 and alone.high > 3
    assert alone.best is not None and 0.3 < alone.best < 0.6


def test_fewer_than_eight_prompts_have_no_interval() -> None:
    board = fit([Cell(prompt, 0, 1, 30, 50) for prompt in range(7)], 2)
    assert board.strengths[0].low is board.strengths[0].high is board.strengths[0].best is None
    assert board.strengths[0].value > 0


def test_the_same_votes_on_one_prompt_are_one_observation() -> None:
    """Fifty equal votes on each of twelve prompts say no more about prompts than one."""
    one = fit([Cell(prompt, 0, 1, float(prompt % 3 > 0), 1) for prompt in range(12)], 2).strengths[0]
    fifty = fit([Cell(prompt, 0, 1, 50.0 * (prompt % 3 > 0), 50) for prompt in range(12)], 2).strengths[0]
    assert None not in (one.low, one.high, fifty.low, fifty.high)
    assert fifty.high - fifty.low == pytest.approx(one.high - one.low, rel=0.15)  # type: ignore[operator]


def test_the_covariance_is_the_sandwich_of_numpy() -> None:
    """Two versions: V = B / A^2 along their difference."""
    wins = [0, 1, 1, 3, 2, 4, 2, 3, 3, 1]
    board = fit([Cell(prompt, 0, 1, won, 4) for prompt, won in enumerate(wins)], 2)
    chance = board.win_rate(0, 1)
    scores = np.asarray(wins) - 4 * chance
    bread = 2 * 40 * chance * (1 - chance) + RIDGE
    meat = 10 / 9 * 2 * (scores**2).sum() + RIDGE
    error = math.sqrt(meat) / bread / math.sqrt(2)
    strength = board.strengths[0]
    assert strength.high is not None
    assert strength.high - strength.value == pytest.approx(2.2622 * error, rel=1e-3)


def test_the_chance_to_be_best_is_the_normal_s() -> None:
    """A difference of one standard deviation: .841; the same for one seed."""
    half = 0.5
    found = chance_to_be_best([1.0, 0.0], [[half, 0.0], [0.0, half]], seed=3, draws=20_000)
    assert found[0] == pytest.approx(0.8413, abs=0.01) and sum(found) == pytest.approx(1)
    assert found == chance_to_be_best([1.0, 0.0], [[half, 0.0], [0.0, half]], seed=3, draws=20_000)
    assert chance_to_be_best([0.2, 0.1], [[0.0, 0.0], [0.0, 0.0]], seed=0) == [1, 0]


def test_intervals_cover_by_prompt_where_the_model_s_own_do_not() -> None:
    covered = coverage(seed=1, arenas=60, prompts=60, votes_each=30)
    assert covered.clustered >= 0.91
    assert covered.alone <= 0.88


def test_order_of_cells_and_names_of_prompts_change_nothing() -> None:
    rng = random.Random(0)
    cells = arena(rng, 40, 6)
    shuffled = [(f"prompt {one.prompt}", *one[1:]) for one in rng.sample(cells, len(cells))]
    one, other = fit(cells, len(STRENGTHS)), fit(shuffled, len(STRENGTHS))
    for ours, theirs in zip(one.strengths, other.strengths, strict=True):
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
    assert sum(strength.value for strength in one.strengths) == pytest.approx(0)
    assert sum(strength.best or 0 for strength in one.strengths) == pytest.approx(1)
    ranked = sorted(range(5), key=lambda version: one.strengths[version].value)
    assert ranked[0] == 0 and ranked[-1] == 4


@pytest.mark.parametrize("cell", [("p", 0, 0, 1, 1), ("p", 0, 2, 1, 1), ("p", -1, 1, 1, 1), ("p", 0, 1, 2, 1)])
def test_what_is_no_cell_is_refused(cell: tuple[str, int, int, float, int]) -> None:
    with pytest.raises(ValueError):
        fit([cell], 2)


def test_every_pair_of_ten_versions_fits() -> None:
    cells = [
        Cell(prompt, first, second, (prompt + first) % 3, 2)
        for prompt in range(10)
        for first, second in combinations(range(10), 2)
    ]
    board = fit([cell for cell in cells if cell.wins <= cell.votes], 10)
    assert board.connected and len(board.duels) == 45
