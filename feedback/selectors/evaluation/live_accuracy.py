"""Live accuracy as its page and the API show it: headline, ceiling, splits, calibration, and drift alarms."""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from django.db.models import F, QuerySet

from feedback.errors import Invalid
from feedback.models import (
    Chain,
    DriftAlarm,
    DriftState,
    Kind,
    LabelScore,
    ModelVersion,
    Person,
    PreferencePair,
    Project,
    Schedule,
)
from feedback.rules.collection.preferences import STRENGTHS
from feedback.rules.evaluation import calibration
from feedback.rules.evaluation import live_accuracy as rules
from feedback.rules.evaluation.drift_alarm import BASELINE_LABELS
from feedback.rules.evaluation.live_accuracy import ENOUGH_LABELS, Accuracy, Label
from feedback.selectors.evaluation import labels_to_score
from feedback.selectors.quality import exclusions

SEVERAL = "several pairs"  # in place of a strength
REPEATED = 20_000  # newest pairs that the agreement of people is taken from
WAITING_COUNTED = 1000
FIELDS = (
    "annotation__task__prompt",
    "annotation__annotator__public_id",
    "arm",
    "strength",
    "annotation__task__prompt__source",
    "annotation__created_at",
    "favored",
    "correct",
)


@dataclass(frozen=True)
class Split:
    """Accuracy by one property of labels. `key` is stable: strength, annotator, source, week, arm."""

    key: str
    title: str
    rows: list[Accuracy]


@dataclass(frozen=True)
class Alarm:
    """A drift alarm in words. `annotator` is None for a version's, and where the viewer may not see names."""

    sentence: str
    moved: str
    at: datetime
    of_annotator: bool
    annotator: Person | None = None

    @property
    def in_full(self) -> str:
        return " ".join(filter(None, (self.sentence, self.moved)))

    @property
    def remedy(self) -> str:
        if self.of_annotator:
            return "Review the newest annotations of this annotator."
        return "Train a new reward model on the labels since."


@dataclass(frozen=True)
class LiveAccuracy:
    """Live accuracy of one reward version.

    Attributes:
        labels: of the random slice. wanted: below which nothing is stated.
        headline: None while there are too few labels.
        held_out: accuracy on the pairs that selected its weights, which flatter it; None if unknown.
        agreement: of two people about the same two responses. ceiling: bounds of the best accuracy
            that it allows; None if people agree no more often than by chance.
        splits: of the random slice; the one by arm has all labels.
        reliability: of stated and observed probability. error: its expected calibration error.
        waiting: labels that wait to be scored, counted up to `WAITING_COUNTED`. unreadable: that it cannot read.
        baseline: labels of the baseline of the drift alarm. baseline_wanted: from which on drift can be told.
    """

    version: ModelVersion
    labels: int
    wanted: int = ENOUGH_LABELS
    headline: Accuracy | None = None
    held_out: float | None = None
    agreement: Accuracy | None = None
    ceiling: tuple[float, float] | None = None
    splits: list[Split] = field(default_factory=list)
    reliability: tuple[calibration.Bin, ...] = ()
    error: float | None = None
    alarms: list[Alarm] = field(default_factory=list)
    waiting: int = 0
    unreadable: int = 0
    baseline: int = 0
    baseline_wanted: int = BASELINE_LABELS

    @property
    def diagram(self) -> list[dict[str, float]]:
        """The bins as the reliability diagram draws them."""
        return [{"predicted": one.predicted, "observed": one.observed, "pairs": one.labels} for one in self.reliability]

    @property
    def enough(self) -> bool:
        return self.labels >= self.wanted


