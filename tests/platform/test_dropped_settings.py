"""A setting that is gone is taken out of what was stored with it, and nothing else is touched."""

import importlib
from typing import Any

import pytest
from django.apps import apps

from feedback.models import Chain, Job, Person, Project, Schedule, TrainingRun
from feedback.selectors.training import stage_models
from feedback.services.platform import jobs, projects
from feedback.services.training import schedules
from tests.factories import make_pair

pytestmark = pytest.mark.database

CONFIG: dict[str, Any] = {"preset": "tiny", "evaluate": {"bootstrap": 200, "responses": 2}, "sft": {"epochs": 1.0}}
LEFT: dict[str, Any] = {"preset": "tiny", "evaluate": {"responses": 2}, "sft": {"epochs": 1.0}}
MOVE = "feedback.migrations.0023_drop_bootstrap_of_evaluation"


@pytest.fixture
def stored(project: Project, ada: Person) -> dict[str, Any]:
    """As the migration finds them: written when the setting was known."""
    policy = {"preset": "tiny", "stages": {key: CONFIG[key] for key in ("evaluate", "sft")}}
    Project.objects.filter(pk=project.pk).update(training_policy=policy)
    schedule = schedules.create_schedule(
        by=ada, project=project, name="Nightly", stages=["evaluate"], every_seconds=86400
    )
    Schedule.objects.filter(pk=schedule.pk).update(config=CONFIG)
    chain = Chain.objects.create(project=project, stages=["evaluate"], kind="evaluate", config=CONFIG)
    runs = {}
    for place, (name, stage, status) in enumerate(
        (("queued", "evaluate", "queued"), ("ended", "evaluate", "succeeded"), ("other", "sft", "queued"))
    ):
        job = jobs.create(kind=Job.Kind.TRAINING, queue_name="train", project=project, by=ada)
        Job.objects.filter(pk=job.pk).update(status=status)
        runs[name] = TrainingRun.objects.create(
            project=project, job=job, chain=chain, position=place, stage=stage, number=place + 1,
            folder=f"runs/{name}", config={"bootstrap": 200, "responses": 2},
        )  # fmt: skip
    return {"schedule": schedule, "chain": chain, **runs}


def test_bootstrap_leaves_policies_schedules_chains_and_what_has_not_begun(
    project: Project, other_project: Project, stored: dict[str, Any]
) -> None:
    untouched = Project.objects.values("training_policy").get(pk=other_project.pk)
    move = importlib.import_module(MOVE).drop
    for _ in range(2):  # safe to repeat
        move(apps, None)
        project.refresh_from_db()
        for row in stored.values():
            row.refresh_from_db()
        assert project.training_policy == {
            "preset": "tiny",
            "stages": {"evaluate": {"responses": 2}, "sft": {"epochs": 1.0}},
        }
        assert stored["schedule"].config == stored["chain"].config == LEFT
        assert stored["queued"].config == {"responses": 2}
        kept = {"bootstrap": 200, "responses": 2}
        assert stored["ended"].config == kept, "what ran keeps the settings that it ran with"
        assert stored["other"].config == kept, "another stage's setting of that name is not meant"
        assert Project.objects.values("training_policy").get(pk=other_project.pk) == untouched


@pytest.mark.parametrize("odd", [{}, {"evaluate": None}, {"evaluate": 3}, {"evaluate": {}}, {"preset": "tiny"}, "x"])
def test_settings_without_it_or_of_an_odd_shape_stay(odd: Any) -> None:
    assert importlib.import_module(MOVE).without(odd) is None


def test_a_chain_starts_again_with_what_is_left(project: Project, ada: Person, stored: dict[str, Any]) -> None:
    importlib.import_module(MOVE).drop(apps, None)
    Chain.objects.update(state=Chain.State.FAILED)
    make_pair(project, ada)
    project.refresh_from_db()
    projects.update_project(by=ada, project=project, training_policy=project.training_policy)
    assert stage_models.settings_of_run(project, "evaluate", LEFT, None)["responses"] == 2
