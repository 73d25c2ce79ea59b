"""What a PPO run's figures must show before an alarm sounds, and which alarms end it."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.configs.online import PPOConfig
from trainer.ppo.alarms import alarms

CALM: dict[str, float] = {
    "kl": 1.0,
    "entropy": 2.0,
    "length": 30.0,
    "eos_rate": 1.0,
    "clip_fraction": 0.1,
    "explained_variance": 0.5,
    "score": 0.5,
    "score_deviation": 1.0,
}
LOOK = {"selection_reward": 1.0, "selection_kl": 1.0, "selection_repetition": 0.02, "selection_length": 10.0}


def history(count: int = 21, /, **now: float) -> list[dict[str, Any]]:
    """Calm iterations, the first of them with a look, and a last one with a look and something else."""
    calm = [dict(CALM) for _ in range(count - 1)]
    calm[0] |= LOOK
    return [*calm, CALM | LOOK | now]


def names(entries: list[dict[str, Any]], stops: bool | None = None, usual_spread: float = 0.0) -> set[str]:
    found = alarms(entries, PPOConfig(), usual_spread)
    return {alarm.name for alarm in found if stops in (None, alarm.stops)}


def test_calm_is_silent() -> None:
    assert names(history()) == set()
    assert names([CALM]) == set()


@pytest.mark.parametrize(
    ("now", "name", "stops"),
    [
        ({"selection_kl": 46.1}, "kl_budget", True),
        ({"entropy": 0.59}, "entropy", True),
        ({"eos_rate": 0.89}, "eos_rate", True),
        ({"selection_repetition": 0.11}, "repetition", True),
        ({"clip_fraction": 0.31}, "clip_fraction", False),
        ({"explained_variance": -0.1}, "explained_variance", False),
        ({"selection_length": 15.1}, "length", False),
    ],
)
def test_each_sounds_alone(now: dict[str, float], name: str, stops: bool) -> None:
    assert names(history(**now)) == names(history(**now), stops) == {name}


@pytest.mark.parametrize(
    ("first", "name"),
    [
        ({"eos_rate": 0.49}, "no_ends"),
        ({"eos_rate": 0.0, "score": -3.0, "score_deviation": 0.0}, "no_ends"),
        ({"score": -3.0, "score_deviation": 0.0}, "flat_reward"),
        ({"score": 1000.0, "score_deviation": 1e-4}, "flat_reward"),
    ],
)
def test_a_first_rollout_that_teaches_nothing_fails_the_run_with_a_way_out(first: dict[str, float], name: str) -> None:
    [alarm] = alarms([CALM | first], PPOConfig())
    assert (alarm.name, alarm.stops, alarm.fails) == (name, True, True)
    assert alarm.remedy


@pytest.mark.parametrize(
    "first", [{"eos_rate": 0.5}, {"score_deviation": 0.01}, {"score": 0.0, "score_deviation": 2e-6}]
)
def test_a_first_rollout_that_teaches_something_is_silent(first: dict[str, float]) -> None:
    assert alarms([CALM | first], PPOConfig()) == []


def test_later_rollouts_of_one_reward_stop_the_run_without_failing_it() -> None:
    flat = CALM | {"score_deviation": 0.0}
    assert names([CALM, flat, flat]) == set()
    [alarm] = alarms([CALM, flat, flat, flat], PPOConfig())
    assert (alarm.name, alarm.stops, alarm.fails) == ("flat_reward", True, False)
    [alarm] = alarms([CALM, CALM, CALM | {"eos_rate": 0.0}], PPOConfig())
    assert (alarm.name, alarm.stops, alarm.fails) == ("no_ends", True, False)


def test_a_critic_is_held_against_what_it_foresaw_untrained() -> None:
    """A critic that began far below zero and is better now is learning; one that fell below its beginning is not."""

    def run(first: float, now: float) -> set[str]:
        entries = [dict(CALM) for _ in range(21)]
        entries[0]["explained_variance"], entries[-1]["explained_variance"] = first, now
        return names(entries)

    assert run(-2.0, -0.5) == set()
    assert run(-0.2, -0.5) == run(0.3, -0.1) == {"explained_variance"}


def test_one_bad_update_that_the_next_takes_back_is_silent() -> None:
    run = [dict(CALM) | {"kl": 1.8} for _ in range(29)]
    run[0] |= LOOK
    for now in (CALM | LOOK | {"kl": 1.8, "selection_kl": 11.3}, CALM | {"kl": 9.9}, CALM | {"kl": 2.1}):
        run.append(now)
        assert "kl_budget" not in names(run)


def test_a_young_run_is_given_time() -> None:
    assert names(history(19, explained_variance=-0.1)) == set()
    assert names(history(5, eos_rate=0.5)) == set()


@pytest.mark.parametrize(
    ("stated", "length", "kl", "sounds"),
    [
        (None, 30.0, 10.0, False),
        (None, 30.0, 10.1, True),
        (None, 18.0, 6.1, True),
        (None, 2.0, 3.0, False),
        (None, 2.0, 3.1, True),
        (None, 900.0, 20.1, True),
        (12.0, 20.0, 11.9, False),
        (0.0, 20.0, 900.0, False),
    ],
)
def test_the_budget_goes_by_the_length_of_the_first_completions(
    stated: float | None, length: float, kl: float, sounds: bool
) -> None:
    run = [CALM | {"length": length, "kl": kl}] + [CALM | {"length": 70.0, "kl": kl} for _ in range(4)]
    found = alarms(run, PPOConfig(kl_budget=stated))
    assert ("kl_budget" in {alarm.name for alarm in found}) == sounds


def test_kl_that_keeps_rising_is_told_and_one_odd_completion_is_not() -> None:
    """A quarter of the budget of 10 (30 tokens), from the mean of five iterations to that of the next five."""
    rising = [CALM | {"kl": kl} for kl in (1, 1, 1, 1, 1, 1.5, 2.5, 4, 5, 5)]
    assert names(rising, False) == {"kl_slope"}
    assert names(rising[:-1]) == set()
    assert names([*rising[:-1], CALM | {"kl": 4.4}]) == set()
    assert names(history(kl=9.0)) == set()


def test_heads_twice_as_far_apart_as_usual_stop_the_run() -> None:
    assert names(history(reward_spread=0.41), True, usual_spread=0.2) == {"reward_spread"}
    assert names(history(reward_spread=0.39), usual_spread=0.2) == set()
    assert names(history(reward_spread=9.0)) == set()  # one head has no spread to compare with


def test_a_rising_score_beside_a_falling_floor_three_times_over_is_over_optimisation() -> None:
    def looks(scores: list[float], floors: list[float]) -> list[dict[str, Any]]:
        return [
            CALM | LOOK | {"selection_score": score, "selection_reward_floor": floor}
            for score, floor in zip(scores, floors, strict=True)
        ]

    assert names(looks([1, 2, 3, 4], [4, 3, 2, 1]), True) == {"over_optimised"}
    assert names(looks([1, 2, 3, 4], [4, 3, 3, 1])) == set()
    assert names(looks([1, 3, 2, 4], [4, 3, 2, 1])) == set()
    assert names(looks([2, 3, 4], [3, 2, 1])) == set()
