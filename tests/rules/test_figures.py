"""Whoever watches a run reads what each curve is, in words."""

from feedback.rules import figures


def test_each_term_of_the_reward_has_a_name_and_a_chart_of_its_own() -> None:
    terms = [f"reward_{term}" for term in ("model", "guard", "length", "format", "spread", "floor")]
    names = [*terms, *(f"selection_{name}" for name in terms), "score", "kl", "explained_variance", "kl_coef"]
    drawn = figures.plots(names)
    assert [plot.key for plot in drawn][:7] == ["reward", *(name.replace("_", "-") for name in terms)]
    assert all(plot.names == (name, f"selection_{name}") for name, plot in zip(terms, drawn[1:7], strict=True))
    assert all(plot.title != figures.Figure(plot.key).label and plot.meaning for plot in drawn)
    assert all(name in figures.FIGURES for name in names)


def test_what_nobody_named_is_drawn_under_its_own_name() -> None:
    [plot] = figures.plots(["rewards/chosen"])
    assert (plot.title, plot.names) == ("Rewards: chosen", ("rewards/chosen",))
