"""Batches are planned before a run starts; progress lines survive a kill."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from trainer.errors import RunDiverged
from trainer.run.loop import check_finite, plan_batches, planned
from trainer.run.progress import Buckets, Reporter, Ticker
from trainer.run.seeds import stable_seed


def test_every_row_occurs_once_an_epoch_and_groups_stay_together() -> None:
    groups = [[0, 1, 2], [3], [4, 5], [6], [7, 8, 9]]
    batches = plan_batches(groups, 4, 2, "seed")
    assert Counter(row for batch in batches for row in batch) == dict.fromkeys(range(10), 2)
    assert all(len(batch) <= 4 for batch in batches)
    for group in groups:
        assert sum(set(group) <= set(batch) for batch in batches) == 2


def test_order_depends_on_seed_and_epoch_only() -> None:
    singles = [[n] for n in range(20)]
    batches = plan_batches(singles, 5, 2, "a")
    assert batches == plan_batches(singles, 5, 2, "a")
    assert batches != plan_batches(singles, 5, 2, "b")
    assert batches[:4] != batches[4:]


def test_fraction_of_an_epoch_and_a_group_larger_than_a_batch() -> None:
    assert len(plan_batches([[n] for n in range(20)], 5, 1.5, "a")) == 6
    assert sorted(map(len, plan_batches([list(range(7))], 3, 1, "a"))) == [1, 3, 3]


def test_planned_steps_are_even_and_include_the_last() -> None:
    assert [step for step in range(1, 11) if planned(step, 10, 2)] == [5, 10]
    assert sum(planned(step, 57, 10) for step in range(1, 58)) == 10
    assert planned(57, 57, 10)
    assert not any(planned(step, 10, 0) for step in range(1, 11))
    assert all(planned(step, 3, 10) for step in range(1, 4))


def test_first_figure_that_is_no_number_is_named_with_its_step() -> None:
    check_finite({"loss": 1.0}, 3)
    with pytest.raises(RunDiverged, match="grad_norm") as caught:
        check_finite({"loss": 1.0, "grad_norm": float("inf")}, 3)
    assert caught.value.step == 3


def test_line_cut_by_a_kill_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    Reporter(path).state("first")
    with path.open("a") as file:
        file.write('{"half')
    Reporter(path, attempt=2).metrics(1, 2, {"loss": float("nan"), "kl": 0.5})
    first, half, last = path.read_text().splitlines()
    assert json.loads(first)["text"] == "first"
    assert half == '{"half'
    line = json.loads(last)
    assert line["attempt"] == 2
    assert line["metrics"] == {"loss": "nan", "kl": 0.5}


def test_a_long_run_is_told_in_buckets_by_step_with_the_extremes_of_each() -> None:
    buckets = Buckets(points=4)
    told = [(step, buckets.add(step, 10, {"loss": float(step)})) for step in range(1, 11)]
    points = [(step, point) for step, point in told if point is not None]
    assert [step for step, _ in points] == [3, 6, 9, 10]
    assert points[0][1] == ({"loss": 2.0}, ({"loss": 1.0}, {"loss": 3.0}))
    assert points[-1][1] == ({"loss": 10.0}, None)  # one step has no extremes
    assert buckets.close() is None


def test_a_short_run_is_told_step_by_step() -> None:
    buckets = Buckets(points=4)
    assert [buckets.add(step, 4, {"loss": 0.5}) for step in range(1, 5)] == [({"loss": 0.5}, None)] * 4


def test_a_figure_that_some_steps_lack_is_averaged_over_those_that_have_it() -> None:
    buckets = Buckets(points=1)
    buckets.add(1, 3, {"loss": 1.0})
    buckets.add(2, 3, {"loss": 2.0, "kl": float("nan")})
    point = buckets.add(3, 3, {"loss": 3.0, "kl": 4.0})
    assert point == ({"loss": 2.0, "kl": 4.0}, ({"loss": 1.0, "kl": 4.0}, {"loss": 3.0, "kl": 4.0}))


def test_ticker_is_due_at_once_and_then_seldom() -> None:
    now = iter([0.0, 0.0, 0.5, 1.1, 1.1, 1.2])
    ticker = Ticker(1.0, clock=lambda: next(now))
    assert [ticker.due(), ticker.due(), ticker.due(), ticker.due()] == [True, False, True, False]


def test_seed_is_the_same_in_every_process() -> None:
    assert stable_seed("run", 3) == 172782438306538234
    assert stable_seed("ab", "c") != stable_seed("a", "bc")
