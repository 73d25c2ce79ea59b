"""The job that scores labels by the newest reward model, and the freeze that waits for it."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from django.db import connection

from feedback.models import DatasetSnapshot, Event, Job, LabelScore, ModelVersion, Person, Project
from feedback.services.collection import annotations, assignment_queue, tasks
from feedback.services.data import snapshots
from feedback.services.evaluation import live_accuracy
from feedback.services.platform import projects
from tests.evaluation.live_labels import make_labels, reward_model
from tests.factories import make_prompt, make_response
from tests.furnish import worker
from trainer.errors import DataUnusable, ModelCorrupt
from workers import loaded_models
from workers.execution import run_job
from workers.handlers import snapshots as freezing

pytestmark = pytest.mark.database


class LikesLength:
    """A reward model of two heads to which a text is worth its length, and by one head a little more."""

    def __init__(self) -> None:
        self.read = 0
        self.before: Any = lambda: None

    def score_by_head(self, prompts: Sequence[Any], texts: Sequence[str]) -> torch.Tensor:
        self.before()
        assert all(prompt[-1]["role"] == "user" for prompt in prompts)
        if any("unreadable" in text for text in texts):
            raise DataUnusable("The chat template refuses it.")
        self.read += len(texts)
        lengths = torch.tensor([float(len(text)) for text in texts])
        return torch.stack([lengths, 1.2 * lengths], dim=1)

    def combined(self, rewards: torch.Tensor) -> torch.Tensor:
        return rewards.mean(dim=1)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> LikesLength:
    stand_in = LikesLength()
    monkeypatch.setattr(loaded_models, "reward_model", lambda *_: stand_in)
    return stand_in


@pytest.fixture
def version(project: Project, ada: Person) -> ModelVersion:
    return reward_model(project, ada)


def compare(project: Project, person: Person, *texts: str, kind: str = "comparison", answer: Any = None) -> Any:
    """`person` finds the first text better, or ranks them as they stand."""
    prompt = make_prompt(project)
    responses = [make_response(prompt, text) for text in texts]
    tasks.create_task(project=project, by=None, kind=kind, prompt=prompt, responses=responses)
    assignment = assignment_queue.next_assignment(project=project, annotator=person)
    letter = {key: "abcdef"[place] for place, key in enumerate(assignment.order)}  # type: ignore[union-attr]
    letters = [letter[response.pk] for response in responses]
    if kind == "comparison":
        answer = {"outcome": "prefer", "choice": letters[0], "strength": 1}
    else:
        answer = {"ranking": [[one] for one in letters]}
    return annotations.submit(assignment=assignment, answer=answer)  # type: ignore[arg-type]


def ask(project: Project) -> Job:
    job = live_accuracy.ask(project)
    run_job(job.pk)
    job.refresh_from_db()
    return job


def test_a_job_scores_comparisons_and_rankings(
    version: ModelVersion, model: LikesLength, project: Project, hana: Person, ben: Person
) -> None:
    projects.update_project(by=hana, project=project, kinds=["comparison", "ranking"])
    longer = compare(project, ben, "a longer text", "short")
    shorter = compare(project, ben, "brief", "something longer")
    ranked = compare(project, ben, "the longest", "longer", "short", "four", kind="ranking")
    job = ask(project)
    assert (job.status, job.result) == (Job.Status.SUCCEEDED, {"scored": 3})
    found = {row.annotation_id: row for row in LabelScore.objects.all()}
    one = found[longer.pk]
    assert (one.gap, one.correct, one.pairs, one.strength, one.arm) == (pytest.approx(8.8), 1.0, 1, 1, "given")
    assert one.p == one.favored == pytest.approx(1 / (1 + 2.718281828**-8.8))
    assert one.spread == pytest.approx(0.8)
    assert (found[shorter.pk].correct, found[shorter.pk].gap) == (0.0, pytest.approx(-12.1))
    assert (found[ranked.pk].pairs, found[ranked.pk].correct, found[ranked.pk].strength) == (6, 1.0, None)
    assert model.read == 8, "each response is read once"
    assert ask(project).result == {"scored": 0}


def test_a_label_that_cannot_be_read_costs_only_itself(
    version: ModelVersion, model: LikesLength, project: Project, ben: Person
) -> None:
    compare(project, ben, "a longer text", "short")
    compare(project, ben, "unreadable", "short")
    compare(project, ben, "another text", "short")
    assert ask(project).result == {"scored": 3}
    assert LabelScore.objects.filter(gap=None).count() == 1
    assert LabelScore.objects.filter(correct=1.0).count() == 2
    assert ask(project).result == {"scored": 0}


def test_a_model_that_cannot_be_loaded_fails_the_job_with_a_remedy(
    version: ModelVersion, project: Project, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ModelCorrupt("The model's files are not those of the registry.")

    monkeypatch.setattr(loaded_models, "reward_model", broken)
    make_labels(project, [ben], 1)
    job = ask(project)
    assert (job.status, job.error_kind) == (Job.Status.FAILED, "data")
    assert "not those of the registry" in job.error and job.remedy
    assert not LabelScore.objects.exists()


class Killed(BaseException):
    """The process is gone."""


def test_killed_between_scoring_and_writing_scores_again_once(
    version: ModelVersion, model: LikesLength, project: Project, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_labels(project, [ben], 40)
    job = live_accuracy.ask(project)
    with monkeypatch.context() as patch:
        patch.setattr(live_accuracy, "store", _kill)
        with pytest.raises(Killed):
            run_job(job.pk)
    assert not LabelScore.objects.exists()
    Job.objects.filter(pk=job.pk).update(status=Job.Status.QUEUED)
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.result) == (Job.Status.SUCCEEDED, 2, {"scored": 40})
    assert LabelScore.objects.count() == 40


def _kill(**_: Any) -> int:
    raise Killed


def test_a_version_that_arrives_meanwhile_goes_on(
    version: ModelVersion, model: LikesLength, project: Project, ada: Person, ben: Person
) -> None:
    make_labels(project, [ben], 3)
    snapshot = snapshots.freeze(snapshots.request_snapshot(project=project, by=ada))
    make_labels(project, [ben], 2)
    newer: list[ModelVersion] = []

    def arrive() -> None:
        if not newer:
            newer.append(reward_model(project, ada, snapshot))

    model.before = arrive
    assert ask(project).result == {"scored": 7}
    assert LabelScore.objects.filter(reward_version=version).count() == 5
    assert LabelScore.objects.filter(reward_version=newer[0]).count() == 2, "only what it was not trained on"


# --- freezing ----------------------------------------------------------------------------------------------


def freeze_by_job(project: Project, by: Person) -> DatasetSnapshot:
    snapshot = snapshots.request_snapshot(project=project, by=by)
    run_job(Job.objects.get(kind=Job.Kind.FREEZE, status=Job.Status.QUEUED).pk)
    snapshot.refresh_from_db()
    assert snapshot.state == DatasetSnapshot.State.FROZEN
    return snapshot


def test_without_a_worker_a_freeze_goes_on_and_says_what_is_unknown(
    version: ModelVersion, project: Project, ada: Person, ben: Person
) -> None:
    make_labels(project, [ben], 3)
    freeze_by_job(project, ada)
    assert Event.objects.get(verb="snapshot.labels_unscored").data == {"count": "3"}
    assert Job.objects.filter(kind=Job.Kind.LIVE_ACCURACY, status=Job.Status.QUEUED).count() == 1


def test_a_worker_that_is_busy_too_long_is_not_waited_for(
    version: ModelVersion, project: Project, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "SCORING", 0.3)
    worker("generate")
    make_labels(project, [ben], 3)
    freeze_by_job(project, ada)
    assert Event.objects.get(verb="snapshot.labels_unscored").data == {"count": "3"}


@pytest.mark.django_db(transaction=True)
def test_a_freeze_waits_for_the_scores_of_what_it_holds(
    version: ModelVersion, model: LikesLength, project: Project, ada: Person, ben: Person
) -> None:
    worker("generate")
    make_labels(project, [ben], 5)
    job = live_accuracy.ask(project)

    def score() -> None:
        try:
            run_job(job.pk)
        finally:
            connection.close()

    threading.Timer(0.3, score).start()
    freeze_by_job(project, ada)
    assert LabelScore.objects.filter(reward_version=version).count() == 5
    assert not Event.objects.filter(verb="snapshot.labels_unscored").exists()


def test_without_a_reward_model_nothing_is_waited_for(project: Project, ada: Person, ben: Person) -> None:
    worker("generate")
    make_labels(project, [ben], 2)
    freeze_by_job(project, ada)
    assert not Job.objects.filter(kind=Job.Kind.LIVE_ACCURACY).exists()
    assert not Event.objects.filter(verb="snapshot.labels_unscored").exists()
