"""The page and the API of live accuracy: too few labels, figures, who sees names, who is refused."""

import random
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import Annotation, Exclusion, ModelVersion, Person, Project
from feedback.services.collection import annotations
from feedback.services.evaluation import live_accuracy
from tests.evaluation.live_labels import make_labels, reward_model, scores_of
from tests.factories import make_annotation, make_model, make_task, take

pytestmark = pytest.mark.database


@pytest.fixture
def version(project: Project, ada: Person) -> ModelVersion:
    return reward_model(project, ada)


def page_of(version: ModelVersion) -> str:
    return f"/p/desk/models/{version.public_id}/live-accuracy/"


def door_of(version: ModelVersion) -> str:
    return f"/api/v1/models/{version.public_id}/live-accuracy/"


def label(version: ModelVersion, people: list[Person], count: int, share: float, arm: str = "random") -> None:
    """Labels of which the version gets this share right."""
    rng = random.Random(count)
    labels = make_labels(version.project, people, count, arm=arm)
    right = set(rng.sample(range(count), round(share * count)))
    places = {one.pk: place for place, one in enumerate(labels)}

    def gap(one: Annotation) -> float:
        return 1.0 if places[one.pk] in right else -1.0

    live_accuracy.store(version=version, scores=scores_of(labels, gap))


def test_too_few_labels_tell_nothing(version: ModelVersion, ada: Person, ben: Person, signed_in: Any) -> None:
    label(version, [ben], 12, 1.0)
    page = signed_in(ada).get(page_of(version)).content.decode()
    assert "Not enough labels to tell (12 of 100)." in page
    assert "100.0 %" not in page and "By strength" not in page
    assert "Drift can be told after 300 labels" in page


def test_the_dashboard(
    version: ModelVersion, project: Project, ada: Person, ben: Person, chloe: Person, client_for: Any, signed_in: Any
) -> None:
    label(version, [ben, chloe], 200, 0.75)
    label(version, [ben], 50, 0.2, arm="active")
    label(version, [chloe], 20, 0.5, arm="arena")
    page = signed_in(ada).get(page_of(version)).content.decode()
    assert "On 200 live labels" in page and "75.0 %" in page
    assert "The ceiling is unknown" in page
    assert "selected by the reward model" in page and "20.0 %" in page
    assert "Predicted and observed probabilities: predicted 73%, observed 75%" in page
    assert "By annotator" in page and "Ben" in page and "Chloe" in page
    found = client_for(ada).get(door_of(version)).json()
    assert (found["labels"], found["headline"]["value"], found["headline"]["n"]) == (200, 0.75, 200)
    assert found["headline"]["low"] < 0.75 < found["headline"]["high"]
    splits = {split["key"]: split["rows"] for split in found["splits"]}
    assert set(splits) == {"strength", "annotator", "source", "week", "arm"}
    assert {row["label"]: (row["n"], row["value"]) for row in splits["arm"]} == {
        "random": (200, 0.75),
        "active": (50, 0.2),
        "arena": (20, 0.5),
    }
    assert [(row["label"], row["n"]) for row in splits["strength"]] == [("better", 200)]
    assert sorted((row["label"], row["n"]) for row in splits["annotator"]) == [("Ben", 100), ("Chloe", 100)]
    [one] = found["reliability"]
    assert (one["observed"], one["labels"]) == (0.75, 200) and one["predicted"] == pytest.approx(0.731, abs=1e-3)
    assert one["low"] < 0.75 < one["high"]
    assert found["waiting"] == 0


def test_annotators_see_figures_and_no_names(
    version: ModelVersion, ben: Person, chloe: Person, rosa: Person, client_for: Any, signed_in: Any
) -> None:
    label(version, [ben, chloe], 120, 0.5)
    page = signed_in(chloe).get(page_of(version)).content.decode()
    assert "50.0 %" in page and "By annotator" not in page and "Ben" not in page
    found = client_for(chloe).get(door_of(version)).json()
    assert "annotator" not in {split["key"] for split in found["splits"]}
    assert "Ben" in signed_in(rosa).get(page_of(version)).content.decode()
    assert "annotator" in {split["key"] for split in client_for(rosa).get(door_of(version)).json()["splits"]}


def test_strangers_find_nothing(version: ModelVersion, dan: Person, client_for: Any, signed_in: Any) -> None:
    assert signed_in(dan).get(page_of(version)).status_code == 404
    assert client_for(dan).get(door_of(version)).status_code == 404


def test_other_models_have_none(project: Project, ada: Person, client_for: Any, signed_in: Any) -> None:
    policy = make_model(project, ada)
    refused = client_for(ada).get(door_of(policy))
    assert refused.status_code == 400
    assert "Only reward models have a live accuracy; policy v1 is a policy model." in refused.content.decode()
    assert signed_in(ada).get(page_of(policy)).status_code == 400
    assert "live-accuracy" not in signed_in(ada).get(f"/p/desk/models/{policy.public_id}/").content.decode()


def test_the_newest_is_found_without_its_id(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    client = signed_in(ben)
    assert "This project has no reward model yet." in client.get("/p/desk/models/live-accuracy/").content.decode()
    version = reward_model(project, ada)
    assert client.get("/p/desk/models/live-accuracy/")["Location"] == page_of(version)
    assert page_of(version) in signed_in(ada).get(f"/p/desk/models/{version.public_id}/").content.decode()


def test_revised_withdrawn_and_excluded_labels_leave_the_headline(
    version: ModelVersion, project: Project, ben: Person, chloe: Person, ada: Person, client_for: Any
) -> None:
    one = make_annotation(project, ben)
    live_accuracy.store(version=version, scores=scores_of([one]))
    annotations.withdraw(assignment=one.assignment, by=ben)
    label(version, [ben, chloe], 200, 0.5)
    assert client_for(ada).get(door_of(version)).json()["labels"] == 200
    Exclusion.objects.create(project=project, person=ben, reason="pace", hits=9, looked_at=9, since=timezone.now())
    found = client_for(ada).get(door_of(version)).json()
    assert found["labels"] == found["headline"]["n"] == 100
    names = {row["label"] for split in found["splits"] if split["key"] == "annotator" for row in split["rows"]}
    assert names == {"Ben (excluded)", "Chloe"}


def test_the_ceiling_comes_from_repeated_labels(
    version: ModelVersion, project: Project, ben: Person, chloe: Person, ada: Person, client_for: Any, signed_in: Any
) -> None:
    label(version, [ben], 100, 0.7)
    for number in range(10):
        first, second = sorted(response.pk for response in make_task(project).responses.all())
        choose(project, ben, first)
        choose(project, chloe, first if number < 9 else second)
    found = client_for(ada).get(door_of(version)).json()
    assert (found["agreement"]["value"], found["agreement"]["n"]) == (0.9, 10)
    assert found["ceiling"] == pytest.approx([0.9, (1 + 0.8**0.5) / 2])
    assert "lies between 90.0 % and 94.7 %" in signed_in(ada).get(page_of(version)).content.decode()


def choose(project: Project, person: Person, response: int) -> None:
    """`person` takes the next task and prefers this response, wherever it is shown."""
    assignment = take(project, person)
    choice = "ab"[assignment.order.index(response)]
    annotations.submit(assignment=assignment, answer={"outcome": "prefer", "choice": choice, "strength": 2})