def of_version(version: ModelVersion, *, names: bool) -> LiveAccuracy:
    """Live accuracy of a reward version.

    Args:
        names: whether the viewer may see annotators by name; without it there is no split by annotator.
    """
    excluded = _excluded(version.project)
    labels = _labels(_counted(version))
    everything = [label for label in labels if label.annotator not in excluded]
    slice_of_chance = [label for label in everything if rules.in_random_slice(label.arm)]
    state = DriftState.objects.filter(reward_version=version, annotator=None).first()
    found = LiveAccuracy(
        version=version,
        labels=len(slice_of_chance),
        held_out=_held_out(version),
        alarms=alarms_of(version, names=names),
        waiting=_waiting(version),
        unreadable=LabelScore.objects.filter(reward_version=version, gap=None).count(),
        baseline=0 if state is None else state.baseline_labels,
    )
    if not found.enough:
        return found
    people = rules.agreement(_repeated(version.project))
    scored = (calibration.Scored(label.prompt, label.favored, label.correct) for label in slice_of_chance)
    stated = calibration.reliability(scored)
    return LiveAccuracy(
        version=version,
        labels=found.labels,
        headline=rules.accuracy(slice_of_chance, "Accuracy"),
        held_out=found.held_out,
        agreement=people,
        ceiling=None if people is None or people.value <= 0.5 else calibration.ceiling(people.value),
        splits=_splits(labels, excluded, names=names),
        reliability=stated.bins,
        error=stated.error,
        alarms=found.alarms,
        waiting=found.waiting,
        unreadable=found.unreadable,
        baseline=found.baseline,
    )


def check_reward_model(version: ModelVersion) -> None:
    """
    Raises:
        Invalid: it is no reward model.
    """
    if version.kind != ModelVersion.Kind.REWARD:
        raise Invalid(f"Only reward models have a live accuracy; {version} is a {version.kind} model.")


def folded_labels(version: ModelVersion) -> list[Label]:
    """Labels of the random slice in the order in which they were folded into the drift alarm."""
    rows = LabelScore.objects.filter(reward_version=version, gap__isnull=False).order_by("pk")
    return [label for label in _labels(rows) if rules.in_random_slice(label.arm)]


def alarms_of(version: ModelVersion, *, names: bool) -> list[Alarm]:
    """Drift alarms of a version, its own before those of annotators. Without `names` no annotator is named."""
    rows = DriftAlarm.objects.filter(reward_version=version).select_related("annotator", "reward_version")
    alarms = [_in_words(row, names=names) for row in rows.order_by("-pk")]
    return sorted(alarms, key=attrgetter("of_annotator"))


def drifting(project: Project) -> bool:
    """Whether people's labels drifted from the newest reward model: then no model may choose what is asked next."""
    return _standing_alarm(project) is not None


def drifted_since(project: Project, time: datetime) -> bool:
    """Whether the alarm of the newest reward model sounded after `time`."""
    alarm = _standing_alarm(project)
    return alarm is not None and alarm.created_at > time


def unanswered_alarm(schedule: Schedule) -> DriftAlarm | None:
    """The drift alarm of the newest reward model that this schedule has not started a pipeline run for."""
    alarm = _standing_alarm(schedule.project)
    if alarm is None or Chain.objects.filter(schedule=schedule, due_key=due_key(alarm)).exists():
        return None
    return alarm


def due_key(alarm: DriftAlarm) -> str:
    """What a pipeline run that an alarm started is known by."""
    return f"drift {alarm.public_id}"


def _standing_alarm(project: Project) -> DriftAlarm | None:
    alarms = DriftAlarm.objects.filter(project=project, annotator=None).order_by("-pk")
    alarm = alarms.first()
    if alarm is None:
        return None
    newest = labels_to_score.newest_reward_model(project)
    if newest is None or newest.pk != alarm.reward_version_id:
        return None
    return alarm


def _counted(version: ModelVersion) -> "QuerySet[LabelScore]":
    """Scores whose label still stands: revised and withdrawn ones are left out."""
    scores = LabelScore.objects.filter(reward_version=version, gap__isnull=False)
    return scores.filter(annotation__assignment__current=F("annotation")).order_by("pk")


def _labels(scores: "QuerySet[LabelScore]") -> list[Label]:
    labels = []
    for prompt, annotator, arm, strength, source, made_at, favored, correct in scores.values_list(*FIELDS):
        year, week, _ = made_at.isocalendar()
        labels.append(
            Label(
                prompt=prompt,
                annotator=str(annotator),
                arm=arm,
                strength=SEVERAL if strength is None else STRENGTHS[strength],
                source=source,
                week=f"{year}-W{week:02}",
                favored=favored,
                correct=correct,
            )
        )
    return labels


