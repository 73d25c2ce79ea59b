"""Live accuracy: asks for labels to be scored, stores the scores, and folds them into the drift alarms.

Scores of one version are written under the lock of its `DriftState`, so they are folded in one order and each once,
however many workers score at the same time or are killed in between: scores, states and alarms are one transaction.
The statement that writes a score refuses a label whose task is in a snapshot of the version's lineage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeAlias

from django.db import connection, transaction
from django.utils import timezone

from feedback import celery_app
from feedback.db.bulk_writer import as_time
from feedback.models import (
    Annotation,
    DatasetSnapshot,
    DriftAlarm,
    DriftState,
    Job,
    LabelScore,
    ModelVersion,
    Person,
    Project,
    SnapshotAnnotation,
)
from feedback.rules.evaluation import drift_alarm
from feedback.rules.evaluation import live_accuracy as rules
from feedback.rules.evaluation.active_selection import DRIFT
from feedback.rules.evaluation.live_accuracy import Label, Score
from feedback.selectors.evaluation import active_selection as selection
from feedback.selectors.evaluation import labels_to_score
from feedback.selectors.evaluation import live_accuracy as figures
from feedback.services.evaluation import active_selection
from feedback.services.platform import events, jobs
from feedback.services.quality import reviews

TRY_AGAIN_AFTER = timedelta(seconds=60)  # after a job that failed
SqlValue: TypeAlias = int | float | str | datetime | None


def ask(project: Project) -> Job:
    """A job that scores what waits: the one that is queued or running, or else a new one."""
    with transaction.atomic():
        active = Job.objects.filter(project=project, kind=Job.Kind.LIVE_ACCURACY, status__in=Job.ACTIVE).first()
        if active is not None:
            return active
        return jobs.create(
            kind=Job.Kind.LIVE_ACCURACY, queue_name=celery_app.GENERATE, project=project, by=None, payload={}
        )


def pick_up() -> int:
    """Housekeeping: ask for scores where labels wait and no job scores them. Returns how many jobs were asked for.

    After a failure a project is tried again later.
    """
    asked, since = 0, timezone.now() - TRY_AGAIN_AFTER
    for project in Project.objects.filter(model_versions__kind=ModelVersion.Kind.REWARD).distinct():
        set_back_where_drifting(project)
        last = Job.objects.filter(project=project, kind=Job.Kind.LIVE_ACCURACY).order_by("-id").first()
        if last is not None:
            failed_lately = last.status == Job.Status.FAILED and (last.finished_at or since) >= since
            if last.status in Job.ACTIVE or failed_lately:
                continue
        if labels_to_score.waits_among_newest(project):
            ask(project)
            asked += 1
    return asked


def store(*, version: ModelVersion, scores: Sequence[Score]) -> int:
    """Write the scores of a batch and fold them, oldest label first.

    What is scored already, or was trained on, is left out.

    Returns:
        How many were written.
    """
    with transaction.atomic():
        state = _locked_state(version)
        writer = _Writer(version)
        written = sum(map(writer.write, sorted(scores, key=attrgetter("annotation"))))
        if written:
            _fold(version, state)
    set_back_where_drifting(version.project)
    return written


def set_back_where_drifting(project: Project) -> bool:
    """Switch active selection off while labels drift from the newest reward model. Returns whether it was on.

    Apart from the alarm's transaction, since it locks the project, which comes before all other locks. If the process
    is killed in between, housekeeping does it; and no batch is chosen by a model that labels drifted from.
    """
    if not selection.settings_of(Project.objects.get(pk=project.pk)).on or not figures.drifting(project):
        return False
    return active_selection.set_back_to_random(project=project, because=DRIFT)


def tell_unknown(snapshot: DatasetSnapshot) -> int:
    """Record how many labels were frozen before any reward model scored them. Returns how many."""
    unknown = labels_to_score.unknown_in(snapshot)
    if unknown:
        with transaction.atomic():
            events.record("snapshot.labels_unscored", snapshot, actor=None, count=unknown)
    return unknown


# --- writing -----------------------------------------------------------------------------------------------


class _Writer:
    """Inserts scores of one version, each by a statement that reads whether its lineage trained on the label."""

    def __init__(self, version: ModelVersion) -> None:
        self.version = version
        self.snapshots = labels_to_score.snapshots_of_lineage(version)
        quote = connection.ops.quote_name
        scores, annotations = quote(LabelScore._meta.db_table), quote(Annotation._meta.db_table)
        members, tasks = quote(SnapshotAnnotation._meta.db_table), quote("feedback_task")
        number = "CAST(%s AS double precision)"
        trained_on = ""
        if self.snapshots:
            places = ", ".join(["%s"] * len(self.snapshots))
            trained_on = (
                f" AND NOT EXISTS (SELECT 1 FROM {members} AS member JOIN {annotations} AS other"
                f" ON other.id = member.annotation_id WHERE other.task_id = label.task_id"
                f" AND member.snapshot_id IN ({places}))"
            )
        self.statement = (
            f"INSERT INTO {scores} (annotation_id, reward_version_id, arm, strength, pairs, gap, p, favored, correct,"
            " spread, scored_at)"
            f" SELECT label.id, %s, task.arm, CAST(%s AS smallint), %s, {number}, {number}, {number}, {number},"
            f" {number}, %s FROM {annotations} AS label JOIN {tasks} AS task ON task.id = label.task_id"
            f" WHERE label.id = %s{trained_on} ON CONFLICT DO NOTHING"
        )

    def write(self, score: Score) -> int:
        """Returns how many rows were written: 1 or 0."""
        figures_of: tuple[float | None, ...] = (None, None, None, None)
        if score.outcome is not None:
            figures_of = tuple(score.outcome)
        spread = score.spread if score.outcome is not None else None
        values: list[SqlValue] = [self.version.pk, score.strength, score.pairs, *figures_of, spread]
        values += [as_time(timezone.now()), score.annotation, *self.snapshots]
        with connection.cursor() as cursor:
            cursor.execute(self.statement, values)
            return int(cursor.rowcount)


# --- folding -----------------------------------------------------------------------------------------------


def _locked_state(version: ModelVersion) -> DriftState:
    DriftState.objects.get_or_create(reward_version=version, annotator=None)
    return DriftState.objects.select_for_update().get(reward_version=version, annotator=None)


@dataclass
class _Folding:
    """The state of a version while new labels are folded into it."""

    baseline: drift_alarm.Baseline
    alarm: drift_alarm.Alarm


def _fold(version: ModelVersion, state: DriftState) -> None:
    """Fold the scores of the random slice after the last one folded. Call under the lock of `state`."""
    new = LabelScore.objects.filter(reward_version=version, pk__gt=state.folded_to).order_by("pk")
    folding = _Folding(_baseline_of(state), _alarm_of(state))
    people: dict[int, drift_alarm.Alarm] = {}
    stored = {row.annotator_id: row for row in version.drift_states.exclude(annotator=None)}
    sounded_before = folding.alarm.alarm_at is not None
    for key, arm, annotator, favored, correct in new.values_list(
        "pk", "arm", "annotation__annotator", "favored", "correct"
    ):
        state.folded_to = key
        if favored is None or correct is None or not rules.in_random_slice(arm):
            continue
        surprised = favored - correct
        if not folding.baseline.complete:
            folding.baseline = drift_alarm.fold_baseline(folding.baseline, surprised)
            continue
        folding.alarm = drift_alarm.fold(folding.alarm, surprised, folding.baseline)
        if annotator not in people:
            row = stored.get(annotator)
            people[annotator] = drift_alarm.Alarm() if row is None else _alarm_of(row)
        people[annotator] = drift_alarm.fold(people[annotator], surprised, folding.baseline, drift_alarm.ANNOTATOR_BAR)
    _write_state(state, folding)
    if folding.alarm.alarm_at is not None and not sounded_before:
        _raise_of_version(version, folding.alarm.alarm_at)
    for annotator, alarm in people.items():
        row = stored.get(annotator) or DriftState(reward_version=version, annotator_id=annotator)
        heard = row.alarm_at is not None
        _set_alarm(row, alarm)
        row.save()
        if alarm.alarm_at is not None and not heard:
            _raise_of_annotator(version, Person.objects.get(pk=annotator), alarm.alarm_at)


def _baseline_of(state: DriftState) -> drift_alarm.Baseline:
    return drift_alarm.Baseline(state.baseline_labels, state.baseline_total, state.baseline_squares)


def _alarm_of(state: DriftState) -> drift_alarm.Alarm:
    if not state.bets:
        return drift_alarm.Alarm()
    return drift_alarm.Alarm(state.labels, tuple(state.bets), state.alarm_at)


def _set_alarm(state: DriftState, alarm: drift_alarm.Alarm) -> None:
    state.labels, state.bets, state.alarm_at = alarm.labels, list(alarm.bets), alarm.alarm_at


def _write_state(state: DriftState, folding: _Folding) -> None:
    baseline = folding.baseline
    state.baseline_labels, state.baseline_total = baseline.labels, baseline.total
    state.baseline_squares = baseline.squares
    _set_alarm(state, folding.alarm)
    state.save()


# --- alarms ------------------------------------------------------------------------------------------------


def _raise_of_version(version: ModelVersion, labels: int) -> None:
    before, since = _around_the_baseline(version)
    moved = rules.moved_most(before, since)
    row = DriftAlarm(
        project=version.project,
        reward_version=version,
        labels=labels,
        accuracy_before=_share_correct(before),
        accuracy_since=_share_correct(since),
    )
    if moved is not None:
        row.split, row.value = moved.split, moved.value
        row.value_before, row.value_since = moved.before, moved.since
    row.save()
    events.record("model.drift_found", version, actor=None, project=version.project, labels=row.labels)


def _raise_of_annotator(version: ModelVersion, annotator: Person, labels: int) -> None:
    """The alarm of one annotator; their newest annotations go to reviewers."""
    before, since = _around_the_baseline(version)
    theirs = [label for label in since if label.annotator == str(annotator.public_id)]
    row = DriftAlarm.objects.create(
        project=version.project,
        reward_version=version,
        annotator=annotator,
        labels=labels,
        accuracy_before=_share_correct(before),
        accuracy_since=_share_correct(theirs),
    )
    events.record("model.annotator_drift_found", version, actor=None, project=version.project, labels=row.labels)
    reviews.doubt(project=version.project, annotator=annotator)


def _around_the_baseline(version: ModelVersion) -> tuple[list[Label], list[Label]]:
    """Labels of the random slice in the order they were folded: those of the baseline, and those since."""
    labels = figures.folded_labels(version)
    return labels[: drift_alarm.BASELINE_LABELS], labels[drift_alarm.BASELINE_LABELS :]


def _share_correct(labels: Sequence[Label]) -> float:
    return sum(label.correct for label in labels) / max(1, len(labels))
