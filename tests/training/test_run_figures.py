"""Whoever watches a run reads what each curve is, in words."""

import pytest

from feedback.rules.training import plots, run_figures
from feedback.rules.training.stages import STAGES


def test_each_term_of_the_reward_has_a_name_and_a_chart_of_its_own() -> None:
    terms = [f"reward_{term}" for term in ("model", "guard", "length", "format", "spread", "floor")]
    names = [*terms, *(f"selection_{name}" for name in terms), "score", "kl", "explained_variance", "kl_coef"]
    drawn = plots.plots({"ppo": names})
    assert [plot.key for plot in drawn][:7] == ["reward", *(name.replace("_", "-") for name in terms)]
    assert all(plot.names == (name, f"selection_{name}") for name, plot in zip(terms, drawn[1:7], strict=True))
    assert all(plot.title != run_figures.Figure(plot.key).label and plot.meaning for plot in drawn)
    assert all(name in run_figures.FIGURES for name in names)


def test_what_nobody_named_is_drawn_under_its_own_name() -> None:
    *_, plot = plots.plots({"reward": ["rewards/chosen"]})
    assert (plot.title, plot.names) == ("Rewards: chosen", ("rewards/chosen",))


@pytest.mark.parametrize("stage", list(STAGES))
def test_every_stage_declares_its_plots(stage: str) -> None:
    declared = plots.PLOTS_OF_FAMILY[STAGES[stage].family]
    names = [name for plot in declared for name in (*plot.names, *plot.right)]
    assert len(names) == len(set(names)), "a figure is drawn once"
    assert len({plot.key for plot in declared}) == len(declared)
    assert set(STAGES[stage].reports) <= set(names)


@pytest.mark.parametrize("stage", ["classify", "tag", "mlm", "pretrain", "sft"])
def test_what_knows_no_preference_has_no_accuracy_of_preference(stage: str) -> None:
    drawn = plots.plots({stage: ["loss", "accuracy", "selection_loss", "selection_accuracy"]})
    words = " ".join(f"{plot.title} {plot.meaning}" for plot in drawn)
    assert "reference" not in words and "reward" not in words
    if stage in ("classify", "tag"):
        assert "reward" not in run_figures.figure("selection_accuracy", stage).meaning


def test_the_share_guessed_is_drawn_on_the_other_scale() -> None:
    first = plots.plots({"mlm": []})[0]
    assert (first.names, first.right) == (("selection_masked_loss",), ("selection_masked_accuracy",))


def test_a_stage_that_measures_everything_once_has_no_curves() -> None:
    assert plots.plots({"tokenizer": ["vocab_size", "bytes_per_token", "round_trip"]}) == []


def test_runs_of_several_stages_share_what_means_the_same() -> None:
    drawn = plots.plots({"sft": ["loss", "selection_loss"], "classify": ["loss", "selection_loss"]})
    assert [plot.key for plot in drawn] == ["loss", "f1", "label-loss", "label-accuracy"]
