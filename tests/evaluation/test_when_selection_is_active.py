"""When active selection may choose, how large its batches are, and what a replay proves."""

from dataclasses import replace

import pytest

from feedback.rules.evaluation import active_selection as rules
from feedback.rules.evaluation.active_selection import Difference, ReplayFigure, Settings, Situation
from feedback.rules.training.policies import InvalidPolicy

BETTER = ReplayFigure(2400, Difference(0.02, 0.004, 0.036), learnable=True)
READY = Situation(labels=2500, accuracy_low=0.62, heads=4, replay=BETTER)


def names(situation: Situation, settings: Settings | None = None) -> list[str]:
    if settings is None:
        return [one.name for one in rules.against_switching_on(situation)]
    return [one.name for one in rules.against_choosing(settings, situation)]


def test_it_is_off_by_default() -> None:
    assert Settings() == Settings(on=False, acquisition="variance", random_share=0.3, off_because="")


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"labels": 1499, "replay": replace(BETTER, labels=1400)}, "few_labels"),
        ({"accuracy_low": None}, "no_reward_model"),
        ({"accuracy_low": 0.55}, "weak_reward_model"),
        ({"replay": None}, "no_replay"),
        ({"replay": replace(BETTER, difference=Difference(0.02, 0.0, 0.04))}, "replay_refused"),
        ({"replay": replace(BETTER, difference=Difference(-0.02, -0.04, -0.01))}, "replay_refused"),
        ({"replay": replace(BETTER, learnable=False)}, "replay_refused"),
        ({"labels": 3600}, "replay_outdated"),
    ],
)
def test_each_condition_stands_against_it_alone(changes: dict[str, object], obstacle: str) -> None:
    assert names(READY) == []
    assert names(replace(READY, **changes)) == [obstacle]  # type: ignore[arg-type]


def test_the_replay_is_due_again_at_half_as_many_labels_more() -> None:
    assert not rules.replay_is_due(replace(READY, labels=3599))
    assert rules.replay_is_due(replace(READY, labels=3600))


def test_one_head_disagrees_with_nobody() -> None:
    single = replace(READY, heads=1)
    assert names(single, Settings(on=True)) == ["one_head"]
    assert names(single, Settings(on=True, acquisition="d_optimal")) == []
    assert names(single) == [], "it may be switched on: the next reward model has four"


@pytest.mark.parametrize(
    ("labels", "batch"), [(0, 50), (199, 50), (204, 51), (1500, 375), (4000, 1000), (90_000, 1000)]
)
def test_a_batch_is_a_quarter_of_the_labels_within_bounds(labels: int, batch: int) -> None:
    assert rules.batch_size(labels) == batch


@pytest.mark.parametrize(("batch", "prompts", "cap"), [(375, 96, 8), (50, 96, 2), (50, 1000, 1), (50, 0, 100)])
def test_a_prompt_gives_at_most_twice_the_mean(batch: int, prompts: int, cap: int) -> None:
    assert rules.prompt_cap(batch, prompts) == cap


@pytest.mark.parametrize("share", [0.19, 1.01, -1, True, "0.3", None, float("nan")])
def test_a_share_out_of_bounds_is_refused(share: object) -> None:
    with pytest.raises(InvalidPolicy):
        rules.check("variance", share)


def test_an_unknown_acquisition_is_refused() -> None:
    with pytest.raises(InvalidPolicy):
        rules.check("nearest_half", 0.3)


def test_a_paired_difference_by_hand() -> None:
    told = rules.paired_difference([0.72, 0.74, 0.73, 0.75, 0.71], [0.70, 0.71, 0.72, 0.71, 0.71])
    # 2, 3, 1, 4, 0 points: mean 2, standard deviation 1.5811, standard error .7071, Student's t with 4 degrees 2.776
    assert (told.mean, told.low, told.high) == pytest.approx((0.02, 0.02 - 0.01963, 0.02 + 0.01963), abs=1e-5)


def test_a_replay_needs_all_its_seeds() -> None:
    with pytest.raises(ValueError, match="5 seeds"):
        rules.paired_difference([0.7], [0.6])


def test_labels_that_are_coins_teach_nothing() -> None:
    """However far apart the arms are by luck: models at chance prove nothing."""
    assert not rules.is_learnable([0.52, 0.49, 0.53, 0.51, 0.50], held_out=300)
    assert rules.is_learnable([0.66, 0.64, 0.65, 0.67, 0.63], held_out=300)
    assert not rules.is_learnable([0.66, 0.64, 0.65, 0.67, 0.63], held_out=20)
