"""Every label is scored before any training on it, once, and never by a version that trained on it."""

import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from feedback.models import (
    Annotation,
    DatasetSnapshot,
    Event,
    Job,
    LabelScore,
    ModelVersion,
    Person,
    Project,
    SnapshotAnnotation,
    Task,
)
from feedback.selectors.evaluation import labels_to_score
from feedback.services.collection import annotations
from feedback.services.data import snapshots
from feedback.services.evaluation import live_accuracy
from feedback.services.registry import model_versions
from tests.evaluation.live_labels import make_labels, reward_model, scores_of
from tests.factories import PREFERS_A, make_annotation, make_snapshot, make_task, take
from workers import housekeeping

pytestmark = pytest.mark.database

ACTS = ("answer", "answer", "request", "freeze", "freeze", "train", "train", "read", "read", "write", "wrong", "kill")


def score(version: ModelVersion) -> int:
    """What a worker does."""
    return live_accuracy.store(version=version, scores=scores_of(list(labels_to_score.unscored(version))))


def scored_by(version: ModelVersion) -> list[int]:
    return list(LabelScore.objects.filter(reward_version=version).order_by("pk").values_list("annotation", flat=True))


def keys(labels: list[Annotation]) -> list[int]:
    return [label.pk for label in labels]


def test_from_an_answer_to_the_next_version(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    early = make_labels(project, [ben, chloe], 4)
    first = reward_model(project, ada, make_snapshot(project, ada))
    assert list(labels_to_score.unscored(first)) == [], "it was trained on all there is"
    came = make_labels(project, [ben, chloe], 4)
    assert keys(list(labels_to_score.unscored(first))) == keys(came)
    assert score(first) == 4
    snapshot = make_snapshot(project, ada)
    later = make_labels(project, [ben], 2)
    second = reward_model(project, ada, snapshot)
    assert labels_to_score.newest_reward_model(project) == second
    assert keys(list(labels_to_score.unscored(second))) == keys(later)
    everything = list(Annotation.objects.filter(project=project))
    assert live_accuracy.store(version=second, scores=scores_of(everything)) == 2, "the statement refuses the others"
    assert scored_by(first) == keys(came)
    assert scored_by(second) == keys(later), "oldest first, in whatever order they come"
    assert set(scored_by(first) + scored_by(second)).isdisjoint(keys(early))


def test_ties_gold_tasks_and_withdrawn_answers_are_no_labels(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    version = reward_model(project, ada)
    task = make_task(project)
    make_annotation(project, ben, task, {"outcome": "tie"})
    kept = annotations.submit(assignment=take(project, chloe), answer=PREFERS_A)
    gone = make_annotation(project, ben)
    annotations.withdraw(assignment=gone.assignment, by=ben)
    checked = make_labels(project, [ben], 1)[0]
    Task.objects.filter(pk=checked.task_id).update(gold={"choice": "a"})
    assert keys(list(labels_to_score.unscored(version))) == [kept.pk]


def test_a_revision_of_what_was_trained_on_is_not_scored(project: Project, ada: Person, ben: Person) -> None:
    label = make_annotation(project, ben)
    version = reward_model(project, ada, make_snapshot(project, ada))
    revised = annotations.revise(
        assignment=label.assignment, by=ben, answer={"outcome": "prefer", "choice": "b", "strength": 1}
    )
    assert list(labels_to_score.unscored(version)) == []
    assert live_accuracy.store(version=version, scores=scores_of([revised])) == 0


def test_a_second_label_of_a_pair_that_was_trained_on_is_not_scored(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    task = make_task(project)
    make_annotation(project, ben, task)
    version = reward_model(project, ada, make_snapshot(project, ada))
    second = annotations.submit(assignment=take(project, chloe), answer=PREFERS_A)
    assert second.task == task
    assert live_accuracy.store(version=version, scores=scores_of([second])) == 0


def test_what_an_ancestor_was_trained_on_is_not_scored(project: Project, ada: Person, ben: Person) -> None:
    label = make_labels(project, [ben], 1)[0]
    parent = reward_model(project, ada, make_snapshot(project, ada))
    child = reward_model(project, ada)
    ModelVersion.objects.filter(pk=child.pk).update(parent=parent, created_at=timezone.now() - timedelta(days=1))
    child.refresh_from_db()
    assert live_accuracy.store(version=child, scores=scores_of([label])) == 0


def test_scores_never_change(project: Project, ada: Person, ben: Person) -> None:
    version = reward_model(project, ada)
    labels = make_labels(project, [ben], 3)
    assert live_accuracy.store(version=version, scores=scores_of(labels, lambda _: 1.5)) == 3
    assert live_accuracy.store(version=version, scores=scores_of(labels, lambda _: -9.0)) == 0
    assert set(LabelScore.objects.values_list("gap", flat=True)) == {1.5}
    assert version.drift_states.get(annotator=None).baseline_labels == 3, "folded once"


def test_a_label_that_cannot_be_read_is_marked_and_not_tried_again(project: Project, ada: Person, ben: Person) -> None:
    version = reward_model(project, ada)
    labels = make_labels(project, [ben], 2)
    assert live_accuracy.store(version=version, scores=scores_of(labels, lambda _: float("nan"))) == 2
    assert LabelScore.objects.filter(gap=None, correct=None).count() == 2
    assert list(labels_to_score.unscored(version)) == []
    assert version.drift_states.get(annotator=None).baseline_labels == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_score_once(project: Project, ada: Person, ben: Person) -> None:
    version = reward_model(project, ada)
    batch = scores_of(make_labels(project, [ben], 40))
    gate, written, errors = threading.Barrier(2), list[int](), list[BaseException]()

    def work() -> None:
        try:
            gate.wait()
            written.append(live_accuracy.store(version=version, scores=batch))
        except BaseException as error:  # noqa: BLE001 - told to the test, whatever it is
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(written) == [0, 40]
    state = version.drift_states.get(annotator=None)
    assert (LabelScore.objects.count(), state.baseline_labels) == (40, 40)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.django_db(transaction=True)
def test_a_kill_before_the_end_writes_nothing(
    project: Project, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = reward_model(project, ada)
    batch = scores_of(make_labels(project, [ben], 5))
    with monkeypatch.context() as patch:
        patch.setattr(live_accuracy, "_write_state", _kill)
        with pytest.raises(Killed):
            live_accuracy.store(version=version, scores=batch)
    assert LabelScore.objects.count() == 0
    assert live_accuracy.store(version=version, scores=batch) == 5
    assert version.drift_states.get(annotator=None).baseline_labels == 5


def _kill(*_: object) -> None:
    raise Killed


def test_housekeeping_asks_once_for_what_waits(project: Project, ada: Person, ben: Person) -> None:
    make_labels(project, [ben], 2)
    live_accuracy.pick_up()
    assert not Job.objects.filter(kind=Job.Kind.LIVE_ACCURACY).exists(), "no reward model is there to score them"
    version = reward_model(project, ada, make_snapshot(project, ada))
    housekeeping.sweep()
    assert not Job.objects.filter(kind=Job.Kind.LIVE_ACCURACY).exists(), "all were trained on"
    make_labels(project, [ben], 2)
    housekeeping.sweep()
    housekeeping.sweep()
    job = Job.objects.get(kind=Job.Kind.LIVE_ACCURACY)
    assert (job.queue, job.project, job.status) == ("generate", project, Job.Status.QUEUED)
    assert score(version) == 2
    Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED)
    assert live_accuracy.pick_up() == 0
    make_labels(project, [ben], 1)
    Job.objects.filter(pk=job.pk).update(status=Job.Status.FAILED, finished_at=timezone.now())
    assert live_accuracy.pick_up() == 0, "it failed a moment ago"
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(minutes=2))
    assert live_accuracy.pick_up() == 1


def test_a_rejected_or_faulty_version_scores_nothing(project: Project, ada: Person) -> None:
    good = reward_model(project, ada)
    bad = reward_model(project, ada)
    ModelVersion.objects.filter(pk=bad.pk).update(manifest={"faults": [{"text": "Not a number."}]})
    assert labels_to_score.newest_reward_model(project) == good
    model_versions.decide(by=ada, model_version=good, state="rejected")
    assert labels_to_score.newest_reward_model(project) is None


def test_a_freeze_tells_what_no_model_has_scored(project: Project, ada: Person, ben: Person) -> None:
    version = reward_model(project, ada)
    labels = make_labels(project, [ben], 5)
    live_accuracy.store(version=version, scores=scores_of(labels[:3]))
    snapshot = make_snapshot(project, ada)
    assert live_accuracy.tell_unknown(snapshot) == 2
    told = Event.objects.get(verb="snapshot.labels_unscored")
    assert told.data == {"count": "2"}
    assert score(version) == 2, "the version that was there still can"
    assert live_accuracy.tell_unknown(snapshot) == 0


def test_the_slower_of_two_freezes_adds_nothing_to_a_frozen_snapshot(
    project: Project, ada: Person, ben: Person
) -> None:
    make_labels(project, [ben], 3)
    snapshot = snapshots.request_snapshot(project=project, by=ada)
    frozen = snapshots.freeze(snapshot)
    late = make_labels(project, [ben], 1)[0]
    entry = snapshots.Entry("{}", "preference")
    entry.annotations = [(late.pk, str(late.public_id))]
    part = snapshots.folder_of(frozen)
    snapshots._move_to_frozen(snapshot, part, frozen.path, {"train": {"hash": entry}})
    assert SnapshotAnnotation.objects.filter(snapshot=snapshot).count() == 3


@pytest.mark.parametrize("seed", range(6))
def test_no_interleaving_scores_a_label_by_a_version_that_trained_on_it(
    project: Project, ada: Person, ben: Person, chloe: Person, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Answers, freezes, new versions, batches read early and written late, batches of a worker that is all wrong, and
    kills in the middle of a write, in random order."""
    rng = random.Random(seed)
    versions = [reward_model(project, ada)]
    drafts: list[DatasetSnapshot] = []
    training: list[DatasetSnapshot] = []
    read: list[tuple[ModelVersion, list[Annotation]]] = []
    seen: dict[int, Any] = {}
    for _ in range(70):
        act = rng.choice(ACTS)
        if act == "answer":
            make_labels(project, [ben, chloe], rng.randint(1, 4))
        elif act == "request" and Annotation.objects.exists():
            drafts.append(snapshots.request_snapshot(project=project, by=ada))
        elif act == "freeze" and drafts:
            training.append(snapshots.freeze(drafts.pop(rng.randrange(len(drafts)))))
        elif act == "train" and training:
            versions.append(reward_model(project, ada, training.pop(rng.randrange(len(training)))))
        elif act == "read":
            newest = labels_to_score.newest_reward_model(project)
            assert newest is not None
            read.append((newest, labels_to_score.next_batch(newest, after=0, limit=rng.randint(1, 10))))
        elif act == "write" and read:
            version, labels = read.pop(rng.randrange(len(read)))
            live_accuracy.store(version=version, scores=scores_of(labels, lambda _: rng.gauss(0, 1)))
        elif act == "wrong":
            every = list(Annotation.objects.filter(project=project))
            live_accuracy.store(version=rng.choice(versions), scores=scores_of(every, lambda _: rng.gauss(0, 1)))
        elif act == "kill" and read:
            version, labels = read.pop()
            with monkeypatch.context() as patch:
                patch.setattr(live_accuracy, "_fold", _kill)
                if labels and not LabelScore.objects.filter(reward_version=version, annotation__in=labels).exists():
                    with pytest.raises(Killed):
                        live_accuracy.store(version=version, scores=scores_of(labels))
        for row in LabelScore.objects.all():
            assert seen.setdefault(row.pk, (row.annotation_id, row.reward_version_id, row.gap)) == (
                row.annotation_id,
                row.reward_version_id,
                row.gap,
            )
    assert len(seen) == LabelScore.objects.count() > 0
    assert len(versions) > 1
    for row in LabelScore.objects.select_related("reward_version"):
        lineage = labels_to_score.snapshots_of_lineage(row.reward_version)
        held = SnapshotAnnotation.objects.filter(snapshot__in=lineage, annotation=row.annotation_id)
        assert not held.exists(), (row.annotation_id, row.reward_version)
    for version in versions:
        folded = version.drift_states.filter(annotator=None).first()
        count = LabelScore.objects.filter(reward_version=version).count()
        assert count == (0 if folded is None else folded.baseline_labels)