def _splits(labels: list[Label], excluded: set[str], *, names: bool) -> list[Split]:
    """Splits for the page. Excluded annotators are in the split by annotator only, where it shows why they are."""
    everything = [label for label in labels if label.annotator not in excluded]
    slice_of_chance = [label for label in everything if rules.in_random_slice(label.arm)]
    splits = [Split("strength", "strength", rules.by_split(slice_of_chance, "strength"))]
    if names:
        rates = rules.by_split([label for label in labels if rules.in_random_slice(label.arm)], "annotator")
        people = _names([rate.label for rate in rates])
        rows = []
        for rate in rates:
            name = people.get(rate.label, "Erased annotator")
            if rate.label in excluded:
                name += " (excluded)"
            rows.append(Accuracy(name, rate.value, rate.low, rate.high, rate.n, rate.untold))
        splits.append(Split("annotator", "annotator", rows))
    splits.append(Split("source", "prompt source", rules.by_split(slice_of_chance, "source")))
    splits.append(Split("week", "week", rules.by_split(slice_of_chance, "week")))
    splits.append(Split("arm", "reason for the task", rules.by_split(everything, "arm")))
    return splits


def _excluded(project: Project) -> set[str]:
    """Public ids of excluded annotators."""
    return set(map(str, exclusions.active(project).values_list("person__public_id", flat=True)))


def _names(ids: list[str]) -> dict[str, str]:
    return {str(person.public_id): str(person) for person in Person.objects.filter(public_id__in=ids)}


def _held_out(version: ModelVersion) -> float | None:
    value = version.metrics.get("selection_accuracy")
    return float(value) if isinstance(value, int | float) else None


def _waiting(version: ModelVersion) -> int:
    """Labels that wait for this version; none wait for one that a newer version replaced."""
    newest = labels_to_score.newest_reward_model(version.project)
    if newest is None or newest.pk != version.pk:
        return 0
    return labels_to_score.unscored(version).order_by()[:WAITING_COUNTED].count()


def _repeated(project: Project) -> Mapping[int, list[tuple[int, Hashable]]]:
    """By comparison task of the random slice: (prompt, chosen response) of each person who decided."""
    pairs = PreferencePair.objects.standing().filter(
        project=project,
        annotation__kind=Kind.COMPARISON,
        annotation__task__gold__isnull=True,
        annotation__task__training_round=False,
    )
    pairs = pairs.exclude(annotation__task__arm__in=rules.CHOSEN_BY_A_MODEL)
    pairs = pairs.exclude(annotation__annotator__in=exclusions.excluded_people(project))
    found: dict[int, list[tuple[int, Hashable]]] = defaultdict(list)
    for task, prompt, chosen in pairs.order_by("-pk").values_list("annotation__task", "prompt", "chosen")[:REPEATED]:
        found[task].append((prompt, chosen))
    return found


def _in_words(alarm: DriftAlarm, *, names: bool) -> Alarm:
    who = None
    if alarm.annotator is not None:
        who = str(alarm.annotator) if names else "one annotator"
    version = alarm.reward_version
    shares = f"{_percent(alarm.accuracy_before)} of its first labels, {_percent(alarm.accuracy_since)}"
    if who is None:
        sentence = f"Labels drifted from {version}: it agreed with {shares} of the {alarm.labels:,} labels since."
    else:
        sentence = f"Labels of {who} drifted from {version}: it agreed with {shares} of their {alarm.labels:,} labels."
    return Alarm(
        sentence=sentence,
        moved=_moved(alarm, names=names),
        at=alarm.created_at,
        of_annotator=alarm.annotator_id is not None,
        annotator=alarm.annotator if names else None,
    )


def _moved(alarm: DriftAlarm, *, names: bool) -> str:
    """Which split fell most, as a sentence; empty where none did."""
    if not alarm.split or alarm.value_before is None or alarm.value_since is None:
        return ""
    value = alarm.value
    if alarm.split == "annotator":
        value = _names([value]).get(value, "an erased annotator") if names else "one annotator"
    return (
        f"It fell most by {alarm.split}: {value}, from {_percent(alarm.value_before)} to {_percent(alarm.value_since)}."
    )


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
