"""Ada reads a run's curves: the plots of its stage, a point where there is one figure, nothing where there is none."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from feedback.models import Person, Project, TrainingRun
from feedback.services.training import pipelines
from tests.factories import make_run

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[[Person, str], Page]


def report(run: TrainingRun, *metrics: dict[str, float]) -> str:
    """One step for each; the address of the run's page."""
    points = [pipelines.Point(step, 0.0, one) for step, one in enumerate(metrics, start=1)]
    pipelines.record_points(run, points=points)
    return f"/p/desk/train/runs/{run.public_id}/"


def chart(page: Page, title: str) -> Any:
    return page.locator("figure.chart").filter(has=page.locator("figcaption", has_text=title))


def test_a_classifier_is_drawn_as_one(project: Project, ada: Person, visit: Visit) -> None:
    run = make_run(project, ada, stage="classify")
    page = visit(ada, report(run, {"loss": 1.2}, {"loss": 0.9, "selection_loss": 1.0, "selection_accuracy": 0.75}))
    expect(chart(page, "Label accuracy").locator("circle.chart-point")).to_have_count(1)
    expect(chart(page, "Loss").locator("circle.chart-point")).to_have_count(1)  # validation; train has two steps
    assert "preference" not in page.locator("main").inner_text()


def test_one_step_stands_in_the_middle_of_its_chart(project: Project, ada: Person, visit: Visit) -> None:
    run = make_run(project, ada, stage="mlm")
    page = visit(ada, report(run, {"selection_masked_loss": 2.0, "selection_masked_accuracy": 0.25}))
    points = chart(page, "Masked tokens").locator("circle.chart-point")
    expect(points).to_have_count(2)  # the share guessed is drawn on the other scale
    plot = chart(page, "Masked tokens").locator("svg.chart-plot").bounding_box()
    point = points.first.bounding_box()
    assert plot and point
    assert plot["x"] + 0.3 * plot["width"] < point["x"] < plot["x"] + 0.7 * plot["width"]


def test_a_tokenizer_has_no_empty_curves(project: Project, ada: Person, visit: Visit) -> None:
    page = visit(ada, report(make_run(project, ada, stage="tokenizer"), {"vocab_size": 844.0, "bytes_per_token": 3.1}))
    expect(page.locator("h1")).to_be_visible()
    assert page.locator("figure.chart").count() == 0


def test_means_over_several_steps_lie_in_the_band_of_their_least_and_greatest(
    project: Project, ada: Person, visit: Visit
) -> None:
    run = make_run(project, ada, stage="sft")
    points = [pipelines.Point(step, 0.0, {"loss": 2.0}, {"loss": 1.0}, {"loss": 4.0}) for step in (10, 20, 30)]
    pipelines.record_points(run, points=points)
    page = visit(ada, f"/p/desk/train/runs/{run.public_id}/")
    loss = chart(page, "Loss")
    band = loss.locator("path.chart-zoom").bounding_box()
    line = loss.locator("path.chart-line").bounding_box()
    assert band and line
    middle = line["y"] + line["height"] / 2
    assert band["height"] > 40 and band["y"] < middle < band["y"] + band["height"]
    assert middle > band["y"] + band["height"] / 2, "2 is nearer to 1 than to 4"
